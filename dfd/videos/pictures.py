"""Decoded pictures, of which RGB is made only where it is asked for.

To convert a whole 1080p picture costs more than to decode it; a face's crop is a tenth of it, and bit for bit the same.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

THREADS = 1
"""Threads a video: videos are read in processes of their own, and two of one thread beat one of two."""
HALVED = (
    "yuv420p",
    "yuvj420p",
)  # two of three planes have half the width and height, so a part begins at an even pixel
HELD = 1_000_000_000
"""Bytes of decoded frames that are held at a time: a segment of 4K at 60 frames a second. Larger frames are reduced."""


def held_reduction(frame: VideoFrame, count: int) -> int:
    """By how much each side of frames like this one is divided, so that `count` of them take at most HELD bytes."""
    size = sum(plane.buffer_size for plane in frame.planes) * count
    return max(1, math.ceil(math.sqrt(size / HELD)))


class View:
    """How all frames of a video are shown: turned as its first one is and of its size, whatever their own.

    turns: quarter turns counter-clockwise. shape: (H,W,3), upright. stored: (width, height) before the turns.
    reduction: what each side of the file's frames is divided by. Its converters are kept from frame to frame, since to
    set one up costs as much as to use it.
    """

    def __init__(self, first: VideoFrame, reduction: int = 1) -> None:
        self.turns = round(first.rotation / 90) % 4
        self.reduction = reduction
        self.stored = max(1, first.width // reduction), max(1, first.height // reduction)
        self.shape = (*(self.stored if self.turns % 2 else self.stored[::-1]), 3)
        self.whole, self.part, self.small = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def hold(self, frame: VideoFrame) -> VideoFrame:
        """The frame as it is held: itself, or its reduction."""
        if self.reduction == 1:
            return frame
        return self.whole.reformat(frame, *self.stored, "yuv420p", interpolation="AREA", threads=THREADS)


class Picture:
    """One decoded picture, upright. `picture[rows, columns]` and `reduced` are (h,w,3) uint8 RGB."""

    def __init__(self, frame: VideoFrame, view: View) -> None:
        self._frame, self._view = view.hold(frame), view
        self.shape = view.shape

    def __getitem__(self, area: tuple[slice, slice]) -> Rgb:
        """The part that an array's slices of rows and columns would give, steps of 1 assumed."""
        (top, bottom, _), (left, right, _) = (part.indices(n) for part, n in zip(area, self.shape[:2], strict=True))
        frame, stored = self._frame, self._view.stored
        if frame.format.name not in HALVED or (frame.width, frame.height) != stored or bottom <= top or right <= left:
            return np.rot90(_rgb(self._view.whole, frame, *stored), self._view.turns)[top:bottom, left:right]
        top, bottom, left, right = _turned_back((top, bottom, left, right), self.shape[:2], self._view.turns)
        part = _part(frame, top // 2, (bottom + 1) // 2, left // 2, (right + 1) // 2)
        rgb = _rgb(self._view.part, part, part.width, part.height)
        return np.rot90(rgb[top % 2 :, left % 2 :][: bottom - top, : right - left], self._view.turns)

    def reduced(self, long_side: int | None) -> Rgb:
        """All of it, its longer side at most `long_side` pixels; a smaller picture, or with None any, as it is."""
        size = reduced_size(*self._view.stored, long_side)
        return np.rot90(_rgb(self._view.small, self._frame, *size), self._view.turns)


class Pictures:
    """Frames of one video in time order. indices: (T,) int64, increasing positions in the video. fps: of the video.

    missing: how many of those asked for could not be read. shown: how many the video has.
    """

    def __init__(
        self, pictures: Sequence[Picture], indices: NDArray[np.int64], fps: float, shown: int, missing: int = 0
    ) -> None:
        self.pictures, self.indices, self.fps, self.shown, self.missing = pictures, indices, fps, shown, missing

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def rgb(self, long_side: int | None = None) -> Rgb:
        """All as one array (T,H,W,3), each `reduced` to `long_side`."""
        return np.stack([picture.reduced(long_side) for picture in self.pictures])


def reduced_size(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """The size with its longer side at most `long_side`.

    >>> reduced_size(1920, 1080, 960), reduced_size(320, 240, 960)
    ((960, 540), (320, 240))
    """
    ratio = min(1.0, (long_side or math.inf) / max(width, height))
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _rgb(reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int) -> Rgb:
    # AREA averages where it reduces, at less than BILINEAR's cost; full size is the same with both, bit for bit.
    rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=THREADS)
    return np.asarray(rgb.to_ndarray(), np.uint8)


def _part(frame: VideoFrame, top: int, bottom: int, left: int, right: int) -> VideoFrame:
    """Those rows and columns of a halved format, in pairs of pixels."""
    size = min(2 * right, frame.width) - 2 * left, min(2 * bottom, frame.height) - 2 * top
    part = VideoFrame(*size, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    for source, target, scale in zip(frame.planes, part.planes, (2, 1, 1), strict=True):
        rows, columns = slice(top * scale, bottom * scale), slice(left * scale, right * scale)
        pixels = np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)[rows, columns]
        room = np.frombuffer(memoryview(target), np.uint8).reshape(-1, target.line_size)
        pixels = pixels[: target.height, : target.width]
        room[: len(pixels), : pixels.shape[1]] = pixels
    return part


def _turned_back(area: tuple[int, int, int, int], size: tuple[int, int], turns: int) -> tuple[int, int, int, int]:
    """Where (top, bottom, left, right) of a picture (height, width) was before np.rot90 turned it so many times.

    >>> _turned_back((0, 1, 0, 2), (4, 3), 1)  # the upper left corner was the upper right one, of 4 columns
    (0, 2, 3, 4)
    """
    (top, bottom, left, right), (height, width) = area, size
    for _ in range(turns):
        top, bottom, left, right = left, right, height - bottom, height - top
        height, width = width, height
    return top, bottom, left, right
