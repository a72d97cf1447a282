"""One look at a video: its first frame that can be read."""

import numpy as np
from numpy.typing import NDArray

from dfd.types import Video
from dfd.videos.decode import read_frames
from dfd.videos.stills import read_still

FIRST = range(5)
"""Frames that are tried: the first may be damaged."""


def first_frame(video: Video, long_side: int) -> NDArray[np.uint8]:
    """(H,W,3) uint8 RGB, upright, its longer side at most `long_side` pixels.

    Raises VideoReadError when none of the FIRST can be read.
    """
    if video.still:
        return np.ascontiguousarray(read_still(video.path)[0].reduced(long_side))
    return np.ascontiguousarray(read_frames(video.path, FIRST, long_side=long_side).images[0])
