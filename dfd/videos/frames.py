"""Decode frames by position in display order. Damaged frames are left out or reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfd.errors import VideoReadError
from dfd.videos.container import open_film, packets_of
from dfd.videos.display import Display
from dfd.videos.index import Index, needed


def asked_frames(stream: VideoStream, index: Index, asked: set[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (position, frame) of the `asked` positions, in increasing order."""
    last = max(asked, default=-1)
    for position, frame in frames_of(stream, index, asked):
        if position in asked:
            yield position, frame
        if position >= last:
            return


class DamageError(Exception):
    """A packet is damaged. position: of its frame, -1 if unknown."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def frames_of(
    stream: VideoStream, index: Index, asked: set[int] | None = None, strict: bool = False
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (position, frame) in increasing order: the `asked` positions (None: all), and some reference frames.

    strict: raise DamageError for a damaged frame, which otherwise is left out. Frames displayed before the key frame at
    which decoding starts lack their references, and nothing depends on them.
    """
    last = -1
    begun: int | None = None  # presentation time of that key frame
    short: FFmpegError | None = None
    for packet in needed(stream, index, asked):
        begun = packet.pts if packet and begun is None else begun
        try:
            frames = stream.decode(packet)
        except FFmpegError as error:
            if strict and not (packet and _before(packet.pts, begun)):
                raise DamageError(index.positions.get(packet.pts, -1) if packet else -1) from None
            frames = []
            short = error if isinstance(error, MemoryError) else short
        if packet is None:
            stream.codec_context.flush_buffers()  # it can start at another key frame now
        for frame in frames:
            position = index.positions.get(frame.pts, -1) if index.positions else last + 1
            if strict and (frame.is_corrupt or 0 <= position <= last) and not _before(frame.pts, begun):
                raise DamageError(position)
            if position > last:  # after a lost key frame the decoder returns frames out of order
                last = position
                if not frame.is_corrupt:
                    yield position, frame
        begun = begun if packet else None
    if last < 0 and short is not None:
        raise short


def _before(time: int | None, other: int | None) -> bool:
    return time is not None and other is not None and time < other


def first_frame(path: Path) -> tuple[VideoFrame, Display]:
    """The first frame that decodes, and how all frames are displayed: like this one, and at its size."""
    with open_film(path) as stream, suppress(FFmpegError):
        for packet in islice(packets_of(stream), 1):  # one packet alone: no wait for delayed frames
            for frame in [*stream.decode(packet), *stream.decode(None)]:
                return frame, Display.of(frame, stream.sample_aspect_ratio)
    with open_film(path) as stream:
        for _, frame in frames_of(stream, Index()):
            return frame, Display.of(frame, stream.sample_aspect_ratio)
    raise VideoReadError(path, "no picture decodes")
