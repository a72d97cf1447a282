"""Link one person through a whole video. Segments are processed alone; this joins their faces by place and likeness.

For display only, no score depends on it. A person who moves far or turns away between two segments counts as two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.faces.crops import correlation, likeness
from dfd.faces.link import RESIZED
from dfd.faces.records import TrackletRecord, load_geometry
from dfd.types import Rgb

FAR = 1.5
"""Largest distance that a person moves from one segment to the next, in widths of the face box."""
ALIKE = 0.6
"""Least correlation of a face with the most similar of its earlier crops."""


@dataclass
class _Person:
    """Indices of a person's tracklets, and their thumbnails."""

    rows: list[int] = field(default_factory=list)
    looks: list[NDArray[np.float32]] = field(default_factory=list)

    def likeness(self, row: int, look: NDArray[np.float32], boxes: Sequence[NDArray[np.float32]]) -> float:
        """Similarity of tracklet `row`'s face to this person, in [-1,1]; 0 if it is too far away or of another size."""
        last, box = boxes[self.rows[-1]], boxes[row]
        small, large = sorted((float(last[2] - last[0]), float(box[2] - box[0])))
        away = float(np.linalg.norm(last[:2] + last[2:] - box[:2] - box[2:])) / 2
        if away > FAR * large or large > RESIZED * small:
            return 0.0
        return max(correlation(one, other) for old in self.looks for one, other in zip(old, look, strict=True))


def people(tracklets: Sequence[TrackletRecord], crops: Sequence[Rgb], places: Sequence[int]) -> list[int]:
    """Assign each of a video's tracklets, ordered by segment, to a person. Person 0 is in the most segments.

    crops: an image (S,S,3) uint8 RGB of each tracklet, taken at position `places` within it. A person occurs at most
    once per segment.
    """
    boxes = [load_geometry(tracklet)[1][place] for tracklet, place in zip(tracklets, places, strict=True)]
    looks = [_look(*each) for each in zip(tracklets, crops, places, strict=True)]
    found: list[_Person] = []
    for segment in sorted({tracklet.segment for tracklet in tracklets}):
        rows = [row for row, tracklet in enumerate(tracklets) if tracklet.segment == segment]
        alike = {(p, row): person.likeness(row, looks[row], boxes) for p, person in enumerate(found) for row in rows}
        free, taken = set(range(len(found))), {}
        for p, row in sorted(alike, key=lambda pair: -alike[pair]):
            if alike[p, row] >= ALIKE and p in free and row not in taken:
                taken[row] = found[p]
                free.remove(p)
        for row in rows:
            if row not in taken:
                found.append(_Person())
            person = taken.get(row) or found[-1]
            person.rows.append(row)
            person.looks.append(looks[row])
    found.sort(key=lambda person: (-len(person.rows), person.rows[0]))
    number = {row: n for n, person in enumerate(found) for row in person.rows}
    return [number[row] for row in range(len(tracklets))]


def _look(tracklet: TrackletRecord, crop: Rgb, place: int) -> NDArray[np.float32]:
    """Thumbnails for comparing a face, (2,32,32,3) float32: upright if it has landmarks, and as its box shows it."""
    half = tracklet.size / tracklet.margin / 2
    middle = tracklet.size / 2
    five = load_geometry(tracklet)[2][place]
    if np.isfinite(five).all():
        return likeness(crop, np.array([middle - half, middle - half, middle + half, middle + half]), five)
    return np.stack([cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)] * 2)
