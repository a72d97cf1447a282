"""From videos to explanations: workers look for faces before torch is loaded here, as in a prediction."""

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
"""As a share of the segments that are scored: all that a video has."""
TELLING = 5
"""Frames that are shown of each person."""


def wanted(info: BundleInfo, thorough: bool = False) -> ScoredClips:
    """What is read of a video: what a prediction scores, or the same of every segment."""
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
    """Why each of `videos` gets its score, in their order; names are unique.

    A video that fails gives an explanation with its reason, never an exception.

    info: of the bundle that `load` loads, while workers look for faces already. thorough, frames: as explain() has
    them. Raises what `load` raises.
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
    from dfd.inference.explain import Explanation, explain  # and with it torch, which the workers need not wait for

    try:
        return explain(video, record, bundle, thorough, frames)
    except (DfdError, OSError) as error:
        return Explanation(video, VideoScore(video.name, PRIOR, "error", record.seconds, str(error)), bundle.info)
