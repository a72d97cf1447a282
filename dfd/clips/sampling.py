"""Choose the frames of a clip. Index arithmetic only.

Training draws clips anywhere in a tracklet. Scoring takes segments spread evenly over the video and, for each face in
them, the clip in the middle of the segment.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config
from dfd.videos.segments import even, scored

Positions = NDArray[np.int64]


class ClipConfig(Config):
    """What a model is fed. Saved with it: shown another margin or rate than its own it loses most of its skill."""

    length: int = Field(16, ge=1, le=256, description="frames in a clip")
    fps: float = Field(15.0, gt=0, le=240, description="frames a second within a clip, reached by leaving frames out")
    size: int = Field(128, ge=16, le=1024, description="side of a clip's pictures, in pixels")
    margin: float = Field(1.3, ge=1, le=3, description="width of a clip's pictures, in widths of the face's box")
    clips: int = Field(
        4,
        ge=1,
        le=100,
        description="segments of a video that are scored, also by `dfd predict`, spread evenly: a clip of each face",
    )


def stride(track_fps: float, clip_fps: float) -> int:
    """Step between frames, so that a clip runs at about `clip_fps`.

    >>> [stride(fps, 15) for fps in (15, 25, 29.97, 60, 10)]
    [1, 2, 2, 4, 1]
    """
    return max(1, round(track_fps / clip_fps))


def clip_at(start: int, frames: int, length: int, step: int) -> Positions:
    """The positions (length,) int64 of one clip. If the track is too short, its last frame is repeated.

    >>> clip_at(0, 5, 4, 2).tolist()
    [0, 2, 4, 4]
    """
    return np.minimum(start + step * np.arange(length), frames - 1)


def random_clips(frames: int, track_fps: float, config: ClipConfig, count: int, rng: np.random.Generator) -> Positions:
    """Draw `count` clips anywhere in a track of `frames`: positions (count, length) int64, increasing within a clip."""
    step, last = _fit(frames, track_fps, config)
    return np.stack([clip_at(int(s), frames, config.length, step) for s in rng.integers(0, last + 1, count)])


def middle_clip(start: int, stop: int, fps: float, config: ClipConfig) -> Positions:
    """The frames (length,) in the middle of a segment [start, stop), on which a face there is scored.

    >>> middle_clip(100, 112, 15, ClipConfig(length=4)).tolist()
    [104, 105, 106, 107]
    """
    step, last = _fit(stop - start, fps, config)
    return start + clip_at(last // 2, stop - start, config.length, step)


def thinned(frames: int, fps: float, rate: float) -> tuple[int, float]:
    """Thin a track of `frames` at `fps` out to `rate`. Returns the number of frames left, and their rate.

    Position p of the thinned track is p * fps / rate of the track. A track that is no faster is not changed.

    >>> thinned(300, 30, 20), thinned(300, 12, 15)
    ((200, 20), (300, 12))
    """
    return (max(1, int(frames * rate / fps)), rate) if rate < fps else (frames, fps)


@dataclass(frozen=True)
class ScoredClips:
    """The frames to read when a video is scored (types.Wanted): the middle clips of every configuration's segments.

    share: of the segments, in [0,1]; every configuration scores at least one.
    """

    configs: tuple[ClipConfig, ...]
    share: float = 1.0

    def first(self, total: int) -> list[int]:
        """The segments that any configuration reads, in increasing order.

        >>> ScoredClips((ClipConfig(clips=2), ClipConfig(clips=4))).first(8)
        [1, 2, 3, 5, 6, 7]
        """
        return sorted({number for config in self.configs for number in even(total, self._count(config))})

    def enough(self, total: int, faced: Collection[int]) -> bool:
        """Whether every configuration has found a face in its segments."""
        return all(set(even(total, self._count(config))) & set(faced) for config in self.configs)

    def frames(self, start: int, stop: int, fps: float) -> Positions:
        """The frames (n,) of a segment that any configuration reads."""
        return np.unique(np.concatenate([middle_clip(start, stop, fps, config) for config in self.configs]))

    def crops(self, start: int, stop: int, fps: float, there: Positions, seen: Sequence[int]) -> Positions:
        """Those of the frames `there` (n,) of a segment's tracklet that any configuration reads."""
        clips = [middle_clip(start, stop, fps, config) for config in self.configs]
        return np.unique(np.concatenate([scored_frames(there, seen, clip) for clip in clips]))

    def segments(self, config: ClipConfig, total: int, faced: Sequence[int]) -> list[int]:
        """The segments on which a configuration scores a video. total: of the video. faced: those that show a face."""
        return scored(total, faced, self._count(config))

    def _count(self, config: ClipConfig) -> int:
        return part_of(config.clips, self.share)


def part_of(count: int, share: float) -> int:
    """Number of items in a share in [0,1] of `count`: at least one.

    >>> part_of(5, 0.5), part_of(5, 0.0)
    (2, 1)
    """
    return max(1, round(count * share))


def scored_frames(there: Positions, seen: Sequence[int], clip: Positions) -> Positions:
    """Adapt a middle clip (length,) to the frames that a tracklet has: the frames (length,) on which a face is scored.

    there: the frames (T,) of its tracklet. A missing frame is replaced by the nearest one of the clip that the tracklet
    has; if it has none, by the nearest frame on which the face was `seen`. Other frames make no difference.

    >>> scored_frames(np.arange(10, 20), [10, 19], np.array([8, 10, 12, 14])).tolist()
    [10, 10, 12, 14]
    >>> scored_frames(np.array([10, 19]), [10, 19], np.array([12, 14, 16])).tolist()
    [10, 10, 19]
    """
    known = np.intersect1d(clip, there)
    known = known if len(known) else np.asarray(seen, np.int64)
    after = np.minimum(np.searchsorted(known, clip), len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(known[before] - clip) < np.abs(known[after] - clip)
    return known[np.where(nearer, before, after)]


def _fit(frames: int, track_fps: float, config: ClipConfig) -> tuple[int, int]:
    """The stride, reduced until a clip fits the track if possible, and the last start position."""
    if frames < 1:
        raise ValueError("a track has no frame to sample")
    step = stride(track_fps, config.fps)
    while step > 1 and (config.length - 1) * step + 1 > frames:
        step -= 1
    return step, max(0, frames - ((config.length - 1) * step + 1))
