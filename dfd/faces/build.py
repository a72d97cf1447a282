"""Many videos' faces: each looked at by a worker, every failure on record, and a dataset resumed where it stopped."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

from dfd.faces.recorder import failure, in_memory
from dfd.faces.records import VideoRecord
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig, load_detector
from dfd.types import Video, Wanted
from dfd.videos.workers import Limits, Outcome, each_video

Progress = Callable[[int, int, str], None]
"""Told (done, of how many, what was done last)."""
ALL = Limits()
"""No limits but the usual ones."""


def build_store(
    videos: Sequence[Video],
    folder: Path,
    config: FacesConfig,
    limits: Limits = ALL,
    progress: Progress | None = None,
) -> FaceStore:
    """The dataset in `folder`, with every one of `videos` on record, labelled as known now, and tables written.

    Videos on record whose file has not changed are not looked at again, unless what failed may go well this time.
    Raises StoreError when `folder` holds something else or other settings.
    """
    store = FaceStore.create(folder, config)
    for video in videos:
        store.correct(video)
    _, todo = known_in(videos, store)
    records = chain.from_iterable(looked_at(todo, config, lambda _: None, limits, store))
    for done, record in enumerate(records, 1):
        if progress:
            progress(done, len(todo), record.video)
    store.write_tables()
    return store


def stored(
    videos: Sequence[Video], store: FaceStore, limits: Limits = ALL, by_time: bool = True
) -> Iterator[list[VideoRecord]]:
    """The videos' records: at once what the dataset has, then as workers finish the others.

    What is not done by `limits.until` is yielded as "out_of_budget" and is not on record. by_time: as in
    FaceStore.record.
    """
    known, todo = known_in(videos, store, by_time)
    return looked_at(todo, store.config, lambda _: None, limits, store, known)


def looked_at(
    videos: Sequence[Video],
    config: FacesConfig,
    wanted: Callable[[Video], Wanted | None],
    limits: Limits = ALL,
    store: FaceStore | None = None,
    known: Sequence[VideoRecord] = (),
) -> Generator[list[VideoRecord], None, None]:
    """The videos' records as workers finish them; `known` ones first. The workers start at once.

    wanted: asked when a video's turn comes: what is looked at of it, and kept in memory; None puts all of it into the
    dataset `store`, or without one into memory.
    """

    def arguments(video: Video) -> tuple[FacesConfig, Wanted | None, Path | None]:
        part = wanted(video)
        return config, part, store.folder if store and part is None else None

    outcomes = each_video(look, videos, arguments, limits, prepare=load_detector)
    return _records(outcomes, list(known), store)


def look(video: Video, config: FacesConfig, wanted: Wanted | None, folder: Path | None) -> VideoRecord:
    """In a worker: one video's record, put into the dataset in `folder` where one is given."""
    return FaceStore(folder, config).write(video) if folder else in_memory(video, config, wanted)


def _records(
    outcomes: Generator[list[Outcome], None, None], known: list[VideoRecord], store: FaceStore | None
) -> Generator[list[VideoRecord], None, None]:
    with closing(outcomes):
        if known:
            yield known
        for come in outcomes:
            yield [_record(outcome, store) for outcome in come]


def _record(outcome: Outcome, store: FaceStore | None) -> VideoRecord:
    if outcome.status == "ok":
        made: VideoRecord = outcome.value
        return made
    return store.write_failure(outcome) if store else failure(outcome)


def known_in(
    videos: Sequence[Video], store: FaceStore | None, by_time: bool = True
) -> tuple[list[VideoRecord], list[Video]]:
    """What a dataset has of `videos`, and which are to be done; by_time: as in FaceStore.record."""
    known = {video.name: store.record(video, by_time) if store else None for video in videos}
    return [r for r in known.values() if r is not None], [video for video in videos if known[video.name] is None]
