"""Which frames of a track make a clip: index arithmetic, nothing else."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config

Positions = NDArray[np.int64]


class ClipConfig(Config):
    """What a model is fed. Saved with it: shown another margin or rate than its own it loses most of its skill."""

    length: int = Field(16, ge=1, le=256, description="frames in a clip")
    fps: float = Field(15.0, gt=0, le=240, description="frames a second within a clip, reached by leaving frames out")
    size: int = Field(128, ge=16, le=1024, description="side of a clip's pictures, in pixels")
    margin: float = Field(1.3, ge=1, le=3, description="width of a clip's pictures, in widths of the face's box")
    clips: int = Field(4, ge=1, le=100, description="clips a video that are scored, spread evenly over it")


def stride(track_fps: float, clip_fps: float) -> int:
    """Frames from one of a clip to its next, so that the clip runs at about `clip_fps`.

    >>> [stride(fps, 15) for fps in (15, 25, 29.97, 60, 10)]
    [1, 2, 2, 4, 1]
    """
    return max(1, round(track_fps / clip_fps))


def clip_at(start: int, frames: int, length: int, step: int) -> Positions:
    """The positions (length,) int64 of one clip. In a track too short the last frame is repeated.

    >>> clip_at(0, 5, 4, 2).tolist()
    [0, 2, 4, 4]
    """
    return np.minimum(start + step * np.arange(length), frames - 1)


def random_clips(frames: int, track_fps: float, config: ClipConfig, count: int, rng: np.random.Generator) -> Positions:
    """`count` clips anywhere in a track of `frames`: positions (count, length) int64, increasing within a clip."""
    step, last = _fit(frames, track_fps, config)
    return np.stack([clip_at(int(s), frames, config.length, step) for s in rng.integers(0, last + 1, count)])


def even_clips(frames: int, track_fps: float, config: ClipConfig, count: int) -> Positions:
    """`count` clips spread evenly over a track of `frames`, each in the middle of its share: (count, length) int64.

    In a track with room for fewer starts there are fewer clips, never one twice.

    >>> even_clips(32, 15, ClipConfig(length=16), 2)[:, 0].tolist()
    [4, 12]
    >>> even_clips(10, 15, ClipConfig(length=16), 4).shape
    (1, 16)
    """
    step, last = _fit(frames, track_fps, config)
    starts = np.unique(np.round((np.arange(count) + 0.5) / count * last).astype(int))
    return np.stack([clip_at(int(s), frames, config.length, step) for s in starts])


def thinned(frames: int, fps: float, rate: float) -> tuple[int, float]:
    """What is left of a track of `frames` at `fps` that is brought down to `rate`: frames, and the rate that it has.

    A position p in what is left is p * fps / rate of the track. A track that is no faster is left as it is.

    >>> thinned(300, 30, 20), thinned(300, 12, 15)
    ((200, 20), (300, 12))
    """
    return (max(1, int(frames * rate / fps)), rate) if rate < fps else (frames, fps)


def _fit(frames: int, track_fps: float, config: ClipConfig) -> tuple[int, int]:
    """The stride, shrunk until a clip fits the track if it can, and the last start."""
    if frames < 1:
        raise ValueError("a track has no frame to sample")
    step = stride(track_fps, config.fps)
    while step > 1 and (config.length - 1) * step + 1 > frames:
        step -= 1
    return step, max(0, frames - ((config.length - 1) * step + 1))
