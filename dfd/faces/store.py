"""The face-track dataset on disk: short H.264 files that any player opens, of which any clip is read in milliseconds.

    faces.json                 the settings it was built with
    tracks/<video>/0.mp4 …     a track's crops, every frame a key frame; 0.npz: indices, boxes, landmarks
    tracks/<video>/video.json  the record of that video and its tracks: written last, so a folder is whole or absent
    videos.csv, index.csv      those records as tables: a row a video, a row a track

Lossy on purpose: crops of DFDC in H.264 took 17 GB instead of 500, and a medal-winning team's models generalised
better from them.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfd.errors import StoreError, VideoReadError
from dfd.faces.extract import Extraction, FacesConfig
from dfd.types import FaceTrack, Label, Status, Video
from dfd.videos.decode import read_frames
from dfd.videos.encode import write_video
from dfd.videos.workers import Outcome

FORMAT = 1
CRF = 18
"""Quality of stored crops: visually lossless at 256 pixels, 1 to 2 KB a frame."""


@dataclass(frozen=True)
class TrackRecord:
    """A row of index.csv. frames: how many; size: side of the crop in pixels; confidence: the detector's mean.

    video_frames: how many its video has.
    """

    video: str
    track: int
    label: Label | None
    frames: int
    fps: float
    size: int
    margin: float
    confidence: float
    path: Path
    video_frames: int


@dataclass(frozen=True)
class VideoRecord:
    """A row of videos.csv. frames: that the video has; missing: promised by the file and not readable; faces: sightings
    of faces on key frames, tracked or not; seconds: wall clock."""

    video: str
    label: Label | None
    source: str
    status: Status
    reason: str
    seconds: float
    frames: int
    missing: int
    faces: int
    tracks: tuple[TrackRecord, ...]

    def main_tracks(self) -> tuple[TrackRecord, ...]:
        """The tracks that stand for the video: the three longest, of those a third as long as the longest or longer.

        A short track beside a long one is a passer-by, a picture on the wall or no face at all.
        """
        by_length = sorted(self.tracks, key=lambda track: -track.frames)
        return tuple(track for track in by_length[:3] if track.frames * 3 >= by_length[0].frames)


class FaceStore:
    """A face-track dataset in a folder."""

    def __init__(self, folder: Path, config: FacesConfig) -> None:
        self.folder = folder
        self.config = config

    @classmethod
    def create(cls, folder: Path, config: FacesConfig) -> "FaceStore":
        """Make `folder` a store, or continue the one there. Raises StoreError when it was built with other settings."""
        if (folder / "faces.json").exists():
            store = cls.open(folder)
            if store.config != config:
                raise StoreError(
                    f"{folder} was built with {_differences(store.config, config)}: continue with the same settings, "
                    "or build into another folder"
                )
            return store
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise StoreError(f"{folder} is not empty and not a face-track dataset: name a new folder")
        (folder / "tracks").mkdir(parents=True, exist_ok=True)
        _write_json(folder / "faces.json", {"format": FORMAT, "settings": config.model_dump()})
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> "FaceStore":
        """The store in `folder`. Raises StoreError when there is none that this version reads."""
        path = folder / "faces.json"
        if not path.is_file():
            raise StoreError(f"{folder} is not a face-track dataset (no faces.json): build one with `dfd faces`")
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path} is not JSON ({error}): build the dataset anew") from None
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise StoreError(f"{path} is of another format than {FORMAT}: build the dataset anew")
        return cls(folder, FacesConfig.read(about["settings"], str(path)))

    def record(self, video: Video, by_time: bool = True) -> VideoRecord | None:
        """What is on record of `video`; None when there is nothing, or its file has changed since.

        by_time: a file of the same size counts as changed when its time is another; not where a mount sets the times.
        """
        path = self._place(video.name) / "video.json"
        if not path.is_file():
            return None
        about = _read_json(path)
        stamp = file_stamp(video.path)
        if about["file"] != stamp and (by_time or not _same_size(about["file"], stamp)):
            return None
        if (about["label"], about["source"]) != (video.label, video.source):  # the metadata was corrected
            about |= {"label": video.label, "source": video.source}
            _write_json(path, about)
        return _record(path, about)

    def write(self, video: Video, tracks: Iterable[FaceTrack], told: Extraction) -> None:
        """Store the tracks of `video`, taken one by one, and its record; atomic.

        told: what extract_tracks fills in while its tracks are taken.
        """
        start, stamp = time.perf_counter(), file_stamp(video.path)  # before it is read: it may change meanwhile
        partial = self._partial(video.name)
        try:
            rows = [_write_track(partial, track) for track in tracks]
            about = {"status": "ok" if rows else "no_face", "reason": told.caveat if rows else told.reason}
            counts = {"frames": told.frames, "missing": told.missing, "faces": told.faces}
            self._finish(video, partial, {**about, **counts, "seconds": time.perf_counter() - start}, rows, stamp)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def write_failure(self, outcome: Outcome) -> VideoRecord:
        """Record that a video gave no tracks, and why; returns that record.

        A video for which the time was too short is not put on record: a later run does it.
        """
        video = outcome.video
        self._sweep(video.name)
        about = {"status": outcome.status, "reason": outcome.reason, "seconds": outcome.seconds}
        about |= {"frames": 0, "missing": 0, "faces": 0}
        if outcome.status != "out_of_budget":
            self._finish(video, self._partial(video.name), about, [], file_stamp(video.path))
        return VideoRecord(video=video.name, label=video.label, source=video.source, **about, tracks=())  # type: ignore[arg-type]

    def write_tables(self) -> None:
        """Write videos.csv and index.csv from the records."""
        records = self.records()
        videos = [{**vars(r), "tracks": len(r.tracks), "seconds": round(r.seconds, 3)} for r in records]
        tracks = [{**vars(t), "source": r.source, "status": r.status} for r in records for t in r.tracks]
        _write_csv(self.folder / "videos.csv", pd.DataFrame(videos, columns=VIDEO_COLUMNS))
        _write_csv(self.folder / "index.csv", pd.DataFrame(tracks, columns=TRACK_COLUMNS))

    def records(self) -> list[VideoRecord]:
        """Every video on record, by name."""
        paths = (self.folder / "tracks").glob("*/video.json")
        return sorted((_record(path, _read_json(path)) for path in paths), key=lambda record: record.video)

    def _place(self, name: str) -> Path:
        return self.folder / "tracks" / folder_name(name)

    def _partial(self, name: str) -> Path:
        self._sweep(name)
        path = self.folder / "tracks" / f".{sha1(name.encode()).hexdigest()}.{os.getpid()}.partial"
        path.mkdir()
        return path

    def _sweep(self, name: str) -> None:
        """Remove what a worker left that was killed while it wrote this video."""
        for left in (self.folder / "tracks").glob(f".{sha1(name.encode()).hexdigest()}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)

    def _finish(
        self,
        video: Video,
        partial: Path,
        told: dict[str, Any],
        rows: list[dict[str, Any]],
        stamp: dict[str, int] | None,
    ) -> None:
        record = {"video": video.name, "label": video.label, "source": video.source, "file": stamp}
        _write_json(partial / "video.json", {**record, **told, "tracks": rows})
        place = self._place(video.name)
        shutil.rmtree(place, ignore_errors=True)
        partial.replace(place)


VIDEO_COLUMNS = ["video", "label", "source", "status", "tracks", "faces", "frames", "missing", "seconds", "reason"]
TRACK_COLUMNS = ["video", "track", "label", "source", "frames", "fps", "size", "margin", "confidence", "status"]


def load_crops(record: TrackRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Crops (N,S,S,3) uint8 RGB of a track at `positions` within it, in their order, repeats included.

    Raises StoreError naming the file when one of them cannot be read.
    """
    wanted = np.asarray(positions, np.int64)
    unique, where = np.unique(wanted, return_inverse=True)
    try:
        frames = read_frames(record.path, unique)
    except VideoReadError as error:
        raise StoreError(
            f"{error.path} cannot be read ({error.reason}): delete its folder and build it again"
        ) from None
    if frames.missing:
        raise StoreError(
            f"{record.path}: {frames.missing} of {len(unique)} frames cannot be read: "
            "delete its folder and build it again"
        )
    return np.asarray(frames.images[where])


def load_geometry(record: TrackRecord) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """A track's indices (T,), boxes (T,4) and landmarks (T,5,2), as FaceTrack has them. Raises StoreError."""
    path = record.path.with_suffix(".npz")
    try:
        with np.load(path) as about:
            return about["indices"], about["boxes"], about["landmarks"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise StoreError(f"{path} cannot be read ({error}): delete its folder and build it again") from None


def load_track(record: TrackRecord) -> FaceTrack:
    """The whole track, as stored. Raises StoreError."""
    indices, boxes, landmarks = load_geometry(record)
    images = load_crops(record, np.arange(record.frames))
    return FaceTrack(
        images, indices, boxes, landmarks, record.confidence, record.margin, record.fps, record.video, record.track
    )


def folder_name(video: str) -> str:
    """A video's name as the name of one folder: readable where it can be, never longer than a file system takes.

    >>> folder_name("dfdc_train_part_0/aa b.mp4")
    'dfdc_train_part_0%2Faa%20b.mp4'
    """
    name = quote(video, safe="")
    name = name.replace(".", "%2E", 1) if name.startswith(".") else name  # never hidden, never the parent folder
    return name if len(name) <= 180 else f"{name[:130]}-{sha1(video.encode()).hexdigest()}"


def _record(path: Path, about: dict[str, Any]) -> VideoRecord:
    shared = {"video": about["video"], "label": about["label"], "video_frames": about["frames"]}
    tracks = tuple(TrackRecord(**shared, **row, path=path.parent / f"{row['track']}.mp4") for row in about["tracks"])
    return VideoRecord(**{key: value for key, value in about.items() if key not in ("file", "tracks")}, tracks=tracks)


def _write_track(folder: Path, track: FaceTrack) -> dict[str, Any]:
    write_video(folder / f"{track.track}.mp4", track.images, track.fps, crf=CRF)
    np.savez(folder / f"{track.track}.npz", indices=track.indices, boxes=track.boxes, landmarks=track.landmarks)
    about = {"track": track.track, "frames": len(track), "fps": track.fps, "size": track.images.shape[1]}
    return {**about, "margin": track.margin, "confidence": round(track.confidence, 6)}


def file_stamp(path: Path) -> dict[str, int] | None:
    """Size and time of the file that a record is of; None where there is no file."""
    if not path.exists():
        return None
    stat = path.stat()
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _same_size(one: dict[str, int] | None, other: dict[str, int] | None) -> bool:
    return one is not None and other is not None and one["bytes"] == other["bytes"]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}): delete its folder and build it again") from None
    return value


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    table.to_csv(partial, index=False)
    partial.replace(path)


def _differences(old: FacesConfig, new: FacesConfig) -> str:
    a, b = old.model_dump(), new.model_dump()
    return ", ".join(f"{key} {a[key]} (now {b[key]})" for key in a if a[key] != b[key])
