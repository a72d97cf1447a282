"""Mix a real clip with a fake one, labels included. Each pair gives two clips with the same total label as before.

Sources: Zhang et al. 2018, "mixup: Beyond empirical risk minimization", on aligned real and fake faces as NTechLab, 3rd
in the Deepfake Detection Challenge; Yun et al. 2019, "CutMix", over space and time as in VideoMix (Yun et al. 2020).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

ALPHA = 0.5
"""Parameter of the beta distribution of shares. A share near 0 is likelier than one near a half."""


def mixup(real: Picture, fake: Picture, rng: np.random.Generator) -> tuple[Picture, Picture, float]:
    """Blend both clips (T,H,W,3) uint8 by a share drawn from Beta(1/2, 1/2): (mostly real, mostly fake, share).

    share, in [0, 0.5]: weight of the fake in the first clip, and of the real one in the second.
    """
    share = float(rng.beta(ALPHA, ALPHA))
    share = min(share, 1 - share)
    flat = real.reshape(-1, 3), fake.reshape(-1, 3)
    first = cv2.addWeighted(flat[0], 1 - share, flat[1], share, 0)
    second = cv2.addWeighted(flat[1], 1 - share, flat[0], share, 0)
    return first.reshape(real.shape), second.reshape(fake.shape), share


def cutmix(real: Picture, fake: Picture, rng: np.random.Generator) -> tuple[Picture, Picture, float]:
    """Swap one box of space and time between both clips (T,H,W,3) uint8: (mostly real, mostly fake, share).

    share, in [0, 0.5]: the box's share of the clip. A clip of one frame is cut in space alone.
    """
    frames, height, width = real.shape[:3]
    share = float(rng.uniform(0, 0.5))
    lasting = max(share, rng.uniform(0.5, 1.0)) if frames > 1 else 1.0
    across = (share / lasting) ** 0.5
    box = tuple(_span(rng, *span) for span in ((frames, lasting), (height, across), (width, across)))
    first, second = real.copy(), fake.copy()
    first[box], second[box] = fake[box], real[box]
    share = float(np.prod([span.stop - span.start for span in box])) / (frames * height * width)
    return first, second, share


def _span(rng: np.random.Generator, length: int, part: float) -> slice:
    """A random span of `part` of `length`, rounded down."""
    taken = int(part * length)
    start = int(rng.integers(0, length - taken + 1))
    return slice(start, start + taken)
