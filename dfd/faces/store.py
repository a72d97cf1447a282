"""The dataset on disk: a record and a film a video, of which any clip is read in milliseconds.

    dataset.json                      the settings it was built with
    tracklets/<2 digits>/<video>.json the record of a video: how it ended, and where the face of each tracklet is
    tracklets/<…>/<video>.<hash>.mjpeg  its film: the crops of all tracklets as JPEGs, one after the other
    videos.csv, tracklets.csv         the records as tables: a row a video, a row a tracklet

Reading writes nothing. A video is there once its record is, which names its film by content: so two processes may
finish one video at a time, on two machines even, and the first one's record and film stand.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from dfd.errors import StoreError
from dfd.faces.film import SUFFIX
from dfd.faces.link import Sighting, Trajectory
from dfd.faces.recorder import Recorder, failure
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.faces.tracklets import FacesConfig
from dfd.files import PARTIAL, partial_path, sha256, sweep, sync, whole, write_json
from dfd.types import UNDONE, Video
from dfd.videos.workers import Outcome

FORMAT = 3
SETTINGS = "dataset.json"
FIRST_FORMAT = "faces.json"
"""The settings' file in datasets of format 1."""


class FaceStore:
    """A dataset in a folder."""

    def __init__(self, folder: Path, config: FacesConfig) -> None:
        self.folder = folder
        self.config = config

    @classmethod
    def create(cls, folder: Path, config: FacesConfig) -> FaceStore:
        """Make `folder` a dataset, or continue the one there. Raises StoreError when it has other settings."""
        if (folder / SETTINGS).exists() or (folder / FIRST_FORMAT).exists():
            store = cls.open(folder)
            if store.config != config:
                raise StoreError(
                    f"{folder} was built with {_differences(store.config, config)}: continue with the same settings, "
                    "or build into another folder"
                )
            sweep(folder)
            return store
        if folder.is_file() or (folder.is_dir() and any(map(_strange, folder.iterdir()))):
            raise StoreError(f"{folder} is not empty and no dataset of dfd faces: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, {"format": FORMAT, "settings": config.model_dump()}, durable=True)
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> FaceStore:
        """The dataset in `folder`. Raises StoreError when there is none that this version reads."""
        path = folder / SETTINGS
        if (folder / FIRST_FORMAT).exists() and not path.exists():
            raise StoreError(
                f"{folder} is of format 1, and this version reads {FORMAT}: build it anew with `dfd faces`"
            )
        if not path.is_file():
            raise StoreError(f"{folder} is no dataset (no {SETTINGS}): build one with `dfd faces`")
        about = _read_json(path)
        if about.get("format") != FORMAT:
            raise StoreError(f"{path} is of another format than {FORMAT}: build it anew with `dfd faces`")
        return cls(folder, FacesConfig.read(about["settings"], str(path)))

    def record(self, video: Video, by_time: bool = True) -> VideoRecord | None:
        """What is on record of `video`, labelled as it is known now; None where it is to be done.

        That is: not on record, failed for a reason of the moment, or of another file than the one there now, by its
        size and time, or with by_time False by its size.
        """
        path = self._place(video.name)
        try:
            about = _read_json(path)
        except FileNotFoundError:
            return None
        if about.get("status", "error") in UNDONE or not _same_file(about["file"], file_stamp(video.path), by_time):
            return None
        return self._record(about, path).known_as(video)

    def write(self, video: Video) -> VideoRecord:
        """Look at `video` and put it on record; returns what stands there then, this or another process's.

        Raises VideoReadError when no frame can be read.
        """
        stamp = file_stamp(video.path)  # before it is read: it may change meanwhile
        place = self._place(video.name)
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
        found = self.record(video)
        if found is None:
            raise StoreError(f"{video.path} changed while it was read")
        return found

    def write_failure(self, outcome: Outcome) -> VideoRecord:
        """Put on record that a video gave no faces, and why; returns that record.

        One that a later run does again is only noted where nothing better is known, and not where its time never came.
        """
        record, stamp = failure(outcome), file_stamp(outcome.video.path)
        if outcome.status != "out_of_budget" and self.record(outcome.video) is None:
            self._place(record.video).parent.mkdir(parents=True, exist_ok=True)
            self._put(outcome.video, record, stamp)
        return record

    def correct(self, video: Video) -> None:
        """Write the label, source and people of `video` to its record where they are known and others."""
        path = self._place(video.name)
        with suppress(FileNotFoundError):
            about = _read_json(path)
            people = list(video.people) or about["people"]
            known = {"label": video.label, "source": video.source, "people": people}
            if video.label is not None and any(about[key] != value for key, value in known.items()):
                write_json(path, about | known, durable=True)

    def write_tables(self) -> None:
        """Write videos.csv and tracklets.csv from the records."""
        import pandas as pd  # takes as long to load as a clip to score, and a prediction writes no tables

        records = self.records()
        videos = [
            {**vars(r), "people": " ".join(r.people), "tracklets": len(r.tracklets), "seconds": round(r.seconds, 3)}
            for r in records
        ]
        rows = [
            {**vars(t), "source": r.source, "first": t.indices[0], "frames": t.frames, "confidence": t.confidence,
             "side": t.path.side}
            for r in records for t in r.tracklets
        ]  # fmt: skip
        for name, columns, table in (("videos", VIDEO_COLUMNS, videos), ("tracklets", TRACKLET_COLUMNS, rows)):
            with whole(self.folder / f"{name}.csv") as partial:
                pd.DataFrame(table, columns=columns).to_csv(partial, index=False)

    def records(self) -> list[VideoRecord]:
        """Every video on record, by name, failures of the moment too."""
        found = []
        for path in (self.folder / "tracklets").glob("*/*.json"):
            if not path.name.startswith("."):
                found.append(self._record(_read_json(path), path))
        return sorted(found, key=lambda record: record.video)

    def _place(self, name: str) -> Path:
        """Where the record of a video is: 256 folders, since no folder of 100,000 files is a pleasure to list."""
        return self.folder / "tracklets" / sha1(name.encode()).hexdigest()[:2] / f"{file_name(name)}.json"

    def _put(self, video: Video, record: VideoRecord, stamp: dict[str, int] | None) -> None:
        """Put a record in its place. Where another process has done the same file meanwhile, that one's stands.

        A label that is on record stays where none is known now: a prediction does again what failed.
        """
        place = self._place(video.name)
        film = record.tracklets[0].film if record.tracklets else None
        about = {**_about(record), "file": stamp, "film": film.name if isinstance(film, Path) else None}
        if record.label is None:
            with suppress(FileNotFoundError):
                before = _read_json(place)
                about |= {key: before[key] for key in ("label", "source", "people")}
        partial = partial_path(place)
        try:
            partial.write_text(json.dumps(about) + "\n", encoding="utf-8")
            sync(partial)
            unused = self._commit(partial, place, about)
        finally:
            partial.unlink(missing_ok=True)
        sync(place.parent)
        if unused:
            with suppress(OSError):
                place.with_name(unused).unlink()

    def _commit(self, partial: Path, place: Path, about: dict[str, Any]) -> str | None:
        """Make `partial` the record, unless one of the same file stands there. Returns a film that is of no use now."""
        try:
            os.link(partial, place)  # fails where there is one, whoever wrote it and however short a while ago
            return None
        except FileExistsError:
            there = _read_json(place)
        except OSError:  # a file system without links
            there = _read_json(place) if place.exists() else {"status": "missing", "film": None}
        gone = about["file"] is None  # for a while only, perhaps
        stands = there["status"] not in UNDONE and (gone or _same_file(there["file"], about["file"], by_time=True))
        if not stands:
            partial.replace(place)
        kept, unused = (there["film"], about["film"]) if stands else (about["film"], there["film"])
        return unused if unused != kept else None

    def _record(self, about: dict[str, Any], path: Path) -> VideoRecord:
        """A record as it was written. Raises StoreError where something is lacking."""
        try:
            return self._parsed(about, path)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} does not hold ({error!r}): delete it and build that video again") from None

    def _parsed(self, about: dict[str, Any], path: Path) -> VideoRecord:
        film = path.with_name(about["film"]) if about["film"] else path
        shared = {"video": about["video"], "label": about["label"], "size": self.config.size, "film": film}
        rows, start = [], 0
        for row in about["tracklets"]:
            indices = np.concatenate([np.arange(first, last + 1) for first, last in row["runs"]])
            edges = start + np.cumsum([0, *row["bytes"]])
            seen = tuple(_sighting(*sighting) for sighting in row["seen"])
            trajectory = Trajectory(seen, row["side"], np.array(row["offset"]))
            rows.append(
                TrackletRecord(
                    **shared, segment=row["segment"], face=row["face"], fps=about["fps"], margin=self.config.margin,
                    bounds=tuple(row["bounds"]), indices=indices, edges=edges, path=trajectory,
                )
            )  # fmt: skip
            start = int(edges[-1])
        plain = {key: about[key] for key in PLAIN}
        return VideoRecord(**plain, tracklets=tuple(rows), people=tuple(about["people"]))


PLAIN = (
    "video", "label", "source", "status", "reason", "seconds", "frames", "missing", "looks", "faces", "segments",
)  # fmt: skip
"""What a record says of its video."""
VIDEO_COLUMNS = [*PLAIN[:4], "tracklets", *PLAIN[6:], "seconds", "reason", "people"]
TRACKLET_COLUMNS = [
    "video", "segment", "face", "label", "source", "first", "frames", "fps", "size", "margin", "side", "confidence",
]  # fmt: skip


def file_name(video: str) -> str:
    """A video's name as the name of one file: readable where it can be, never longer than a file system takes.

    >>> file_name("dfdc_train_part_0/aa b.mp4")
    'dfdc_train_part_0%2Faa%20b.mp4'
    """
    name = quote(video, safe="")
    name = name.replace(".", "%2E", 1) if name.startswith(".") else name  # never hidden
    return name if len(name) <= 170 else f"{name[:120]}-{sha1(video.encode()).hexdigest()}"


def file_stamp(path: Path) -> dict[str, int] | None:
    """Size and time of the file that a record is of; None where there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _same_file(one: dict[str, int] | None, other: dict[str, int] | None, by_time: bool) -> bool:
    if one is None or other is None:
        return one is other
    return one == other if by_time else one["bytes"] == other["bytes"]


def _strange(path: Path) -> bool:
    """Whether a file is none that another process writes which makes a dataset of the same folder now."""
    return path.name != SETTINGS and path.suffix != PARTIAL


def _about(record: VideoRecord) -> dict[str, Any]:
    """A record as it is written."""
    rows = [
        {
            "segment": t.segment,
            "face": t.face,
            "bounds": t.bounds,
            "runs": _runs(t.indices),
            "bytes": np.diff(t.edges).tolist(),
            "side": t.path.side,
            "offset": t.path.offset.tolist(),
            "seen": [[s.index, s.confidence, *s.box.tolist(), *s.landmarks.reshape(10).tolist()] for s in t.path.seen],
        }
        for t in record.tracklets
    ]
    fps = record.tracklets[0].fps if record.tracklets else None
    plain = {key: getattr(record, key) for key in PLAIN}
    return {**plain, "people": list(record.people), "fps": fps, "tracklets": rows}


def _sighting(index: int, confidence: float, *numbers: float) -> Sighting:
    """A sighting as it was written."""
    return Sighting(index, np.array(numbers[:4]), np.array(numbers[4:]).reshape(5, 2), confidence)


def _runs(indices: NDArray[np.int64]) -> list[list[int]]:
    """Rising numbers as [first, last] of each run.

    >>> _runs(np.array([3, 4, 5, 8]))
    [[3, 5], [8, 8]]
    """
    ends = np.flatnonzero(np.diff(indices) > 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(indices, ends)]


def _read_json(path: Path) -> dict[str, Any]:
    """An object that this module wrote. Raises FileNotFoundError; StoreError when it does not hold."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}): delete it and build that video again") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path} holds no JSON object: delete it and build that video again")
    return value


def _differences(old: FacesConfig, new: FacesConfig) -> str:
    a, b = old.model_dump(), new.model_dump()
    return ", ".join(f"{key} {a[key]} (now {b[key]})" for key in a if a[key] != b[key])
