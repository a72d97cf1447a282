"""Fall back to decord, which ships an older FFmpeg, if PyAV finds no frame."""

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
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # an MP4 or MOV starts with one of these
BY_DECORD = "read by decord"
"""Caveat: decord applies rotations, but no mirroring, pixel aspect ratio or HDR conversion."""
MATROSKA = b"\x1aE\xdf\xa3"


@dataclass(frozen=True)
class Source:
    """A readable video. stream: yields the frames that a plan requests, see Footage.stream. caveats: see Footage."""

    stream: Callable[[Plan], Iterator[Pictures]]
    caveats: tuple[str, ...] = ()


def open_source(path: Path) -> Source:
    """Open the video at `path` with PyAV, or with decord if PyAV finds no frame.

    decord only opens files that begin like MP4 or Matroska, since it would follow a playlist to other files.
    Raises VideoReadError, with PyAV's reason, if both fail.
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
        if not path.is_file():  # opening a FIFO would block for ever
            return False
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return head[4:8] in BOXES or head.startswith(MATROSKA)


def _open_with_decord(path: Path) -> Source:
    import decord  # loads a second FFmpeg, so import it only for a broken file

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
    """Decode each group from its first frame to its last, so that it does not depend on the other requests."""
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
    """Context that hides what decord's native code prints about broken files, whatever its log level."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
