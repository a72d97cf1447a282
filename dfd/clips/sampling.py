"""Which frames make a clip: index arithmetic, nothing else.

Training draws clips anywhere in a track. Scoring has the same few clips of a video whatever its tracks: planned over
the video, so that a prediction need not look at anything else in it.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ScoredFrames:
    """A plan (types.Plan) for what is scored of a video: the first `share` of each configuration's clips.

    >>> ScoredFrames((ClipConfig(length=3, clips=2),))(20, 30.0).tolist()
    [4, 6, 8, 11, 13, 15]
    """

    configs: tuple[ClipConfig, ...]
    share: float = 1.0

    def __call__(self, frames: int, fps: float) -> Positions:
        """Positions (n,) in a video of `frames` frames."""
        clips = [first(even_clips(frames, fps, config, config.clips), self.share) for config in self.configs]
        return np.unique(np.concatenate([each.reshape(-1) for each in clips]))


def first(clips: Positions, share: float) -> Positions:
    """The first `share`, in [0,1], of clips (N,T), at least one.

    >>> first(np.arange(8).reshape(4, 2), 0.5).tolist()
    [[0, 1], [2, 3]]
    """
    return clips[: max(1, round(len(clips) * share))]


def scored_positions(
    indices: Positions, frames: int, fps: float, config: ClipConfig, share: float = 1.0, rate: float | None = None
) -> Positions:
    """Positions (N, length) in a track of the clips that it is scored on: those of its video that show its face.

    indices: (T,) the track's in its video, of `frames` frames. rate: frames a second that the video was brought down to
    before; None where it was not. A clip shows the face when half of its frames or more do; one that the track lacks is
    the nearest that it has. Where it is in none, they are spread evenly over the track.

    >>> scored_positions(np.arange(2, 20), 20, 15, ClipConfig(length=4, clips=2)).tolist()
    [[2, 3, 4, 5], [10, 11, 12, 13]]
    """
    planned = _spread(frames, fps, config, rate)
    clips = planned[np.isin(planned, indices).mean(axis=1) >= 0.5][: len(first(planned, share))]
    if not len(clips):
        return first(_spread(len(indices), fps, config, rate), share)
    after = np.minimum(np.searchsorted(indices, clips), len(indices) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(indices[before] - clips) < np.abs(indices[after] - clips)
    return np.where(nearer, before, after)


def _spread(frames: int, fps: float, config: ClipConfig, rate: float | None) -> Positions:
    """The even clips of what is left of `frames` frames at `rate`, as positions among all of them."""
    left, at = thinned(frames, fps, rate or fps)
    return (even_clips(left, at, config, config.clips) * (fps / at)).astype(np.int64)


def _fit(frames: int, track_fps: float, config: ClipConfig) -> tuple[int, int]:
    """The stride, shrunk until a clip fits the track if it can, and the last start."""
    if frames < 1:
        raise ValueError("a track has no frame to sample")
    step = stride(track_fps, config.fps)
    while step > 1 and (config.length - 1) * step + 1 > frames:
        step -= 1
    return step, max(0, frames - ((config.length - 1) * step + 1))
