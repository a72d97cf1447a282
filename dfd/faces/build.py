"""Build the faces of many videos. Workers process them, every failure is recorded, and a stopped dataset is resumed."""

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
"""Called with (number done, total, name of the last one done)."""
Each = Callable[..., Generator[list[Outcome], None, None]]
"""What reads the videos: each_video on this machine, or a cluster's replacement."""
ALL = Limits()
"""The default limits."""


def build_store(
    videos: Sequence[Video],
    store: FaceStore,
    limits: Limits = ALL,
    progress: Progress | None = None,
    each: Each = each_video,
) -> FaceStore:
    """Record every one of `videos` in the dataset `store` with its current label, and write the tables.

    Returns `store`. Recorded videos whose file has not changed are skipped, unless they failed for a temporary reason.
    each: as in looked_at.
    """
    store.correct(videos)
    _, todo = known_in(videos, store)
    with closing(looked_at(todo, store.config, lambda _: None, limits, store, each=each)) as records:
        for done, record in enumerate(chain.from_iterable(records), 1):
            if progress:
                progress(done, len(todo), record.video)
    store.write_tables()
    return store


def stored(
    videos: Sequence[Video], store: FaceStore, limits: Limits = ALL, by_time: bool = True
) -> Iterator[list[VideoRecord]]:
    """Yield the videos' records: first those in the dataset, then the others as workers finish them.

    Videos not done by `limits.until` are yielded as "out_of_budget" and not recorded. by_time: as in
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
    """Yield the videos' records as workers finish them, starting with `known`. The workers start at once.

    wanted: called when a video's turn comes. It returns the part of the video to process and keep in memory; None
    puts the whole video into the dataset `store`, or into memory without one. each: reads them; called like each_video.
    """

    cut = store is not None and store.cut
    shelf = _Shelf(store)

    def arguments(video: Video) -> tuple[FacesConfig, Wanted | None, Path | None, bool]:
        """Arguments of `look` for one video. Called when its turn comes."""
        part = wanted(video)
        shelf.begin(video)
        return config, part, store.folder if store and part is None and not video.still else None, cut

    outcomes = each(look, videos, arguments, limits, prepare=load_detector)
    return _records(outcomes, list(known), shelf)


def look(
    video: Video, config: FacesConfig, wanted: Wanted | None, folder: Path | None, cut: bool = False
) -> VideoRecord:
    """Process one video in a worker and return its record, written to the dataset in `folder` if given.

    A record that another machine has written meanwhile is kept. cut: as in FaceStore.
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
        for batch in outcomes:
            yield [shelf.put(outcome) for outcome in batch]


class _Shelf:
    """Records in a dataset, if any, what the workers did not: failures, and images, one shard at a time."""

    def __init__(self, store: FaceStore | None) -> None:
        self._store = store
        self._stamps: dict[str, Stamp] = {}
        self._rows: list[tuple[VideoRecord, Stamp]] = []

    def begin(self, video: Video) -> None:
        """Note an image's file stamp before it is read, since the file may change later."""
        if self._store and video.still:
            self._stamps[video.name] = file_stamp(video.path)

    def put(self, outcome: Outcome) -> VideoRecord:
        """Turn a video's outcome into its record, and store it."""
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
        """Write the remaining images."""
        if self._store:
            self._store.shards.add(self._rows)
        self._rows = []


def known_in(
    videos: Sequence[Video], store: FaceStore | None, by_time: bool = True
) -> tuple[list[VideoRecord], list[Video]]:
    """Split `videos` into those that a dataset has records of, and those still to do. by_time: see FaceStore.record."""
    known = {video.name: store.record(video, by_time) if store else None for video in videos}
    return [r for r in known.values() if r is not None], [video for video in videos if known[video.name] is None]
