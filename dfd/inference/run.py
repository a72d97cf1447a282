"""Predict from videos to submission.csv within a time limit. A killed run can be resumed.

submission.csv              complete at every moment
submission.journal.jsonl    the finished videos; deleted at the end of the run
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfd.errors import ConfigError
from dfd.faces.build import ALL, Progress, known_in, looked_at
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.budget import FULL, MIRRORED, SPEEDS, Budget
from dfd.inference.info import BundleInfo
from dfd.inference.journal import Journal
from dfd.inference.nodes import Nodes, Scorer, scores_of, wanted_at
from dfd.inference.predict import Prediction, gather, scored, with_file_doubts
from dfd.types import Video, VideoScore, Wanted
from dfd.videos.remote import url_of
from dfd.videos.workers import Limits, available_cores

if TYPE_CHECKING:  # imports torch: workers start before that
    from dfd.inference.bundle import Bundle


@dataclass(frozen=True)
class Settings:
    """How to run a prediction: what it may take, what affects its scores, and where its progress goes.

    seconds: time limit of the run. limits: of each video; `until` is replaced by the end of the run. faces: a dataset
    to use and extend. mirror: also score each clip mirrored, while there is time. device: of the networks; a GPU
    computes in 16 bits. most: maximum number of faces scored per segment, largest first; None for the bundle's setting.
    progress: called after each video. tell: called when the speed changes, and when a journal with other settings is
    ignored. nodes: of a cluster, which do everything except writing. Raises ConfigError for impossible seconds.
    """

    seconds: float = 8.5 * 3600
    limits: Limits = ALL
    faces: Path | None = None
    mirror: bool = False
    device: str = "cpu"
    most: int | None = None
    progress: Progress | None = None
    tell: Callable[[str], None] | None = None
    nodes: Nodes | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ConfigError(f"the time is {self.seconds:g} s: give a number above 0")

    def key(self) -> dict[str, object]:
        """The settings that affect a score."""
        return {
            "mirror": self.mirror,
            "faces": str(self.faces.resolve()) if self.faces else None,
            "device": self.device.partition(":")[0],
            "most": self.most,
        }

    def looks_for(self, info: BundleInfo) -> FacesConfig:
        """Face settings: the bundle's, except for the number of faces. Raises ConfigError."""
        return info.faces if self.most is None else info.faces.replace(faces=self.most)


def run(
    videos: Sequence[Video],
    info: BundleInfo,
    load: Callable[[], Bundle],
    out: Path,
    settings: Settings = Settings(),
) -> Prediction:
    """Score `videos` into `out`, one row each. Rows finished by an earlier run of the same command are kept.

    info: of the bundle that `load` loads while workers detect faces. Raises SubmissionError if `out` cannot be written
    or another run writes it; StoreError if settings.faces is not a dataset that suits this bundle; ConfigError; what
    `load` raises.
    """
    start = time.monotonic()
    config, tell, nodes = settings.looks_for(info), settings.tell, settings.nodes
    key = {"bundle": info.sha256(), **settings.key()}
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(out.with_suffix(".journal.jsonl"), key, videos, settings.seconds, tell))
        todo = [video for video in videos if video.name not in journal.scores]
        best = MIRRORED if settings.mirror else FULL
        workers = nodes.workers if nodes else settings.limits.workers or available_cores()
        budget = Budget(len(todo), settings.seconds, workers, tell=tell, best=best)
        limits = replace(settings.limits, until=budget.until)
        names = [video.name for video in videos]
        if nodes:
            if settings.faces:
                FaceStore.create(settings.faces, config)
            scorer = Scorer(nodes.bundle, info.sha256(), limits, settings.faces, settings.device, nodes.force, config)
            scores: Iterator[list[VideoScore]] = stack.enter_context(closing(scores_of(todo, scorer, nodes, budget)))
            bundle = load()
        else:
            records = stack.enter_context(closing(_look(todo, info, config, settings.faces, budget, limits)))
            bundle = load()
            stack.enter_context(bundle.ready())
            scores = scored(names, records, bundle, budget)
        made = gather(names, _doubted(scores, todo), bundle, out, settings.progress, budget, journal)
    return replace(made, seconds=time.monotonic() - start)


def _doubted(scores: Iterable[list[VideoScore]], videos: Sequence[Video]) -> Iterator[list[VideoScore]]:
    """Add the files' reasons for doubt to the scores. A file behind a URL is not downloaded again."""
    paths = {video.name: video.path for video in videos if not url_of(video.path)}
    for some in scores:
        yield [with_file_doubts(score, paths[score.name]) if score.name in paths else score for score in some]


def _look(
    videos: Sequence[Video], info: BundleInfo, config: FacesConfig, faces: Path | None, budget: Budget, limits: Limits
) -> Generator[list[VideoRecord], None, None]:
    """Yield the videos' records."""
    store = FaceStore.create(faces, config) if faces else None

    def wanted(video: Video) -> Wanted | None:
        return wanted_at(SPEEDS[budget.begin(video.name)], info, store is not None)

    known, todo = known_in(videos, store)
    return looked_at(todo, config, wanted, limits, store, known)
