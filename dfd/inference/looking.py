"""Explain videos. Workers detect faces before this process imports torch, as in a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

from dfd.clips.sampling import ScoredClips
from dfd.errors import DfdError
from dfd.faces.build import ALL, Progress, looked_at
from dfd.faces.records import VideoRecord
from dfd.inference.info import BundleInfo
from dfd.inference.predict import PRIOR
from dfd.types import Video, VideoScore
from dfd.videos.workers import Limits

if TYPE_CHECKING:
    from dfd.inference.bundle import Bundle
    from dfd.inference.explain import Explanation

EVERY = 1e6
"""Multiple of the segments that a prediction scores, large enough to include all of a video."""
TELLING = 5
"""Number of frames shown per person."""


def wanted(info: BundleInfo, thorough: bool = False) -> ScoredClips:
    """The frames to read of a video: those that a prediction scores, or the same of every segment."""
    return ScoredClips(tuple(dict.fromkeys(member.clip for member in info.members)), EVERY if thorough else 1.0)


def explained(
    videos: Sequence[Video],
    info: BundleInfo,
    load: Callable[[], Bundle],
    thorough: bool = False,
    frames: int = TELLING,
    limits: Limits = ALL,
    progress: Progress | None = None,
) -> list[Explanation]:
    """Explain the score of each of `videos`, in their order. Names must be unique.

    A video that fails gives an explanation with its reason, never an exception.

    info: of the bundle that `load` loads while workers detect faces. thorough, frames: as in explain().
    Raises what `load` raises.
    """
    plan, by_name = wanted(info, thorough), {video.name: video for video in videos}
    found: dict[str, Explanation] = {}
    with closing(looked_at(videos, info.faces, lambda _: plan, limits)) as records:
        bundle = load()
        with bundle.ready():
            for record in chain.from_iterable(records):
                found[record.video] = _safely(by_name[record.video], record, bundle, thorough, frames)
                if progress:
                    progress(len(found), len(videos), record.video)
    return [found[video.name] for video in videos]


def _safely(video: Video, record: VideoRecord, bundle: Bundle, thorough: bool, frames: int) -> Explanation:
    from dfd.inference.explain import Explanation, explain  # imports torch, for which workers need not wait

    try:
        return explain(video, record, bundle, thorough, frames)
    except (DfdError, OSError) as error:
        return Explanation(video, VideoScore(video.name, PRIOR, "error", record.seconds, str(error)), bundle.info)
