"""A prediction from videos to submission.csv, which keeps its time and goes on after a kill.

submission.csv              whole at every moment
submission.journal.jsonl    the videos that are finished; gone when the run has ended
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
from dfd.faces.build import Progress, known_in, looked_at
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
from dfd.videos.workers import MEMORY, Limits, available_cores

if TYPE_CHECKING:  # which imports torch: workers begin before that
    from dfd.inference.bundle import Bundle


@dataclass(frozen=True)
class Settings:
    """seconds: that the run may take. workers, timeout, memory: Limits'. faces: a dataset to use and continue.

    most: faces of a segment that are scored, the largest first; as the bundle says if None.
    mirror: score each clip mirrored as well, while there is time. device: where the networks are; a GPU computes in 16
    bits. Raises ConfigError for impossible seconds.
    """

    seconds: float = 8.5 * 3600
    workers: int = 0
    timeout: float = 120.0
    memory: float = MEMORY
    faces: Path | None = None
    mirror: bool = False
    device: str = "cpu"
    most: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ConfigError(f"the time is {self.seconds:g} s: give a number above 0")

    def key(self) -> dict[str, object]:
        """What of them changes a score."""
        return {
            "mirror": self.mirror,
            "faces": str(self.faces.resolve()) if self.faces else None,
            "device": self.device.partition(":")[0],
            "most": self.most,
        }

    def looks_for(self, info: BundleInfo) -> FacesConfig:
        """How faces are looked for: as the bundle says, but for how many. Raises ConfigError."""
        return info.faces if self.most is None else info.faces.replace(faces=self.most)


def run(
    videos: Sequence[Video],
    info: BundleInfo,
    load: Callable[[], Bundle],
    out: Path,
    settings: Settings = Settings(),
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    nodes: Nodes | None = None,
) -> Prediction:
    """Score `videos` into `out`, a row for each. What an earlier run of the same command finished is not done again.

    info: of the bundle that `load` loads, while workers look for faces already. tell: called when the speed changes,
    and when a journal of other settings is left aside. nodes: of a cluster, which do it all but write. Raises
    SubmissionError where `out` cannot be written or another run writes it; StoreError where settings.faces is no
    dataset for this bundle; ConfigError; what `load` raises.
    """
    start = time.monotonic()
    config = settings.looks_for(info)
    key = {"bundle": info.sha256(), **settings.key()}
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(out.with_suffix(".journal.jsonl"), key, videos, settings.seconds, tell))
        todo = [video for video in videos if video.name not in journal.scores]
        best = MIRRORED if settings.mirror else FULL
        workers = nodes.workers if nodes else settings.workers or available_cores()
        budget = Budget(len(todo), settings.seconds, workers, tell=tell, best=best)
        limits = Limits(settings.workers, settings.timeout, budget.until, settings.memory)
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
        made = gather(names, _doubted(scores, todo), bundle, out, progress, budget, journal)
    return replace(made, seconds=time.monotonic() - start)


def _doubted(scores: Iterable[list[VideoScore]], videos: Sequence[Video]) -> Iterator[list[VideoScore]]:
    """The scores as they come, with what their files give to doubt; a file behind a URL is not fetched again."""
    paths = {video.name: video.path for video in videos if not url_of(video.path)}
    for some in scores:
        yield [with_file_doubts(score, paths[score.name]) if score.name in paths else score for score in some]


def _look(
    videos: Sequence[Video], info: BundleInfo, config: FacesConfig, faces: Path | None, budget: Budget, limits: Limits
) -> Generator[list[VideoRecord], None, None]:
    """The videos' records."""
    store = FaceStore.create(faces, config) if faces else None

    def wanted(video: Video) -> Wanted | None:
        return wanted_at(SPEEDS[budget.begin(video.name)], info, store is not None)

    known, todo = known_in(videos, store)
    return looked_at(todo, config, wanted, limits, store, known)
