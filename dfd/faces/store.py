"""The dataset on disk: one record and one film per video, from which any clip is read in milliseconds.

    dataset.json                      the settings it was built with
        tracklets/<2 digits>/<video>.json the record of a video: its status, and the trajectory of each tracklet
        tracklets/<…>/<video>.<hash>.mjpeg  its film: the crops of all tracklets as consecutive JPEGs
        pictures/                         records and films of images, hundreds per file: faces/shards.py
        videos.csv, tracklets.csv         the records as tables: one row per video, one per tracklet

Reading writes nothing. A video is in the dataset once its record is. The record names its film by content, so two
processes, even on two machines, may finish the same video at a time: the first one's record and film are kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from dfd.errors import StoreError
from dfd.faces.film import SUFFIX
from dfd.faces.recorder import Recorder, failure, in_memory
from dfd.faces.records import VideoRecord
from dfd.faces.shards import Shards
from dfd.faces.tables import write_tables
from dfd.faces.tracklets import FacesConfig
from dfd.faces.written import About, Stamp, corrected, file_stamp, kept, read, read_about, same_file, written
from dfd.files import PARTIAL, partial_path, sha256, sweep, sync, write_json, write_new, write_text
from dfd.types import UNDONE, Video
from dfd.videos.workers import Outcome

FORMAT = 4
READ = (3, FORMAT)
"""The formats that can be read. Earlier ones lack only images."""
SETTINGS = "dataset.json"
FIRST_FORMAT = "faces.json"
"""Name of the settings file in datasets of format 1."""


class FaceStore:
    """A dataset in a folder. cut: its images were crops already, `config.margin` times as wide as the face box.

    videos: the folder to which its videos' names are relative, if known. It may no longer exist.
    """

    def __init__(self, folder: Path, config: FacesConfig, cut: bool = False, videos: Path | None = None) -> None:
        self.folder = folder
        self.config = config
        self.cut = cut
        self.videos = videos
        self.shards = Shards(folder)

    @classmethod
    def create(
        cls, folder: Path, config: FacesConfig, cut: bool | None = None, videos: Path | None = None
    ) -> FaceStore:
        """Create a dataset in `folder`, or continue the one there. cut: None keeps its setting. videos: as in
        FaceStore.

        Raises StoreError when the dataset there has other settings or another `cut`.
        """
        if is_store(folder):
            store = cls.open(folder)
            if store.config != config:
                raise StoreError(
                    f"{folder} was built with {_differences(store.config, config)}: continue with the same settings, "
                    "or build into another folder"
                )
            if cut is not None and cut is not store.cut:
                has = "of pictures that were cut before" if store.cut else "without --cut-margin"
                raise StoreError(f"{folder} was built {has}: continue in the same way, or build into another folder")
            sweep(folder)
            return store
        if folder.is_file() or (folder.is_dir() and any(map(_strange, folder.iterdir()))):
            raise StoreError(f"{folder} is not empty and no dataset of dfd faces: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        about = {"format": FORMAT, "settings": config.model_dump(), "cut": bool(cut)}
        origin = videos.resolve() if videos else None
        write_json(folder / SETTINGS, {**about, **({"videos": str(origin)} if origin else {})}, durable=True)
        return cls(folder, config, bool(cut), origin)

    @classmethod
    def open(cls, folder: Path) -> FaceStore:
        """Open the dataset in `folder`. Raises StoreError when there is none, or none of a known format."""
        path = folder / SETTINGS
        if (folder / FIRST_FORMAT).exists() and not path.exists():
            raise StoreError(
                f"{folder} is of format 1, and this version reads {FORMAT}: build it again with `dfd faces`"
            )
        if not path.is_file():
            raise StoreError(f"{folder} is no dataset (no {SETTINGS}): build one with `dfd faces`")
        about = read_about(path)
        if about.get("format") not in READ:
            raise StoreError(f"{path} is of another format than {FORMAT}: build it again with `dfd faces`")
        videos = Path(about["videos"]) if isinstance(about.get("videos"), str) else None
        return cls(folder, FacesConfig.read(about["settings"], str(path)), about.get("cut", False), videos)

    def record(self, video: Video, by_time: bool = True) -> VideoRecord | None:
        """The record of `video` with its current label; None if the video has to be processed.

        It has to be if it has no record, failed for a temporary reason, or if its file has changed in size or time;
        with by_time False only the size is compared.
        """
        there = self.shards.about(video.name) if video.still else self._about(video.name)
        if there is None:
            return None
        about, path = there
        if about.get("status", "error") in UNDONE or not same_file(about["file"], file_stamp(video.path), by_time):
            return None
        return read(about, path, self.config).known_as(video)

    def named(self, name: str) -> VideoRecord | None:
        """The record of the video or image of that name, whatever its status; None if there is no record."""
        there = self._about(name) or self.shards.about(name)
        return read(*there, self.config) if there else None

    def write(self, video: Video) -> VideoRecord:
        """Process `video` and store its record. Returns the stored record, from this or another process.

        Raises VideoReadError when no frame can be read.
        """
        stamp = file_stamp(video.path)  # before reading: the file may change meanwhile
        if video.still:
            self.shards.add([(in_memory(video, self.config, cut=self.cut), stamp)])
        else:
            self._write_film(video, stamp)
        found = self.record(video)
        if found is None:
            raise StoreError(f"{video.path} changed while it was read")
        return found

    def _write_film(self, video: Video, stamp: Stamp) -> None:
        place = self.place(video.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(video, self.config)
        partial = partial_path(place)
        try:
            film = place
            with partial.open("wb") as file:
                recorder.film(None, file)
            if partial.stat().st_size:
                film = place.with_name(f"{place.stem}.{sha256(partial)[:16]}{SUFFIX}")
                sync(partial)
                partial.replace(film)
            self._put(video, recorder.record(film), stamp)
        finally:
            partial.unlink(missing_ok=True)

    def write_failure(self, outcome: Outcome) -> VideoRecord:
        """Record that a video failed, and why. Returns that record.

        A temporary failure does not replace a better record, and is not recorded for a video that was never started.
        """
        record, stamp = failure(outcome), file_stamp(outcome.video.path)
        if outcome.status == "out_of_budget" or self.record(outcome.video) is not None:
            return record
        if outcome.video.still:
            self.shards.add([(record, stamp)])
        else:
            self._put(outcome.video, record, stamp)
        return record

    def correct(self, videos: Sequence[Video]) -> None:
        """Update the labels, sources and people in the records of `videos`, if they are known and differ."""
        for video in videos:
            there = None if video.still else self._about(video.name)
            if there and (better := corrected(there[0], video)) != there[0]:
                write_json(there[1], better, durable=True)
        self.shards.correct({video.name: video for video in videos if video.still})

    def write_tables(self) -> None:
        """Write videos.csv and tracklets.csv from the records."""
        write_tables(self.records(), self.folder)

    def records(self) -> list[VideoRecord]:
        """Every record of a video or image, by name, including temporary failures."""
        paths = (path for path in (self.folder / "tracklets").glob("*/*.json") if not path.name.startswith("."))
        abouts = chain(((read_about(path), path) for path in paths), self.shards.abouts())
        return sorted((read(about, path, self.config) for about, path in abouts), key=lambda record: record.video)

    def _about(self, name: str) -> tuple[About, Path] | None:
        """The record of a video as JSON, and its file; None if it has no record."""
        path = self.place(name)
        try:
            return read_about(path), path
        except FileNotFoundError:
            return None

    def place(self, name: str) -> Path:
        """Path of a video's record, in one of 256 folders, since a folder of 100,000 files is slow to list."""
        return self.folder / "tracklets" / sha1(name.encode()).hexdigest()[:2] / f"{file_name(name)}.json"

    def _put(self, video: Video, record: VideoRecord, stamp: Stamp) -> None:
        """Store a record. If another process has processed the same file meanwhile, its record is kept."""
        place = self.place(video.name)
        film = record.tracklets[0].film if record.tracklets else None
        about = {**written(record, stamp), "film": film.name if isinstance(film, Path) else None}
        about = kept(about, (self._about(video.name) or (None,))[0])
        text = json.dumps(about) + "\n"
        try:
            write_new(place, text)
        except FileExistsError:
            before = read_about(place)
            gone = about["file"] is None  # perhaps only for a while
            keep = before["status"] not in UNDONE and (gone or same_file(before["file"], about["file"], by_time=True))
            if not keep:
                write_text(place, text, durable=True)
            unused = about["film"] if keep else before["film"]
            if unused and before["film"] != about["film"]:
                with suppress(OSError):
                    place.with_name(unused).unlink()


def is_store(folder: Path) -> bool:
    """Whether there is a dataset in `folder`, in any format."""
    return (folder / SETTINGS).exists() or (folder / FIRST_FORMAT).exists()


def file_name(video: str) -> str:
    """Encode a video's name as a file name: readable if possible, never longer than a file system allows.

    >>> file_name("dfdc_train_part_0/aa b.mp4")
    'dfdc_train_part_0%2Faa%20b.mp4'
    """
    name = quote(video, safe="")
    name = name.replace(".", "%2E", 1) if name.startswith(".") else name  # not a hidden file
    return name if len(name) <= 170 else f"{name[:120]}-{sha1(video.encode()).hexdigest()}"


def _strange(path: Path) -> bool:
    """Whether a file is foreign: not one that another process writes while it creates a dataset in the same folder."""
    return path.name != SETTINGS and path.suffix != PARTIAL


def _differences(old: FacesConfig, new: FacesConfig) -> str:
    a, b = old.model_dump(), new.model_dump()
    return ", ".join(f"{key} {a[key]} (now {b[key]})" for key in a if a[key] != b[key])
