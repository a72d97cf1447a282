"""Where PyAV finds no picture decord tries, which brings an FFmpeg of its own, an older one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from dfd.errors import VideoReadError
from dfd.types import Plan
from dfd.videos.decode import Footage
from dfd.videos.pictures import THREADS, Picture, Pictures, View

HEAD = 12
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # of which one stands first in an MP4 or MOV
BY_DECORD = "read by decord"
"""Its caveat: decord turns pictures, and knows neither mirrors nor the shape of pixels nor HDR."""
MATROSKA = b"\x1aE\xdf\xa3"


@dataclass(frozen=True)
class Source:
    """A video that can be read. stream: what a plan asks for, as Footage.stream gives it. caveats: as Footage's."""

    stream: Callable[[Plan], Iterator[Pictures]]
    caveats: tuple[str, ...] = ()


def open_source(path: Path) -> Source:
    """The video at `path`, through PyAV, or where that finds no picture through decord.

    decord gets to see only what begins like an MP4 or a Matroska file, since it would follow a playlist to other files.
    Raises VideoReadError, with PyAV's reason, where both fail.
    """
    try:
        footage = Footage(path)
        return Source(footage.stream, footage.caveats)
    except VideoReadError as error:
        if not _begins_as_container(path):
            raise
        try:
            return _open_with_decord(path)
        except VideoReadError:
            raise error from None


def _begins_as_container(path: Path) -> bool:
    """Whether a regular file begins like an MP4 or Matroska file.

    >>> _begins_as_container(Path("/dev/zero"))
    False
    """
    try:
        if not path.is_file():  # to open a FIFO would wait for ever
            return False
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return head[4:8] in BOXES or head.startswith(MATROSKA)


def _open_with_decord(path: Path) -> Source:
    import decord  # loads a second FFmpeg, which only a broken file pays for

    try:
        with _silent():
            decord.logging.set_level(decord.logging.QUIET)
            reader = decord.VideoReader(str(path.absolute()), num_threads=THREADS)
            reader[0]
        rate = float(reader.get_avg_fps())
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoReadError(path, f"decord: {(str(error) or 'no picture').splitlines()[0]}") from None
    fps = rate if 0.1 <= rate <= 1000 else 25.0
    return Source(partial(_stream_with_decord, reader, fps), (BY_DECORD,))


def _stream_with_decord(reader: Any, fps: float, plan: Plan) -> Iterator[Pictures]:
    """Each group from its first frame to its last, so that it is the same whatever else is asked for."""
    import decord

    shown = len(reader)
    for group in plan(shown, fps):
        there, images = group[group < shown], np.empty((0, 1, 1, 3), np.uint8)
        with suppress(decord.DECORDError, RuntimeError), _silent():
            if len(there):
                images = reader.get_batch(np.arange(there[0], there[-1] + 1)).asnumpy()[there - there[0]]
        frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images]
        pictures = [Picture(frame, View(frames[0])) for frame in frames]
        yield Pictures(pictures, group[: len(frames)], fps, shown, len(group) - len(frames))


@contextmanager
def _silent() -> Iterator[None]:
    """Without the lines that decord's native code writes about broken files, whatever its level of logging."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
