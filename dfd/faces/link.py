"""One face from look to look within a segment: sightings linked to a trajectory, never from one shot to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dfd.faces.crops import correlation, thumbnail

FARTHEST = 1.0
"""Most that a face moves from one look to the next, in widths of its box."""
RESIZED = 1.5
"""A face this many times larger or smaller at the next look is another one."""
SHOT = (0.55, 30.0)
"""Least correlation, and most mean difference of 255, of the thumbnails of two looks of one shot. Of 1,200 pairs half a
second apart on 59 clips half had 0.99 and 3, the worst 0.42 and 25; of pairs of strange clips half 0 and 73. The limits
were chosen by these clips."""
ALIKE, VERY_ALIKE = 0.7, 0.85
"""Least correlation of a face with itself at the next look: within what seems one shot, and across what seems a cut,
since a large face that moves changes a picture as much. Of 871 pairs of looks at a face 2 % have less than 0.7 and 6 %
less than 0.8, of 13,341 pairs of strangers 92 % and 99 %: on the 59 clips by which the limits were chosen."""


@dataclass(frozen=True)
class Sighting:
    """A face at one look. box (4,) XYXY and landmarks (5,2): pixels to a hundredth, so that what is stored was used.

    landmarks: NaN where they are not known, as in a picture that was cut so that the detector finds no face in it.
    likeness: as crops.likeness has it, until it is stored.
    """

    index: int
    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    confidence: float
    likeness: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.float32), repr=False)


@dataclass(frozen=True)
class Trajectory:
    """Where a face is in its segment. seen: two sightings or more, of a single frame one, in time order.

    side: of its square box, in pixels. offset: (2,) from the mean of its landmarks to the middle of the box, in pixels;
    where landmarks are not known, from the picture's corner.
    """

    seen: tuple[Sighting, ...]
    side: float
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, seen: Sequence[Sighting]) -> Trajectory:
        """The path through sightings: medians of their boxes.

        The box follows the landmarks' mean, which jitters half as much as the detector's own box does (1 % of its side
        against 2 % from frame to frame, measured on five clips).
        """
        boxes = np.stack([sighting.box for sighting in seen])
        middles = np.nan_to_num(np.stack([sighting.landmarks.mean(axis=0) for sighting in seen]))
        side = round(float(np.median([width(box) for box in boxes])), 2)
        offset = np.median((boxes[:, :2] + boxes[:, 2:]) / 2 - middles, axis=0)
        return cls(tuple(seen), side, np.round(offset, 2))

    @property
    def confidence(self) -> float:
        """The detector's mean, in [0,1]."""
        return round(float(np.mean([sighting.confidence for sighting in self.seen])), 6)

    @property
    def located(self) -> bool:
        """Whether its landmarks are known."""
        return not any(np.isnan(sighting.landmarks).any() for sighting in self.seen)

    @property
    def looks(self) -> list[int]:
        """The frames on which it was seen."""
        return [sighting.index for sighting in self.seen]

    def covers(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which frames lie between the first sighting and the last."""
        return (indices >= self.seen[0].index) & (indices <= self.seen[-1].index)

    def place(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Box centres (T,2) and landmarks (T,5,2) at `indices`, on straight lines between sightings.

        Landmarks that are not known are NaN.
        """
        points = np.stack([sighting.landmarks.reshape(10) for sighting in self.seen])
        landmarks = np.stack([np.interp(indices, self.looks, column) for column in points.T], axis=1).reshape(-1, 5, 2)
        return np.nan_to_num(landmarks.mean(axis=1)) + self.offset, landmarks


def shots(small: Sequence[NDArray[np.uint8]]) -> list[int]:
    """For each look, (H,W,3) uint8, the number of its shot: of two shots are neighbours that are not alike.

    >>> dark, light = np.zeros((2, 90, 160, 3), np.uint8)
    >>> light[:, 80:] = 255
    >>> shots([dark, dark, light, light])
    [0, 0, 1, 1]
    """
    thumbnails = [thumbnail(image, small[0].shape) for image in small]
    return [0, *np.cumsum([not _one_shot(a, b) for a, b in pairwise(thumbnails)], dtype=int).tolist()][: len(small)]


def _one_shot(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    flat = max(a.std(), b.std()) < 1  # nothing to compare but brightness
    return bool(np.abs(a - b).mean() <= SHOT[1] and (flat or correlation(a, b) >= SHOT[0]))


def link(found: Sequence[Sequence[Sighting]], shots: Sequence[int]) -> list[list[Sighting]]:
    """The sightings of each face, from look to look such that faces move as little as can be.

    found: the sightings at each look. shots: a number a look: across a cut only faces that are very alike are linked.
    A face that is missed at a look may come back at the next.
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
    """Faces of two looks that are one: each once, and all together as near to one another as can be.

    least: correlation with each of those before.
    """
    if not before or not now:
        return []
    cost = np.array([[_distance(a, b, alike) for b in now] for a, alike in zip(before, least, strict=True)])
    if cost.size == 1:
        return [(0, 0)] if cost[0, 0] <= FARTHEST else []
    from scipy.optimize import linear_sum_assignment  # which takes half a second, where there are several faces

    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] <= FARTHEST]


def _distance(a: Sighting, b: Sighting, alike: float) -> float:
    """From one box's middle to the other's, in widths of the larger; far where they cannot be one face."""
    small, large = sorted((width(a.box), width(b.box)))
    far = 100 * FARTHEST
    if large > RESIZED * small or max(map(correlation, a.likeness, b.likeness)) < alike:
        return far
    return min(far, float(np.linalg.norm(a.box[:2] + a.box[2:] - b.box[:2] - b.box[2:])) / 2 / large)


def width(box: NDArray[np.float64]) -> float:
    """Of a box XYXY: its longer side."""
    return float(max(box[2] - box[0], box[3] - box[1]))
