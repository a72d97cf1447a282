"""Faces of one video linked through time: detections on key frames to tracks, by overlap.

The video goes by once, in chunks, and each chunk's crops are cut before the next is decoded. So a track's place must be
known at the end of every chunk, which is why a chunk's last frame is a key frame, and why a face that is
lost there is held where it was: the frames after its last sighting are cut off if it does not come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dfd.types import Detections

LEAST_OVERLAP = 0.3
"""Least intersection over union of a face with itself a key frame later."""
MOST_MISSED = 3
"""Key frames in a row without the face before its track ends: under a second."""
SIZE_CHANGE = 1.35
"""A face this many times larger or smaller than its track's box begins a new track."""


@dataclass(frozen=True)
class Sighting:
    """A face in one key frame. box (4,) XYXY and landmarks (5,2) in pixels; seen is False where it is only assumed."""

    index: int
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    confidence: float
    seen: bool = True


@dataclass(eq=False)
class Track:
    """One face so far. Its sightings are in time order; `missed` counts the key frames since it was last seen."""

    sightings: list[Sighting]
    missed: int = 0
    side: float = 0.0
    offset: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))

    @property
    def seen(self) -> list[Sighting]:
        """Where the detector found the face."""
        return [sighting for sighting in self.sightings if sighting.seen]

    def fix_box(self) -> None:
        """Settle the square box: its side in pixels and its place relative to the landmarks. It never changes again.

        Medians over what has been seen. The box follows the landmarks' mean, which jitters half as much as the
        detector's own box does (1 % of its side against 2 % from frame to frame, measured on five clips).
        """
        if not self.side:
            boxes = np.stack([sighting.box for sighting in self.seen])
            middles = np.stack([sighting.landmarks.mean(axis=0) for sighting in self.seen])
            self.side = float(np.median([_side(box) for box in boxes]))
            self.offset = np.median((boxes[:, :2] + boxes[:, 2:]) / 2 - middles, axis=0).astype(np.float32)

    def hold(self, index: int) -> None:
        """Assume the face at frame `index` where it was last."""
        last = self.sightings[-1]
        if last.index < index:
            self.sightings.append(Sighting(index, last.box, last.landmarks, last.confidence, seen=False))

    def place(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Box centres (T,2) and landmarks (T,5,2) at `indices`, on straight lines between sightings."""
        known = [sighting.index for sighting in self.sightings]
        points = np.stack([sighting.landmarks.reshape(10) for sighting in self.sightings])
        landmarks = np.stack([np.interp(indices, known, column) for column in points.T], axis=1).reshape(-1, 5, 2)
        return landmarks.mean(axis=1) + self.offset, landmarks


@dataclass
class Tracker:
    """Links detections to tracks. faces: the most tracks followed at a time; birth: least confidence of a new one."""

    faces: int
    birth: float = 0.9
    live: list[Track] = field(default_factory=list)
    ended: list[Track] = field(default_factory=list)

    def update(self, index: int, found: Detections) -> None:
        """Take in key frame `index`. Tracks end into `ended`, which the caller empties."""
        matches = _match([track.sightings[-1].box for track in self.live], found.boxes)
        for row, track in enumerate(self.live):
            column = matches.get(row)
            if column is None or _resized(track, found.boxes[column]):
                track.missed += 1
                if column is not None:
                    del matches[row]
                    track.missed = MOST_MISSED + 1
            else:
                track.missed = 0
                track.sightings.append(_sighting(index, found, column))
        self.end([track for track in self.live if track.missed > MOST_MISSED])
        free = sorted(set(range(len(found))) - set(matches.values()), key=lambda i: -_side(found.boxes[i]))
        born = [i for i in free if found.confidences[i] >= self.birth][: max(0, self.faces - len(self.live))]
        self.live += [Track([_sighting(index, found, i)]) for i in born]

    def end(self, tracks: Sequence[Track]) -> None:
        """Move `tracks` from `live` to `ended`."""
        self.live = [track for track in self.live if track not in tracks]
        self.ended += tracks


def overlaps(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes (N,4) with boxes (M,4): (N,M) in [0,1].

    >>> overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None, :] - shared), np.float64)


def _match(tracks: Sequence[NDArray[np.float32]], boxes: NDArray[np.float32]) -> dict[int, int]:
    """Track -> box, such that the overlaps' sum is the largest there is and each is LEAST_OVERLAP or more."""
    if not len(tracks) or not len(boxes):
        return {}
    shared = overlaps(np.stack(tracks), boxes)
    rows, columns = linear_sum_assignment(np.where(shared >= LEAST_OVERLAP, shared, 0), maximize=True)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if shared[r, c] >= LEAST_OVERLAP}


def _sighting(index: int, found: Detections, i: int) -> Sighting:
    return Sighting(index, found.boxes[i], found.landmarks[i], float(found.confidences[i]))


def _side(box: NDArray[np.float32]) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _resized(track: Track, box: NDArray[np.float32]) -> bool:
    ratio = _side(box) / track.side if track.side else 1.0
    return not 1 / SIZE_CHANGE <= ratio <= SIZE_CHANGE
