"""Where PyAV finds no picture decord tries, which brings an FFmpeg of its own, an older one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from dfd.errors import VideoReadError
from dfd.types import Plan
from dfd.videos.decode import Decoder, VideoInfo, probe, stream_pictures
from dfd.videos.pictures import THREADS, Picture, Pictures, View

HEAD = 12
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # of which one stands first in an MP4 or MOV
MATROSKA = b"\x1aE\xdf\xa3"


@dataclass(frozen=True)
class Source:
    """A video that can be read. stream: its pictures as stream_pictures gives them, through decord all of them."""

    info: VideoInfo
    stream: Callable[[int, Plan | None], Iterator[Pictures]]
    decoder: Decoder


def open_source(path: Path) -> Source:
    """The video at `path`, through PyAV, or where that finds no picture through decord.

    decord gets to see only what begins like an MP4 or a Matroska file, since it would follow a playlist to other files.
    Raises VideoReadError, with PyAV's reason, where both fail.
    """
    try:
        return Source(probe(path), partial(stream_pictures, path), "pyav")
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
            height, width = reader[0].shape[:2]
        rate = float(reader.get_avg_fps())
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoReadError(path, f"decord: {(str(error) or 'no picture').splitlines()[0]}") from None
    fps = rate if 0.1 <= rate <= 1000 else 25.0
    info = VideoInfo(path, width, height, len(reader), fps, 0)  # decord turns the pictures itself
    return Source(info, partial(_stream_with_decord, reader, fps), "decord")


def _stream_with_decord(reader: Any, fps: float, chunk: int, _: Plan | None = None) -> Iterator[Pictures]:
    """As far as it goes: decord gives up a file at its first damage."""
    import decord

    for start in range(0, len(reader), chunk):
        indices = np.arange(start, min(start + chunk, len(reader)), dtype=np.int64)
        try:
            with _silent():
                images = reader.get_batch(indices).asnumpy()
        except (decord.DECORDError, RuntimeError):
            return
        frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images]
        view = View(frames[0])
        yield Pictures([Picture(frame, view) for frame in frames], indices, fps, len(reader))


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
