"""Segments: equal slices of a video that are processed independently. Index arithmetic only.

They are the unit of a dataset and of a score. The result for a segment depends on its own frames only, so a dataset of
all segments and a prediction on a few of them agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """Frames [start, stop) of a video; number: its index among the video's segments."""

    number: int
    start: int
    stop: int


def cut_segments(frames: int, fps: float, seconds: float) -> list[Segment]:
    """Cut a video of `frames` frames into as many segments as possible, each at least `seconds` long, of even length.

    A shorter video is one segment; a video without frames has none.

    >>> [(s.start, s.stop) for s in cut_segments(100, 30, 1.0)]
    [(0, 33), (33, 66), (66, 100)]
    """
    count = max(1, min(frames, int(frames / (fps * seconds))))
    edges = [frames * number // count for number in range(count + 1)]
    return [Segment(number, edges[number], edges[number + 1]) for number in range(count) if frames]


def looks(segment: Segment, fps: float, seconds: float) -> NDArray[np.int64]:
    """Positions (n,) for face detection: first frame, last frame, and evenly between, at most `seconds` apart.

    >>> looks(Segment(0, 0, 36), 30, 0.6).tolist(), looks(Segment(0, 7, 8), 30, 0.6).tolist()
    ([0, 18, 35], [7])
    """
    last = segment.stop - 1 - segment.start
    spaces = min(last, int(np.ceil(round(last / (fps * seconds), 6))))  # at most one look per frame
    return segment.start + np.round(np.linspace(0, last, spaces + 1)).astype(np.int64)


def even(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` segments, spread evenly, each in the middle of its share; all if there are fewer.

    >>> even(8, 4), even(3, 4)
    ([1, 3, 5, 7], [0, 1, 2])
    """
    count = min(total, count)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def scored(total: int, faced: Sequence[int], count: int) -> list[int]:
    """Indices of the segments on which a video is scored. total: of the video. faced: those with a face, increasing.

    Takes the evenly spread ones that show a face. If none does, takes `count` of the others with a face, spread evenly.

    >>> scored(8, [0, 1, 2, 3], 4), scored(8, [0, 2, 4], 4)
    ([1, 3], [0, 2, 4])
    """
    chosen = sorted(set(even(total, count)) & set(faced))
    return chosen or [faced[place] for place in even(len(faced), count)]
