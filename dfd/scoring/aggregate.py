"""From a video's clips to its one logit."""

from collections.abc import Sequence

import numpy as np


def mean_logit(logits: Sequence[float]) -> float:
    """The mean over all clips of all of a video's tracks: the likeliest answer if clips err independently.

    >>> mean_logit([2.0, -1.0, 0.5])
    0.5
    """
    if not len(logits):
        raise ValueError("a video without a clip has no logit")
    return float(np.mean(logits))
