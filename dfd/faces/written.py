"""Records of videos as JSON, one object each."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfd.errors import StoreError
from dfd.faces.link import Sighting, Trajectory
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.faces.tracklets import FacesConfig
from dfd.files import parse_object
from dfd.types import Video
from dfd.videos.remote import remote_stamp, url_of

About = dict[str, Any]
"""A record as JSON."""
Stamp = dict[str, int] | None
"""Size and time of the file that a record describes; None if there was no file."""

REMEDY = "delete it and run `dfd faces` again"
PLAIN = (
    "video", "label", "source", "status", "reason", "seconds", "frames", "missing", "looks", "faces", "segments",
)  # fmt: skip
"""The fields of a record that come from its video."""


def written(record: VideoRecord, stamp: Stamp) -> About:
    """Convert a record to JSON, with the stamp of its file but without the place of its film."""
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
    """Parse the record in `path`, of a dataset with these settings. Raises StoreError when something is missing."""
    try:
        return _read(about, path, config)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} does not hold ({error!r}): {REMEDY}") from None


def _read(about: About, path: Path, config: FacesConfig) -> VideoRecord:
    film = path.with_name(about["film"]) if about["film"] else path
    shared = {"video": about["video"], "label": about["label"], "size": config.size, "film": film}
    rows, start = [], about.get("start", 0)  # an image uses a part of its shard's film
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
    """Update a record with the label, source and people of `video`, if they are known."""
    if video.label is None:
        return about
    return about | {"label": video.label, "source": video.source, "people": list(video.people) or about["people"]}


def kept(about: About, before: About | None) -> About:
    """Keep the label of the previous record if none is known now: a prediction repeats failed videos without labels."""
    if about["label"] is not None or before is None:
        return about
    return about | {key: before[key] for key in ("label", "source", "people")}


def file_stamp(path: Path) -> Stamp:
    """Size and time of the file that a record describes; None if there is no file."""
    if url_of(path):
        return remote_stamp(path)
    try:
        stat = path.stat()
    except OSError:
        return None
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def same_file(one: Stamp, other: Stamp, by_time: bool) -> bool:
    """Whether two stamps are equal: by size and time, or by size alone."""
    if one is None or other is None:
        return one is other
    return one == other if by_time else one["bytes"] == other["bytes"]


def as_about(text: str | bytes, where: Path) -> About:
    """Parse a record. Raises StoreError when it is malformed."""
    return parse_object(text, where, StoreError, REMEDY)


def read_about(path: Path) -> About:
    """Read the record in a file. Raises FileNotFoundError, or StoreError when it is malformed."""
    return as_about(path.read_bytes(), path)


def _numbers(sighting: Sighting) -> list[float]:
    """A sighting as JSON numbers. Unknown landmarks are left out, since JSON has no NaN."""
    landmarks = [] if np.isnan(sighting.landmarks).any() else sighting.landmarks.reshape(10).tolist()
    return [sighting.index, sighting.confidence, *sighting.box.tolist(), *landmarks]


def _sighting(index: int, confidence: float, *numbers: float) -> Sighting:
    """Parse a sighting."""
    landmarks = np.array(numbers[4:] or [np.nan] * 10).reshape(5, 2)
    return Sighting(index, np.array(numbers[:4]), landmarks, confidence)


def _runs(indices: NDArray[np.int64]) -> list[list[int]]:
    """Runs of increasing numbers, as [first, last] of each.

    >>> _runs(np.array([3, 4, 5, 8]))
    [[3, 5], [8, 8]]
    """
    ends = np.flatnonzero(np.diff(indices) > 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(indices, ends)]
