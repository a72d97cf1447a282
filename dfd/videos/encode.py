"""Encode videos: H.264 in MP4 that any player opens. The same images give the same bytes."""

from collections.abc import Iterable
from contextlib import nullcontext
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from dfd.files import whole

PRESET = "veryfast"
"""x264's preset. 150 crops of 256 pixels, all key frames, at crf 18: 155 ms and 457 kB; "medium" takes 280 ms for 456
kB, and "ultrafast" 125 ms for 622 kB. Quality is within 0.6 dB of each other."""
MUXER = {"fflags": "+bitexact"}
"""Leaves out the writer's version, so that the bytes do not depend on it."""
ON_DISK = {"movflags": "+faststart"}
"""Put the index first, so that a truncated file can be read as far as it goes."""
BT601 = 6
"""FFmpeg's number of the conversion matrix."""
ROTATIONS = (0, 90, 180, 270)


def write_video(
    to: Path | str | BinaryIO,
    images: Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    crf: int = 18,
    keyframe_every: int = 1,
    rotation: int = 0,
) -> None:
    """Encode `images` as an H.264 yuv420p MP4 into an open file, or to a path, atomically.

    images: (T,H,W,3) uint8 RGB, an array or any iterable of T >= 1 images of one size. An odd height or width grows
    by one pixel, a repeat of the last row or column, since 4:2:0 halves both. fps: images a second, 0.01 to 1000.
    crf: x264's quality, 0 (best) to 51. keyframe_every: distance between key frames; at 1 every frame is a key frame,
    decodes by itself, and is encoded independently of the frames before it. rotation: 0, 90, 180 or 270 degrees
    counter-clockwise, which a reader applies to the stored images.

    Raises ValueError for invalid images or settings, OSError if `to` cannot be written.
    """
    _check(fps, keyframe_every, rotation)
    options = {"crf": str(crf), "g": str(keyframe_every)}
    if keyframe_every == 1:
        options["qcomp"] = "1"  # otherwise a frame's quality depends on the complexity of earlier frames
    with whole(Path(to)) if isinstance(to, str | Path) else nullcontext(to) as place:
        muxer = {**MUXER, **(ON_DISK if isinstance(place, Path) else {})}
        with av.open(place, "w", format="mp4", container_options=muxer) as container:
            _encode(container, images, fps, options, rotation)


def _check(fps: float, keyframe_every: int, rotation: int) -> None:
    if not 0.01 <= fps <= 1000:
        raise ValueError(f"fps is {fps}, not in 0.01 to 1000")
    if keyframe_every < 1:
        raise ValueError(f"keyframe_every is {keyframe_every}, not at least 1")
    if rotation not in ROTATIONS:
        raise ValueError(f"rotation is {rotation}, not one of {ROTATIONS}")


def _encode(
    container: OutputContainer, images: Iterable[NDArray[np.uint8]], fps: float, options: dict[str, str], rotation: int
) -> None:
    pictures = iter(images)
    first = next(pictures, None)
    if first is None:
        raise ValueError("no pictures to write")
    rate = Fraction(fps).limit_denominator(1001)  # restores 30000/1001 from 29.97002997…
    options = {"preset": PRESET, "threads": "1", "sc_threshold": "0", "mbtree": "0", **options}  # deterministic
    stream = container.add_stream("libx264", rate=rate, options=options)
    height, width = np.shape(first)[:2]
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    stream.codec_context.colorspace = BT601  # untagged, a player assumes BT.709 from 720 lines on
    if rotation:
        stream.set_display_rotation(rotation)
    for number, picture in enumerate(chain([first], pictures)):
        container.mux(stream.encode(_frame(picture, (height, width), number)))
    container.mux(stream.encode())


def _frame(picture: NDArray[np.uint8], size: tuple[int, int], number: int) -> av.VideoFrame:
    if picture.shape != (*size, 3) or picture.dtype != np.uint8:
        raise ValueError(f"picture {number} is {picture.shape} {picture.dtype}, not {(*size, 3)} uint8 as the first")
    even = np.pad(picture, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    frame.pts = number
    return frame
