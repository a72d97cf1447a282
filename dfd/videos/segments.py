"""Segments: equal slices of a video, each looked at alone. Index arithmetic, nothing else.

They are the unit of a dataset and of a score. What is found in one depends on its own frames only, so that a dataset of
all segments and a prediction that looks at a few of them find the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """Frames [start, stop) of a video; number: its place among the video's segments."""

    number: int
    start: int
    stop: int


def cut_segments(frames: int, fps: float, seconds: float) -> list[Segment]:
    """The segments of a video of `frames` frames: each `seconds` long or longer, as many and as alike as can be.

    A shorter video is one segment, one without frames none.

    >>> [(s.start, s.stop) for s in cut_segments(100, 30, 1.0)]
    [(0, 33), (33, 66), (66, 100)]
    """
    count = max(1, min(frames, int(frames / (fps * seconds))))
    edges = [frames * number // count for number in range(count + 1)]
    return [Segment(number, edges[number], edges[number + 1]) for number in range(count) if frames]


def looks(segment: Segment, fps: float, seconds: float) -> NDArray[np.int64]:
    """Positions (n,) where faces are looked for: first frame, last frame, and evenly between, `seconds` apart or less.

    >>> looks(Segment(0, 0, 36), 30, 0.6).tolist(), looks(Segment(0, 7, 8), 30, 0.6).tolist()
    ([0, 18, 35], [7])
    """
    last = segment.stop - 1 - segment.start
    spaces = min(last, int(np.ceil(round(last / (fps * seconds), 6))))  # never more than frames
    return segment.start + np.round(np.linspace(0, last, spaces + 1)).astype(np.int64)


def even(total: int, count: int) -> list[int]:
    """Numbers of `count` of `total` segments, spread evenly, each in the middle of its share; all where they are fewer.

    >>> even(8, 4), even(3, 4)
    ([1, 3, 5, 7], [0, 1, 2])
    """
    count = min(total, count)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def scored(total: int, faced: Sequence[int], count: int) -> list[int]:
    """Numbers of the segments that a video is scored by, of `total`, `faced` of which show a face (rising numbers).

    Those of the even ones that show a face; where none does, `count` of the others, spread evenly.

    >>> scored(8, [0, 1, 2, 3], 4), scored(8, [0, 2, 4], 4)
    ([1, 3], [0, 2, 4])
    """
    chosen = sorted(set(even(total, count)) & set(faced))
    return chosen or [faced[place] for place in even(len(faced), count)]
