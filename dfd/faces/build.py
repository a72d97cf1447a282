"""Building a face-track dataset: every video through a worker, every failure on record, resumed where it stopped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from dfd.faces.extract import Extraction, FacesConfig, extract_tracks
from dfd.faces.store import FaceStore, VideoRecord
from dfd.types import Plan, Video
from dfd.videos.workers import MEMORY, Limits, Outcome, each_video

Progress = Callable[[int, int, str], None]
"""Told (done, of how many, what was done last)."""


@dataclass(frozen=True)
class Job:
    """How a video's faces are looked for. store: where they go. plan: the pictures to look at, all where it is None."""

    store: FaceStore
    plan: Plan | None = None


def build_store(
    videos: Sequence[Video],
    folder: Path,
    config: FacesConfig,
    workers: int = 0,
    timeout: float = 120.0,
    progress: Progress | None = None,
    memory: float = MEMORY,
) -> FaceStore:
    """The dataset in `folder`, with every one of `videos` on record and tables written.

    Videos on record whose file has not changed are left alone. Limits as of each_video. Raises StoreError when `folder`
    holds something else or other settings.
    """
    store = FaceStore.create(folder, config)
    todo = [video for video in videos if store.record(video) is None]
    records = chain.from_iterable(store_videos(store, todo, workers, timeout, memory=memory))
    for done, record in enumerate(records, 1):
        if progress:
            progress(done, len(todo), record.video)
    store.write_tables()
    return store


def store_videos(
    store: FaceStore,
    videos: Sequence[Video],
    workers: int = 0,
    timeout: float = 120.0,
    until: float | None = None,
    memory: float = MEMORY,
    choose: Callable[[Video], Job] | None = None,
) -> Iterator[list[VideoRecord]]:
    """Put `videos` into `store`, yielding at a time the records that have come. Limits as of each_video.

    What is not done by `until` is yielded as "out_of_budget" and is not on record, so that a later run does it.
    choose: asked, when a video's turn comes, how it is done instead.
    """
    place: dict[str, FaceStore] = {}

    def arguments(video: Video) -> tuple[Path, FacesConfig, Plan | None]:
        job = choose(video) if choose else Job(store)
        place[video.name] = job.store
        return job.store.folder, job.store.config, job.plan

    for come in each_video(_store_video, videos, arguments, Limits(workers, timeout, until, memory)):
        yield [_record(outcome, place.get(outcome.video.name, store)) for outcome in come]


def _record(outcome: Outcome, store: FaceStore) -> VideoRecord:
    """Of an outcome: what the worker has put on record, or the failure, which is put there now."""
    record = store.record(outcome.video) if outcome.status == "ok" else None
    if outcome.status == "ok" and record is None:
        outcome = replace(outcome, status="error", reason="the file changed while it was read")
    return record or store.write_failure(outcome)


def _store_video(video: Video, folder: Path, config: FacesConfig, plan: Plan | None) -> None:
    """In a worker: one video's tracks into the store."""
    told = Extraction()
    FaceStore(folder, config).write(video, extract_tracks(video, config, told, plan), told)
