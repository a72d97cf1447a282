"""Decoded frames that are converted to RGB only where needed.

Converting a whole 1080p frame costs more than decoding it. A face crop needs a tenth of that, and is equal bit for bit.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from dfd.types import Rgb
from dfd.videos.display import Display

THREADS = 1
"""Threads per video. Videos are read in separate processes; two of one thread each beat one of two."""
HALVED = (
    "yuv420p",
    "yuvj420p",
)  # two of three planes are at half resolution, so a part starts at an even pixel
HELD = 1_000_000_000
"""Maximum bytes of decoded frames held at a time: a segment of 4K at 60 fps. Larger frames are reduced."""


def held_reduction(frame: VideoFrame, count: int) -> int:
    """Factor by which to divide each side of frames like this one, so that `count` of them fit into HELD bytes."""
    size = sum(plane.buffer_size for plane in frame.planes) * count
    return max(1, math.ceil(math.sqrt(size / HELD)))


class View:
    """How all frames of a video are displayed: by `display`, at the size of the first frame, whatever their own.

    stored: (width, height) of a frame as held. size: the same at its display aspect ratio. shape: (H,W,3), upright.
    reduction: divisor of each side of the file's frames. The converters are reused for all frames, since creating one
    costs as much as using it.
    """

    def __init__(self, first: VideoFrame, display: Display | None = None, reduction: int = 1) -> None:
        self.display = display or Display()
        self.reduction = reduction
        self.stored = max(1, first.width // reduction), max(1, first.height // reduction)
        self.size = self.display.size(*self.stored)
        self.shape = (*(self.size if self.display.turns % 2 else self.size[::-1]), 3)
        self.whole, self.part, self.small = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def hold(self, frame: VideoFrame) -> VideoFrame:
        """The frame as held: itself, or its reduction."""
        self.display.colours.tag(frame)
        if self.reduction == 1:
            return frame
        held = "yuv420p10le" if self.display.colours.light else "yuv420p"
        return self.whole.reformat(frame, *self.stored, held, interpolation="AREA", threads=THREADS)

    def rgb(self, reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int) -> NDArray:
        """Convert the whole stored frame to RGB in the colours' `format`, at that size."""
        # AREA averages when reducing and costs less than BILINEAR; at full size both are equal bit for bit.
        made = self.display.colours.format
        way = Interpolation.AREA if made == "rgb24" else Interpolation.AREA | Interpolation.ACCURATE_RND
        return reformatter.reformat(frame, width, height, made, interpolation=way, threads=THREADS).to_ndarray()

    def shown(self, rgb: NDArray) -> Rgb:
        """Turn RGB from `rgb`, or a part of it, upright and convert it to the colours of an ordinary screen."""
        return self.display.colours.shown(self.display.upright(rgb))


class Picture:
    """One decoded frame, upright. `picture[rows, columns]` and `reduced` give (h,w,3) uint8 RGB."""

    def __init__(self, frame: VideoFrame, view: View) -> None:
        self._frame, self._view = view.hold(frame), view
        self.shape = view.shape

    def __getitem__(self, area: tuple[slice, slice]) -> Rgb:
        """Slice like an array: rows and columns, with steps of 1."""
        frame, view, (height, width) = self._frame, self._view, self.shape[:2]
        (top, bottom, _), (left, right, _) = area[0].indices(height), area[1].indices(width)
        top, bottom, left, right = view.display.before((top, max(top, bottom), left, max(left, right)), height, width)
        partly = frame.format.name in HALVED and (frame.width, frame.height) == view.stored == view.size
        if not partly or view.display.colours.light or bottom == top or right == left:
            return view.shown(view.rgb(view.whole, frame, *view.size)[top:bottom, left:right])
        part = _part(frame, top // 2, (bottom + 1) // 2, left // 2, (right + 1) // 2)
        rgb = view.rgb(view.part, part, part.width, part.height)
        return view.shown(rgb[top % 2 :, left % 2 :][: bottom - top, : right - left])

    def reduced(self, long_side: int | None) -> Rgb:
        """The whole frame, its longer side at most `long_side` pixels (None: any). Never enlarged."""
        size = reduced_size(*self._view.size, long_side)
        return self._view.shown(self._view.rgb(self._view.small, self._frame, *size))


class Pictures:
    """Frames of one video in time order. indices: (T,) int64, increasing positions in the video. fps: of the video.

    missing: number of requested frames that could not be read. shown: number of frames in the video.
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
        """All frames as one array (T,H,W,3), each `reduced` to `long_side`."""
        return np.stack([picture.reduced(long_side) for picture in self.pictures])


def reduced_size(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """Scale a size down so that its longer side is at most `long_side`.

    >>> reduced_size(1920, 1080, 960), reduced_size(320, 240, 960)
    ((960, 540), (320, 240))
    """
    ratio = min(1.0, (long_side or math.inf) / max(width, height))
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _part(frame: VideoFrame, top: int, bottom: int, left: int, right: int) -> VideoFrame:
    """Crop a chroma-subsampled frame; rows and columns are in pairs of pixels."""
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
