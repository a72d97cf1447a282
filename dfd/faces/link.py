"""Link the detections of one face within a segment to a trajectory, never across shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dfd.faces.crops import correlation, thumbnail

FARTHEST = 1.0
"""Largest distance that a face moves between two looks, in widths of its box."""
RESIZED = 1.5
"""A face larger or smaller by more than this factor at the next look is another face."""
SHOT = (0.55, 30.0)
"""Two looks of one shot: least correlation of their thumbnails, and largest mean difference (0 to 255). Of 1,200 pairs
half a second apart in 59 clips the median is 0.99 and 3, the worst 0.42 and 25; of pairs of different clips the median
is 0 and 73. The limits were chosen on these clips."""
ALIKE, VERY_ALIKE = 0.7, 0.85
"""Least correlation of a face with itself at the next look: within a shot, and across an apparent cut, since a large
face that moves changes a frame as much as a cut does. Of 871 pairs of looks at one face 2 % are below 0.7 and 6 % below
0.8; of 13,341 pairs of strangers 92 % and 99 % are. The limits were chosen on these 59 clips."""


@dataclass(frozen=True)
class Sighting:
    """A detection at one look. box (4,) XYXY and landmarks (5,2): pixels, rounded to a hundredth as they are stored.

    landmarks: NaN if unknown, as in an image that was cut before and in which the detector finds no face.
    likeness: see crops.likeness; not stored.
    """

    index: int
    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    confidence: float
    likeness: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.float32), repr=False)


@dataclass(frozen=True)
class Trajectory:
    """The path of a face in its segment. seen: two or more sightings in time order; one if there is a single frame.

    side: of its square box, in pixels. offset: (2,) from the mean of its landmarks to the centre of the box, in pixels;
    if landmarks are unknown, from the image's corner.
    """

    seen: tuple[Sighting, ...]
    side: float
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, seen: Sequence[Sighting]) -> Trajectory:
        """Fit a path through sightings, with the median size of their boxes.

        The box follows the mean of the landmarks, which jitters half as much as the detector's own box (1 % of its side
        against 2 % from frame to frame, measured on five clips).
        """
        boxes = np.stack([sighting.box for sighting in seen])
        middles = np.nan_to_num(np.stack([sighting.landmarks.mean(axis=0) for sighting in seen]))
        side = round(float(np.median([width(box) for box in boxes])), 2)
        offset = np.median((boxes[:, :2] + boxes[:, 2:]) / 2 - middles, axis=0)
        return cls(tuple(seen), side, np.round(offset, 2))

    @property
    def confidence(self) -> float:
        """Mean confidence of the detector, in [0,1]."""
        return round(float(np.mean([sighting.confidence for sighting in self.seen])), 6)

    @property
    def located(self) -> bool:
        """Whether its landmarks are known."""
        return not any(np.isnan(sighting.landmarks).any() for sighting in self.seen)

    @property
    def looks(self) -> list[int]:
        """Frame numbers of its sightings."""
        return [sighting.index for sighting in self.seen]

    def covers(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which frames lie between the first sighting and the last."""
        return (indices >= self.seen[0].index) & (indices <= self.seen[-1].index)

    def place(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Box centres (T,2) and landmarks (T,5,2) at `indices`, interpolated linearly between sightings.

        Unknown landmarks are NaN.
        """
        if len(self.seen) == 1:  # a picture, of which training opens thousands a second
            landmarks = np.repeat(self.seen[0].landmarks[None], len(indices), axis=0)
        else:
            points = np.stack([sighting.landmarks.reshape(10) for sighting in self.seen])
            columns = [np.interp(indices, self.looks, column) for column in points.T]
            landmarks = np.stack(columns, axis=1).reshape(-1, 5, 2)
        return np.nan_to_num(landmarks.mean(axis=1)) + self.offset, landmarks


def shots(small: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Number the shots of a sequence of looks (H,W,3) uint8. Neighbours that differ belong to two shots.

    >>> dark, light = np.zeros((2, 90, 160, 3), np.uint8)
    >>> light[:, 80:] = 255
    >>> shots([dark, dark, light, light])
    [0, 0, 1, 1]
    """
    thumbnails = [thumbnail(image, small[0].shape) for image in small]
    return [0, *np.cumsum([not _one_shot(a, b) for a, b in pairwise(thumbnails)], dtype=int).tolist()][: len(small)]


def _one_shot(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    flat = max(a.std(), b.std()) < 1  # only brightness can be compared
    return bool(np.abs(a - b).mean() <= SHOT[1] and (flat or correlation(a, b) >= SHOT[0]))


def link(found: Sequence[Sequence[Sighting]], shots: Sequence[int]) -> list[list[Sighting]]:
    """Link the sightings of each face from look to look, so that faces move as little as possible.

    found: the sightings at each look. shots: a shot number per look; only very similar faces are linked across a cut.
    A face may be missed at one look and found again at the next.
    """
    faces: list[list[Sighting]] = []
    last: list[int] = []  # shot of each face's last sighting
    for shot, now in zip(shots, found, strict=True):
        least = [ALIKE if of == shot else VERY_ALIKE for of in last]
        pairs = _pairs([face[-1] for face in faces], now, least)
        for row, column in pairs:
            faces[row].append(now[column])
            last[row] = shot
        new = sorted(set(range(len(now))) - {column for _, column in pairs})
        faces += [[now[column]] for column in new]
        last += [shot] * len(new)
    return faces


def _pairs(before: Sequence[Sighting], now: Sequence[Sighting], least: Sequence[float]) -> list[tuple[int, int]]:
    """Match the faces of two looks, each at most once, with the least total distance.

    least: the least correlation for each of the faces `before`.
    """
    if not before or not now:
        return []
    cost = np.array([[_distance(a, b, alike) for b in now] for a, alike in zip(before, least, strict=True)])
    if cost.size == 1:
        return [(0, 0)] if cost[0, 0] <= FARTHEST else []
    from scipy.optimize import linear_sum_assignment  # takes half a second to import; only several faces need it

    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] <= FARTHEST]


def _distance(a: Sighting, b: Sighting, alike: float) -> float:
    """Distance between the centres of two boxes, in widths of the larger; huge if they cannot be one face."""
    small, large = sorted((width(a.box), width(b.box)))
    far = 100 * FARTHEST
    if large > RESIZED * small or max(map(correlation, a.likeness, b.likeness)) < alike:
        return far
    return min(far, float(np.linalg.norm(a.box[:2] + a.box[2:] - b.box[:2] - b.box[2:])) / 2 / large)


def width(box: NDArray[np.float64]) -> float:
    """The longer side of a box XYXY."""
    return float(max(box[2] - box[0], box[3] - box[1]))
