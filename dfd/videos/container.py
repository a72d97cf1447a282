"""Open a video file with PyAV: the container, its video stream, and what both claim."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from dfd.errors import VideoReadError
from dfd.types import Film
from dfd.videos.pictures import THREADS

DEMUXERS = "mov,matroska,avi,flv,asf,mpegts,mpeg,ogg,mxf,dv,gif"
"""FFmpeg demuxers that read only their own file. Playlists (hls, concat, dash) open other files."""
ASIDE = Disposition.attached_pic | Disposition.timed_thumbnails
"""Dispositions of streams that are not videos: covers and thumbnails."""
ALIKE = 0.9
"""Streams whose lengths have at least this ratio count as equally long."""


@contextmanager
def open_film(film: Film, wary: bool = False) -> Iterator[VideoStream]:
    """Open the video stream of `film`, for reading in one thread. Every failure becomes a VideoReadError.

    Of several streams it selects the longest: see `longest`. wary: also treat a frame as damaged if a reference frame
    is lost; otherwise decoders conceal the loss.
    """
    with _open(film) as container:
        streams = [stream for stream in container.streams.video if not stream.disposition & ASIDE]
        if not streams:
            raise VideoReadError(called(film), "no video stream")
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            raise VideoReadError(called(film), "its codec is unknown")
        stream = streams[0 if len(streams) == 1 else _longest(film, streams)]
        stream.codec_context.thread_count = THREADS
        if wary:
            stream.codec_context.options = {"err_detect": "explode"}
        yield stream


@contextmanager
def _open(film: Film) -> Iterator[InputContainer]:
    path = called(film)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        if isinstance(film, Path):
            _check_regular(film)
        source = io.BytesIO(film) if isinstance(film, bytes) else f"file:{film}"
        with av.open(source, "r", container_options=options, metadata_errors="replace") as container:
            yield container
    except ArgumentError:
        raise VideoReadError(path, f"no video file, or of none of the kinds that are read ({DEMUXERS})") from None
    except (FFmpegError, OSError) as error:
        greedy = isinstance(error, MemoryError)  # from FFmpeg: the frame is too large, or damage makes it seem so
        reason = "it asks for more memory than there is" if greedy else (error.strerror or str(error)).lower()
        raise VideoReadError(path, reason) from None


def called(film: Film) -> Path:
    """The name of a film in error messages."""
    return film if isinstance(film, Path) else Path("a film in memory")


def _check_regular(path: Path) -> None:
    """Raise VideoReadError unless `path` is a non-empty regular file. Opening a FIFO would block for ever."""
    if not path.is_file():
        other = "a folder, not a video file" if path.is_dir() else "not a regular file"
        raise VideoReadError(path, other if path.exists() else "no such file")
    if not path.stat().st_size:
        raise VideoReadError(path, "the file is empty")


def rate_of(stream: VideoStream) -> float:
    """Frames a second, in [0.1, 1000]."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate and 0.1 <= rate <= 1000 else 25.0  # the container has none, or an impossible one


def claimed_frames(stream: VideoStream) -> int:
    """Number of frames shown, according to the container; 0 if it does not say."""
    indexed = "mp4" in stream.container.format.name  # its plain count includes frames cut by an edit list
    return sum(not entry.is_discard for entry in stream.index_entries if indexed) or stream.frames


def packets_of(stream: VideoStream) -> Iterator[Packet]:
    """The stream's packets in decoding order, up to the end or the first that cannot be read."""
    return _packets([stream])


def _packets(streams: Sequence[VideoStream]) -> Iterator[Packet]:
    container = streams[0].container
    assert isinstance(container, InputContainer)
    try:
        for packet in container.demux(*streams):
            if packet.size:  # an empty packet would flush the decoder
                yield packet
    except (FFmpegError, IndexError):  # PyAV raises IndexError if another stream starts midway
        return


def _longest(film: Film, streams: Sequence[VideoStream]) -> int:
    """Index among several `streams` of the video, judged by their packets, since headers are unreliable."""
    times: dict[int, list[float]] = {stream.index: [] for stream in streams}
    with _open(film) as container:
        for packet in _packets([stream for stream in container.streams.video if stream.index in times]):
            time = packet.pts if packet.dts is None else packet.dts
            times[packet.stream_index].append(float((time or 0) * packet.time_base))
    pixels = [stream.codec_context.width * stream.codec_context.height for stream in streams]
    spans = [max(mine, default=0.0) - min(mine, default=0.0) for mine in times.values()]
    return longest(list(zip(map(len, times.values()), spans, pixels, strict=True)))


def longest(streams: Sequence[tuple[int, float, int]]) -> int:
    """Index of the longest stream, taken as the video. Each is (number of frames, seconds, pixels per frame).

    Of about equally long ones it takes the one with most pixels in total. Covers and thumbnails are never chosen.

    >>> longest([(1, 0.0, 9_000_000), (11, 10.0, 14_400), (300, 9.9, 2_000_000)])
    2
    """
    most = max(seconds for _, seconds, _ in streams)
    weights = [pictures * pixels if seconds >= ALIKE * most else -1 for pictures, seconds, pixels in streams]
    return weights.index(max(weights))
