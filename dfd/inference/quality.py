"""How good a video is to judge a face by: what limits a score, measured on the file and on its crops."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.faces.records import TrackletRecord
from dfd.videos.decode import probe

Picture = NDArray[np.uint8]

SMALL = 48.0
"""Pixels of a face's side from which on a score says something: networks are fed 128 and more, and a face at a quarter
of its size has lost most of what gives a fake away (the shipped bundle's CARD.md, "quarter")."""
DARK = 15.0
"""Mean brightness of a face, of 255: below, noise is all that is left of it."""
COMPRESSED = 0.002
"""Bits a pixel: videos of the challenge have 0.02 to 0.1, a still scene at a usual quality 0.005."""


@dataclass(frozen=True)
class Quality:
    """width, height: in pixels. fps: frames a second. bits: of the file, a pixel. None where it could not be read.

    face: median side of the faces' boxes, in pixels. sharpness: median over crops, as sharpness() has it. brightness:
    median over crops of the mean, 0 to 255. None without a face.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int = 0
    bits: float | None = None
    face: float | None = None
    sharpness: float | None = None
    brightness: float | None = None

    def limits(self) -> list[str]:
        """Why nothing can be said by such a video, in words; nothing where it will do."""
        found = []
        if self.face is not None and self.face < SMALL:
            found.append(f"the faces are too small: {self.face:.0f} pixels, and it takes {SMALL:.0f}")
        if self.brightness is not None and self.brightness < DARK:
            found.append(f"the faces are too dark: brightness {self.brightness:.0f} of 255, and it takes {DARK:.0f}")
        if self.bits is not None and self.frames > 1 and self.bits < COMPRESSED:
            found.append(f"the video is too compressed: {self.bits:.4f} bits a pixel, and it takes {COMPRESSED:g}")
        return found


def quality(path: Path, frames: int, tracklets: Sequence[TrackletRecord], crops: Sequence[Picture]) -> Quality:
    """Of a video with so many frames, and of the crops (S,S,3) uint8 RGB of its tracklets, one each.

    Raises VideoReadError where the file cannot be read.
    """
    info = probe(path)
    bits = path.stat().st_size * 8 / max(1, frames * info.width * info.height)
    file = Quality(info.width, info.height, round(info.fps, 3), frames, round(bits, 5))
    if not tracklets:
        return file
    inner = [_face(crop, tracklet.margin) for crop, tracklet in zip(crops, tracklets, strict=True)]
    return Quality(
        info.width,
        info.height,
        file.fps,
        frames,
        file.bits,
        round(float(np.median([tracklet.path.side for tracklet in tracklets])), 1),
        round(float(np.median([sharpness(face) for face in inner])), 3),
        round(float(np.median([face.mean() for face in inner])), 1),
    )


def sharpness(face: Picture) -> float:
    """How much of a face's contrast is between neighbouring pixels of 64 across it: 0 where it is flat or all blur.

    The standard deviation of the Laplacian, by that of the picture: brightness and contrast make no difference.

    >>> sharpness(np.full((64, 64, 3), 90, np.uint8))
    0.0
    """
    grey = cv2.cvtColor(cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(1.0, float(grey.std())))


def _face(crop: Picture, margin: float) -> Picture:
    """The face's box out of its crop."""
    side = crop.shape[0]
    edge = round(side * (1 - 1 / margin) / 2)
    return crop[edge : side - edge, edge : side - edge]
