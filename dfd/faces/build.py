"""Many videos' faces: each looked at by a worker, every failure on record, and a dataset resumed where it stopped."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

from dfd.faces.recorder import failure, in_memory
from dfd.faces.records import VideoRecord
from dfd.faces.shards import SHARD
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig, load_detector
from dfd.faces.written import Stamp, file_stamp
from dfd.types import Video, Wanted
from dfd.videos.workers import Limits, Outcome, each_video

Progress = Callable[[int, int, str], None]
"""Called with (done, of how many, what was done last)."""
Each = Callable[..., Generator[list[Outcome], None, None]]
"""Where videos are read: each_video here, or what a cluster has in its place."""
ALL = Limits()
"""No limits but the usual ones."""


def build_store(
    videos: Sequence[Video],
    folder: Path,
    config: FacesConfig,
    limits: Limits = ALL,
    progress: Progress | None = None,
    cut: bool = False,
    origin: Path | None = None,
    each: Each = each_video,
) -> FaceStore:
    """The dataset in `folder`, with every one of `videos` on record, labelled as known now, and tables written.

    Videos on record whose file has not changed are not looked at again, unless what failed may go well this time.
    cut: pictures among them were cut before, `config.margin` times as wide as the face's box. origin: the folder that
    the videos' names begin in. each: as in looked_at. Raises StoreError when `folder` holds something else or other
    settings.
    """
    store = FaceStore.create(folder, config, cut, origin)
    store.correct(videos)
    _, todo = known_in(videos, store)
    with closing(looked_at(todo, config, lambda _: None, limits, store, each=each)) as records:
        for done, record in enumerate(chain.from_iterable(records), 1):
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
    each: Each = each_video,
) -> Generator[list[VideoRecord], None, None]:
    """The videos' records as workers finish them; `known` ones first. The workers start at once.

    wanted: asked when a video's turn comes: what is looked at of it, and kept in memory; None puts all of it into the
    dataset `store`, or without one into memory. each: reads them; called as each_video is.
    """

    cut = store is not None and store.cut
    shelf = _Shelf(store)

    def arguments(video: Video) -> tuple[FacesConfig, Wanted | None, Path | None, bool]:
        part = wanted(video)
        shelf.begin(video)
        return config, part, store.folder if store and part is None and not video.still else None, cut

    outcomes = each(look, videos, arguments, limits, prepare=load_detector)
    return _records(outcomes, list(known), shelf)


def look(
    video: Video, config: FacesConfig, wanted: Wanted | None, folder: Path | None, cut: bool = False
) -> VideoRecord:
    """In a worker: one video's record, put into the dataset in `folder` where one is given. cut: as in FaceStore.

    What another machine has put there meanwhile is not done again.
    """
    if folder is None:
        return in_memory(video, config, wanted, cut)
    store = FaceStore(folder, config)
    return store.record(video) or store.write(video)


def _records(
    outcomes: Generator[list[Outcome], None, None], known: list[VideoRecord], shelf: "_Shelf"
) -> Generator[list[VideoRecord], None, None]:
    with closing(shelf), closing(outcomes):
        if known:
            yield known
        for come in outcomes:
            yield [shelf.put(outcome) for outcome in come]


class _Shelf:
    """Puts what workers did not write on record in a dataset, if any: failures, and pictures, a shard at a time."""

    def __init__(self, store: FaceStore | None) -> None:
        self._store = store
        self._stamps: dict[str, Stamp] = {}
        self._rows: list[tuple[VideoRecord, Stamp]] = []

    def begin(self, video: Video) -> None:
        """A picture is looked at now: its file may change later."""
        if self._store and video.still:
            self._stamps[video.name] = file_stamp(video.path)

    def put(self, outcome: Outcome) -> VideoRecord:
        """The record of what came of a video."""
        record: VideoRecord = outcome.value if outcome.status == "ok" else failure(outcome)
        stamp = self._stamps.pop(record.video, None)
        if not self._store:
            return record
        if not outcome.video.still:
            return record if outcome.status == "ok" else self._store.write_failure(outcome)
        if record.status != "out_of_budget":
            self._rows.append((record, stamp))
        if len(self._rows) >= SHARD:
            self.close()
        return record

    def close(self) -> None:
        """Put the pictures that are left on record."""
        if self._store:
            self._store.shards.add(self._rows)
        self._rows = []


def known_in(
    videos: Sequence[Video], store: FaceStore | None, by_time: bool = True
) -> tuple[list[VideoRecord], list[Video]]:
    """What a dataset has of `videos`, and which are to be done; by_time: as in FaceStore.record."""
    known = {video.name: store.record(video, by_time) if store else None for video in videos}
    return [r for r in known.values() if r is not None], [video for video in videos if known[video.name] is None]
