"""A prediction from videos to submission.csv, which keeps its time and goes on after a kill.

submission.csv              whole at every moment
submission.journal.jsonl    the videos that are finished; gone when the run has ended
.submission.csv.faces/      face tracks until they are scored, where no dataset is named; gone when the run has ended
"""

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from dfd.faces.build import Job, Progress
from dfd.faces.store import FaceStore, VideoRecord
from dfd.inference.budget import FULL, MIRRORED, TIERS, Budget
from dfd.inference.bundle import Bundle
from dfd.inference.forward import one_core_a_network
from dfd.inference.journal import Journal
from dfd.inference.predict import Prediction, faces_of, predict
from dfd.types import Video
from dfd.videos.workers import MEMORY, available_cores


@dataclass(frozen=True)
class Settings:
    """seconds: that the run may take. workers, timeout, memory: Limits'. faces: a dataset to use and continue.

    mirror: score each clip mirrored as well, while there is time.
    """

    seconds: float = 8.5 * 3600
    workers: int = 0
    timeout: float = 120.0
    memory: float = MEMORY
    faces: Path | None = None
    mirror: bool = False


def run(
    videos: Sequence[Video],
    bundle: Bundle,
    out: Path,
    settings: Settings = Settings(),
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Prediction:
    """Score `videos` into `out`, a row for each. What an earlier run of the same command finished is not done again.

    tell: told when the tier changes. Raises SubmissionError where `out` cannot be written or another run writes it;
    StoreError where settings.faces is no dataset for this bundle.
    """
    scratch = out.with_name(f".{out.name}.faces")
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(out.with_suffix(".journal.jsonl"), bundle.info.sha256(), videos))
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed: this one alone has the journal
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        todo = [video for video in videos if video.name not in journal.scores]
        best = MIRRORED if settings.mirror else FULL
        budget = Budget(len(todo), settings.seconds, settings.workers or available_cores(), tell=tell, best=best)
        if bundle.device.type == "cpu":
            stack.enter_context(one_core_a_network())
        jobs = _jobs(bundle, scratch, settings.faces)
        limits = (settings.workers, settings.timeout, budget.until, settings.memory)
        found = faces_of(todo, jobs[0].store, *limits, choose=lambda video: jobs[budget.begin(video.name)])
        records = stack.enter_context(closing(_forgotten(found, scratch)))
        return predict([video.name for video in videos], records, bundle, out, progress, budget, journal)


def _jobs(bundle: Bundle, scratch: Path, faces: Path | None) -> list[Job]:
    """How faces are looked for in each tier: on the frames that are scored, and into `scratch`.

    A dataset takes whole tracks, where there is no haste.
    """
    config = bundle.info.faces
    jobs = []
    for number, tier in enumerate(TIERS):
        spaced = config.replace(detect_every=min(10.0, config.detect_every * tier.spacing))
        store = FaceStore.create(scratch / str(number), spaced)
        jobs.append(Job(store, bundle.plan(tier.clips, tier.members)))
    if faces:
        jobs[: FULL + 1] = [Job(FaceStore.create(faces, config))] * (FULL + 1)
    return jobs


def _forgotten(records: Iterator[list[VideoRecord]], scratch: Path) -> Generator[list[VideoRecord], None, None]:
    """The same records; once they are scored, their tracks are removed from `scratch`."""
    for come in records:
        yield come
        tracks = [track.path for record in come for track in record.tracks]
        for folder in {path.parent for path in tracks if scratch in path.parents}:
            shutil.rmtree(folder, ignore_errors=True)
