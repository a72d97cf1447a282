"""The dataset on disk: a record and a film a video, of which any clip is read in milliseconds.

    dataset.json                      the settings it was built with
    tracklets/<2 digits>/<video>.json the record of a video: how it ended, and where the face of each tracklet is
    tracklets/<…>/<video>.<hash>.mp4  its film: the crops of all tracklets, one after the other, every frame a key frame
    videos.csv, tracklets.csv         the records as tables: a row a video, a row a tracklet

Reading writes nothing. A video is there once its record is, which names its film by content: so two processes may
finish one video at a time, on two machines even, and the first one's record and film stand.

Lossy on purpose: crops of DFDC in H.264 took 17 GB instead of 500, and a medal-winning team's models generalised
better from them.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha1
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from dfd.errors import StoreError, VideoReadError
from dfd.faces.crops import square, to_crop
from dfd.faces.tracklets import FacesConfig, Looked, Sighting, Trajectory, video_tracklets
from dfd.files import partial_path, sha256, sweep, sync, whole, write_json
from dfd.types import UNDONE, Film, Label, Status, Tracklet, Video, Wanted
from dfd.videos.decode import read_frames
from dfd.videos.encode import encode_video
from dfd.videos.workers import Outcome

FORMAT = 2
CRF = 21
"""Quality of stored crops: 40 dB at 256 pixels, 2 to 4 KB a frame. Each frame is coded by itself."""
SETTINGS = "dataset.json"
FIRST_FORMAT = "faces.json"
"""The settings' file in datasets of format 1."""


@dataclass(frozen=True)
class TrackletRecord:
    """A row of tracklets.csv: a face in one segment, and where its crops are.

    bounds: the segment's first frame and the one after its last. indices: (T,) int64 of the tracklet's frames in the
    video. film: where the crops are; start: the first one's place there. path: where the face is. size: side of a crop
    in pixels, of `margin` times the face's box.
    """

    video: str
    segment: int
    face: int
    label: Label | None
    fps: float
    size: int
    margin: float
    bounds: tuple[int, int]
    indices: NDArray[np.int64]
    start: int
    path: Trajectory
    film: Film

    @property
    def frames(self) -> int:
        """How many it has."""
        return len(self.indices)

    @property
    def confidence(self) -> float:
        """The detector's mean, in [0,1]."""
        return self.path.confidence


@dataclass(frozen=True)
class VideoRecord:
    """A row of videos.csv.

    seconds: wall clock. frames: that the video has; missing: frames that were wanted and not readable. looks: frames on
    which faces were looked for; faces: how many were found there. segments: that the video has. tracklets: by segment
    and face.
    """

    video: str
    label: Label | None
    source: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    frames: int = 0
    missing: int = 0
    looks: int = 0
    faces: int = 0
    segments: int = 0
    tracklets: tuple[TrackletRecord, ...] = ()

    def of(self, segment: int) -> tuple[TrackletRecord, ...]:
        """The tracklets of one segment, the largest face first."""
        return tuple(tracklet for tracklet in self.tracklets if tracklet.segment == segment)

    @property
    def faced(self) -> list[int]:
        """Numbers of the segments that show a face, rising."""
        return sorted({tracklet.segment for tracklet in self.tracklets})

    def known_as(self, video: Video) -> VideoRecord:
        """The same with the label and source that `video` has; what is not known there stays."""
        if video.label is None:
            return self
        rows = tuple(replace(tracklet, label=video.label) for tracklet in self.tracklets)
        return replace(self, label=video.label, source=video.source, tracklets=rows)


class Recorder:
    """Collects what looking at a video's segments comes to, while its crops go into a film."""

    def __init__(self, video: Video, config: FacesConfig) -> None:
        self._video, self._config = video, config
        self._begun = time.perf_counter()
        self._looked: list[Looked] = []
        self._rows: list[tuple[Looked, int, Tracklet, Trajectory]] = []

    def film(self, wanted: Wanted | None, to: Path | io.BytesIO) -> bool:
        """Look at the video and write its film to a file; False where there is no face, and so no film.

        Raises VideoReadError when no frame can be read.
        """
        crops = self._crops(wanted)
        first = next(crops, None)
        if first is None:
            return False
        encode_video(to, chain([first], crops), self._looked[0].fps, crf=CRF)
        return True

    def record(self, film: Film) -> VideoRecord:
        """The video's record, once its film is written."""
        usual = [looked for looked in self._looked if not looked.faint]
        shared = {"video": self._video.name, "label": self._video.label, "film": film}
        rows = [
            TrackletRecord(
                **shared, segment=t.segment, face=t.face, fps=t.fps, size=self._config.size, margin=t.margin,
                bounds=(looked.segment.start, looked.segment.stop),
                indices=t.indices, start=start, path=path,
            )
            for looked, start, t, path in self._rows
        ]  # fmt: skip
        return VideoRecord(
            video=self._video.name,
            label=self._video.label,
            source=self._video.source,
            status="ok" if rows else "no_face",
            reason=self._caveat() if rows else self._reason(),
            seconds=time.perf_counter() - self._begun,
            frames=self._looked[0].shown if self._looked else 0,
            missing=sum(looked.missing for looked in usual),
            looks=sum(looked.looks for looked in usual),
            faces=sum(looked.found for looked in self._looked),
            segments=self._looked[0].total if self._looked else 0,
            tracklets=tuple(sorted(rows, key=lambda row: (row.segment, row.face))),
        )

    def _crops(self, wanted: Wanted | None) -> Iterator[NDArray[np.uint8]]:
        start = 0
        for looked in video_tracklets(self._video, self._config, wanted):
            self._looked.append(replace(looked, tracklets=()))
            for tracklet, path in zip(looked.tracklets, looked.trajectories, strict=True):
                bare = replace(tracklet, images=tracklet.images[:, :0, :0])
                self._rows.append((self._looked[-1], start, bare, path))
                start += len(tracklet)
                yield from tracklet.images

    def _caveat(self) -> str:
        """What is odd about a video that has faces."""
        crowded = sum(looked.crowded > 0 for looked in self._looked)
        caveats = {
            "read by decord": self._looked[0].decoder == "decord",
            "a faint face": any(looked.faint for looked in self._looked if looked.trajectories),
            f"more than {self._config.faces} faces in {crowded} segments, the smaller ones left out": crowded,
        }
        return ", ".join(caveat for caveat, holds in caveats.items() if holds)

    def _reason(self) -> str:
        """Why there is no face."""
        found, looks = sum(looked.found for looked in self._looked), sum(x.looks for x in self._looked if not x.faint)
        brightness = float(np.mean([looked.brightness for looked in self._looked])) if self._looked else 0.0
        dark = f", and they are dark (mean {brightness:.0f} of 255)" if brightness < 30 else ""
        faces = f"{found} faint or fleeting faces only" if found else "no face"
        return f"{faces} on {looks} frames looked at, of {self._looked[0].shown if self._looked else 0}{dark}"


def in_memory(video: Video, config: FacesConfig, wanted: Wanted | None = None) -> VideoRecord:
    """The record of a video whose film is kept in memory. Raises VideoReadError when no frame can be read."""
    recorder, film = Recorder(video, config), io.BytesIO()
    recorder.film(wanted, film)
    return recorder.record(film.getvalue())


def failure(outcome: Outcome) -> VideoRecord:
    """The record of a video that gave none: it was not read, or not in time."""
    video = outcome.video
    return VideoRecord(video.name, video.label, video.source, outcome.status, outcome.reason, outcome.seconds)


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
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise StoreError(f"{folder} is not empty and no dataset of dfd faces: name a new folder")
        (folder / "tracklets").mkdir(parents=True, exist_ok=True)
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
        if about["status"] in UNDONE or not _same_file(about["file"], file_stamp(video.path), by_time):
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
            if recorder.film(None, partial):
                film = place.with_name(f"{place.stem}.{sha256(partial)[:16]}.mp4")
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
        """Write the label and source of `video` to its record where they are known and others."""
        path = self._place(video.name)
        with suppress(FileNotFoundError):
            about = _read_json(path)
            if video.label is not None and (about["label"], about["source"]) != (video.label, video.source):
                write_json(path, {**about, "label": video.label, "source": video.source}, durable=True)

    def write_tables(self) -> None:
        """Write videos.csv and tracklets.csv from the records."""
        import pandas as pd  # takes as long to load as a clip to score, and a prediction writes no tables

        records = self.records()
        videos = [{**vars(r), "tracklets": len(r.tracklets), "seconds": round(r.seconds, 3)} for r in records]
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
                about |= {"label": before["label"], "source": before["source"]}
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
        stands = there["status"] not in UNDONE and _same_file(there["file"], about["file"], by_time=True)
        if not stands:
            partial.replace(place)
        kept, unused = (there["film"], about["film"]) if stands else (about["film"], there["film"])
        return unused if unused != kept else None

    def _record(self, about: dict[str, Any], path: Path) -> VideoRecord:
        """A record as it was written."""
        film = path.with_name(about["film"]) if about["film"] else path
        shared = {"video": about["video"], "label": about["label"], "size": self.config.size, "film": film}
        rows, start = [], 0
        for row in about["tracklets"]:
            indices = np.concatenate([np.arange(first, last + 1) for first, last in row["runs"]])
            seen = tuple(_sighting(*sighting) for sighting in row["seen"])
            trajectory = Trajectory(seen, row["side"], np.array(row["offset"]))
            rows.append(
                TrackletRecord(
                    **shared, segment=row["segment"], face=row["face"], fps=about["fps"], margin=self.config.margin,
                    bounds=tuple(row["bounds"]), indices=indices, start=start, path=trajectory,
                )
            )  # fmt: skip
            start += len(indices)
        plain = {key: about[key] for key in PLAIN}
        return VideoRecord(**plain, tracklets=tuple(rows))


PLAIN = (
    "video", "label", "source", "status", "reason", "seconds", "frames", "missing", "looks", "faces", "segments",
)  # fmt: skip
"""What a record says of its video."""
VIDEO_COLUMNS = [*PLAIN[:4], "tracklets", *PLAIN[6:], "seconds", "reason"]
TRACKLET_COLUMNS = [
    "video", "segment", "face", "label", "source", "first", "frames", "fps", "size", "margin", "side", "confidence",
]  # fmt: skip


def load_crops(record: TrackletRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Crops (N,S,S,3) uint8 RGB of a tracklet at `positions` within it, in their order, repeats included.

    Raises StoreError naming the film when one of them cannot be read.
    """
    return load_together([(record, np.asarray(positions, np.int64))])[0]


def load_together(parts: Sequence[tuple[TrackletRecord, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
    """load_crops of several tracklets of one film, which is opened once."""
    wanted = [record.start + positions for record, positions in parts]
    unique, where = np.unique(np.concatenate(wanted), return_inverse=True)
    film = parts[0][0].film
    again = "build that video again"
    try:
        frames = read_frames(film, unique)
    except VideoReadError as error:
        raise StoreError(f"{error.path} cannot be read ({error.reason}): {again}") from None
    if frames.missing:
        raise StoreError(f"{film}: {frames.missing} of {len(unique)} frames cannot be read: {again}")
    ends = np.cumsum([len(positions) for positions in wanted])[:-1]
    return [np.asarray(frames.images[at]) for at in np.split(where, ends)]


def load_geometry(record: TrackletRecord) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """A tracklet's indices (T,), boxes (T,4) and landmarks (T,5,2), as Tracklet has them."""
    centres, points = record.path.place(record.indices)
    boxes = np.stack([square(centre, record.path.side, record.margin)[1] for centre in centres])
    landmarks = [to_crop(five, box, record.margin, record.size) for five, box in zip(points, boxes, strict=True)]
    return record.indices, boxes, np.stack(landmarks)


def load_tracklet(record: TrackletRecord) -> Tracklet:
    """The whole tracklet, as stored. Raises StoreError."""
    indices, boxes, landmarks = load_geometry(record)
    images = load_crops(record, np.arange(record.frames))
    about = (record.confidence, record.margin, record.fps, record.segment, record.face)
    return Tracklet(images, indices, boxes, landmarks, *about)


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


def _about(record: VideoRecord) -> dict[str, Any]:
    """A record as it is written."""
    rows = [
        {
            "segment": t.segment,
            "face": t.face,
            "bounds": t.bounds,
            "runs": _runs(t.indices),
            "side": t.path.side,
            "offset": t.path.offset.tolist(),
            "seen": [[s.index, s.confidence, *s.box.tolist(), *s.landmarks.reshape(10).tolist()] for s in t.path.seen],
        }
        for t in record.tracklets
    ]
    fps = record.tracklets[0].fps if record.tracklets else None
    return {**{key: getattr(record, key) for key in PLAIN}, "fps": fps, "tracklets": rows}


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
