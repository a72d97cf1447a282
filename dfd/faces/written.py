"""Records of videos as they are written: an object of JSON each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfd.errors import StoreError
from dfd.faces.link import Sighting, Trajectory
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from dfd.videos.remote import remote_stamp, url_of

About = dict[str, Any]
"""A record as it is written."""
Stamp = dict[str, int] | None
"""Size and time of the file that a record is of; None where there was no file."""

PLAIN = (
    "video", "label", "source", "status", "reason", "seconds", "frames", "missing", "looks", "faces", "segments",
)  # fmt: skip
"""What a record says of its video."""


def written(record: VideoRecord, stamp: Stamp) -> About:
    """A record of the file of that stamp, but for where its film is."""
    rows = [
        {
            "segment": t.segment,
            "face": t.face,
            "bounds": t.bounds,
            "runs": _runs(t.indices),
            "bytes": np.diff(t.edges).tolist(),
            "side": t.path.side,
            "offset": t.path.offset.tolist(),
            "seen": [_numbers(sighting) for sighting in t.path.seen],
        }
        for t in record.tracklets
    ]
    fps = record.tracklets[0].fps if record.tracklets else None
    plain = {key: getattr(record, key) for key in PLAIN}
    return {**plain, "people": list(record.people), "fps": fps, "tracklets": rows, "file": stamp}


def read(about: About, path: Path, config: FacesConfig) -> VideoRecord:
    """The record that `path` holds, of a dataset of these settings. Raises StoreError where something is lacking."""
    try:
        return _read(about, path, config)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} does not hold ({error!r}): delete it and run `dfd faces` again") from None


def _read(about: About, path: Path, config: FacesConfig) -> VideoRecord:
    film = path.with_name(about["film"]) if about["film"] else path
    shared = {"video": about["video"], "label": about["label"], "size": config.size, "film": film}
    rows, start = [], about.get("start", 0)  # of a shard's film a picture has a part
    for row in about["tracklets"]:
        indices = np.concatenate([np.arange(first, last + 1) for first, last in row["runs"]])
        edges = start + np.cumsum([0, *row["bytes"]])
        seen = tuple(_sighting(*sighting) for sighting in row["seen"])
        trajectory = Trajectory(seen, row["side"], np.array(row["offset"]))
        rows.append(
            TrackletRecord(
                **shared, segment=row["segment"], face=row["face"], fps=about["fps"], margin=config.margin,
                bounds=tuple(row["bounds"]), indices=indices, edges=edges, path=trajectory,
            )
        )  # fmt: skip
        start = int(edges[-1])
    plain = {key: about[key] for key in PLAIN}
    return VideoRecord(**plain, tracklets=tuple(rows), people=tuple(about["people"]))


def corrected(about: About, video: Video) -> About:
    """A record with the label, source and people of `video`, where they are known."""
    if video.label is None:
        return about
    return about | {"label": video.label, "source": video.source, "people": list(video.people) or about["people"]}


def kept(about: About, before: About | None) -> About:
    """A record with the label that the one before has, where none is known now: a prediction does again what failed."""
    if about["label"] is not None or before is None:
        return about
    return about | {key: before[key] for key in ("label", "source", "people")}


def file_stamp(path: Path) -> Stamp:
    """Size and time of the file that a record is of; None where there is no file."""
    if url_of(path):
        return remote_stamp(path)
    try:
        stat = path.stat()
    except OSError:
        return None
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def same_file(one: Stamp, other: Stamp, by_time: bool) -> bool:
    """Whether two stamps are of one file: by size and time, or by size alone."""
    if one is None or other is None:
        return one is other
    return one == other if by_time else one["bytes"] == other["bytes"]


def as_json(text: str, where: Path) -> About:
    """An object that was written. Raises StoreError when it does not hold."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StoreError(f"{where} is not JSON ({error}): delete it and run `dfd faces` again") from None
    if not isinstance(value, dict):
        raise StoreError(f"{where} holds no JSON object: delete it and run `dfd faces` again")
    return value


def read_json(path: Path) -> About:
    """The object in a file. Raises FileNotFoundError; StoreError when it does not hold."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not JSON ({error}): delete it and run `dfd faces` again") from None
    return as_json(text, path)


def _numbers(sighting: Sighting) -> list[float]:
    """A sighting as it is written; without landmarks where they are not known, since JSON has no NaN."""
    landmarks = [] if np.isnan(sighting.landmarks).any() else sighting.landmarks.reshape(10).tolist()
    return [sighting.index, sighting.confidence, *sighting.box.tolist(), *landmarks]


def _sighting(index: int, confidence: float, *numbers: float) -> Sighting:
    """A sighting as it was written."""
    landmarks = np.array(numbers[4:] or [np.nan] * 10).reshape(5, 2)
    return Sighting(index, np.array(numbers[:4]), landmarks, confidence)


def _runs(indices: NDArray[np.int64]) -> list[list[int]]:
    """Rising numbers as [first, last] of each run.

    >>> _runs(np.array([3, 4, 5, 8]))
    [[3, 5], [8, 8]]
    """
    ends = np.flatnonzero(np.diff(indices) > 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(indices, ends)]
