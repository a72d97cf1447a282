"""What is known of a video whose faces were found, and the way from its film to crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfd.errors import StoreError, VideoReadError
from dfd.faces.crops import square, to_crop
from dfd.faces.link import Trajectory
from dfd.types import Film, Label, Status, Tracklet, Video
from dfd.videos.decode import read_frames


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
    name = film if isinstance(film, Path) else "a film in memory"
    try:
        frames = read_frames(film, unique)
    except VideoReadError as error:
        raise StoreError(f"{error.path} cannot be read ({error.reason}): {again}") from None
    if frames.missing:
        raise StoreError(f"{name}: {frames.missing} of {len(unique)} frames cannot be read: {again}")
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
