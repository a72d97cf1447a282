"""Records of processed videos, and loading crops from their films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dfd.faces.crops import square, to_crop
from dfd.faces.film import read_crops
from dfd.faces.link import Trajectory
from dfd.types import Film, Label, Status, Tracklet, Video


@dataclass(frozen=True)
class TrackletRecord:
    """A row of tracklets.csv: one face in one segment, and the place of its crops.

    bounds: the segment's first frame and its end (exclusive). indices: (T,) int64 frame numbers in the video. film:
    holds the crops; edges: (T+1,) int64 byte offsets of the crops in it, with the end. path: trajectory of the face.
    size: side of a crop in pixels; it covers `margin` times the face box.
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
    edges: NDArray[np.int64]
    path: Trajectory
    film: Film

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.indices)

    @property
    def confidence(self) -> float:
        """Mean confidence of the detector, in [0,1]."""
        return self.path.confidence


@dataclass(frozen=True)
class VideoRecord:
    """A row of videos.csv.

    seconds: wall clock. frames: length of the video; missing: requested frames that were not readable. looks: frames
    searched for faces; faces: detections on them. segments: number in the video. tracklets: ordered by segment and
    face. people: as in Video. dataset: name of its dataset if there are several, else empty.
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
    people: tuple[str, ...] = ()
    dataset: str = ""

    def of(self, segment: int) -> tuple[TrackletRecord, ...]:
        """The tracklets of one segment, largest face first."""
        return tuple(tracklet for tracklet in self.tracklets if tracklet.segment == segment)

    def middle(self) -> tuple[TrackletRecord, ...]:
        """The tracklets of the middle one of the segments that show a face; empty if none does."""
        return self.of(self.faced[len(self.faced) // 2]) if self.tracklets else ()

    @property
    def faced(self) -> list[int]:
        """Numbers of the segments that show a face, in increasing order."""
        return sorted({tracklet.segment for tracklet in self.tracklets})

    def known_as(self, video: Video) -> VideoRecord:
        """A copy with the label, source and people of `video`. Fields unknown there are kept."""
        if video.label is None:
            return self
        rows = tuple(replace(tracklet, label=video.label) for tracklet in self.tracklets)
        people = video.people or self.people
        return replace(self, label=video.label, source=video.source, people=people, tracklets=rows)


def load_crops(record: TrackletRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Load crops (N,S,S,3) uint8 RGB of a tracklet at `positions`, in that order, repeats included.

    Raises StoreError naming the film when one of them cannot be read, IndexError for a position past the end.
    """
    return load_together([(record, np.asarray(positions, np.int64))])[0]


def load_together(parts: Sequence[tuple[TrackletRecord, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
    """Like load_crops, for several tracklets of one film, which is opened once."""
    wanted = np.concatenate([np.stack([r.edges[at], r.edges[1:][at]], axis=1) for r, at in parts])
    places, where = np.unique(wanted, axis=0, return_inverse=True)
    images = read_crops(parts[0][0].film, places.tolist(), parts[0][0].size)
    ends = np.cumsum([len(positions) for _, positions in parts])[:-1]
    return [np.asarray(images[at]) for at in np.split(where, ends)]


def load_geometry(record: TrackletRecord) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Load a tracklet's indices (T,), boxes (T,4) and landmarks (T,5,2), as in Tracklet.

    Unknown landmarks are NaN, for the whole tracklet: see `record.path.located`.
    """
    centres, points = record.path.place(record.indices)
    boxes = np.stack([square(centre, record.path.side, record.margin)[1] for centre in centres])
    landmarks = [to_crop(five, box, record.margin, record.size) for five, box in zip(points, boxes, strict=True)]
    return record.indices, boxes, np.stack(landmarks)


def load_tracklet(record: TrackletRecord) -> Tracklet:
    """Load the whole tracklet, as stored. Raises StoreError."""
    indices, boxes, landmarks = load_geometry(record)
    images = load_crops(record, np.arange(record.frames))
    about = (record.confidence, record.margin, record.fps, record.segment, record.face)
    return Tracklet(images, indices, boxes, landmarks, *about)
