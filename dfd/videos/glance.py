"""Read only the first readable frame of a video."""

import numpy as np
from numpy.typing import NDArray

from dfd.types import Video
from dfd.videos.decode import read_frames
from dfd.videos.stills import read_still

FIRST = range(5)
"""Number of frames tried, since the first may be damaged."""


def first_frame(video: Video, long_side: int) -> NDArray[np.uint8]:
    """Read the first readable frame: (H,W,3) uint8 RGB, upright, its longer side at most `long_side` pixels.

    Raises VideoReadError when none of the FIRST can be read.
    """
    if video.still:
        return np.ascontiguousarray(read_still(video.path)[0].reduced(long_side))
    return np.ascontiguousarray(read_frames(video.path, FIRST, long_side=long_side).images[0])
