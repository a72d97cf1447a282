"""Reading videos: the one door to PyAV and decord.

PyAV reads by default: it gives the frames of a file cut short, of which decord gives none, converts only the pictures
that are wanted, and finds them by their packets, which is exact in every container, where seeking is not. decord is for
comparison: the same 8-bit pictures, bit for bit, of files in which it finds frames. CPU time of PyAV and of decord on a
1080p DFDC clip of 300 frames, 2 of them key frames (decoding all and converting none: 1): all 1.63, 2.73; 32 spread
evenly 0.70, 1.38; 15 from the middle 0.39, 0.72. 15 of 150 stored crops, all key frames: 11 ms, 16 ms.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dfd.errors import VideoReadError
from dfd.types import Film, Frames, Plan
from dfd.videos.pictures import THREADS, Picture, Pictures, View, held_reduction, reduced_size

Decoder = Literal["pyav", "decord"]

DEMUXERS = "mov,matroska,avi,flv,asf,mpegts,mpeg,ogg,mxf,dv"
"""FFmpeg's readers that stay inside their file. Playlists (hls, concat, dash) open other files that they name."""
SKIPPERS = ("h264", "hevc")  # decoders that can be told packet by packet to leave out what no picture depends on
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers in which decord finds frames


@dataclass(frozen=True)
class VideoInfo:
    """What a container claims. width, height: pixels of the upright picture. frames: 0 when not told.

    fps: frames a second. rotation: 0, 90, 180 or 270, degrees counter-clockwise from the stored pictures to upright.
    """

    path: Path
    width: int
    height: int
    frames: int
    fps: float
    rotation: int


def probe(path: Path | str) -> VideoInfo:
    """What the container of `path` claims. Raises VideoReadError: not a video file, or no picture decodes."""
    path = Path(path)
    view = View(_first_frame(path))
    with _open(path) as stream:
        height, width = view.shape[:2]
        return VideoInfo(path, width, height, _claimed(stream), _fps(stream), 90 * view.turns)


def read_frames(
    film: Film | str,
    indices: Sequence[int] | NDArray[np.int64],
    *,
    long_side: int | None = None,
    decoder: Decoder = "pyav",
) -> Frames:
    """The frames at `indices`: positions of at least 0 in the order they are shown, in any order, repeats read once.

    long_side: longest side of the images in pixels; larger ones are reduced, smaller ones left. Frames that cannot be
    read or lie past the end are left out and counted in `missing`. Raises VideoReadError when none can be read.
    """
    film = Path(film) if isinstance(film, str) else film
    wanted = np.unique(np.asarray(indices, np.int64))
    if not len(wanted) or wanted[0] < 0:
        raise ValueError(f"indices are {wanted.tolist()[:8]}, not one or more positions of at least 0")
    if decoder == "decord":
        return _read_with_decord(_path(film), wanted, long_side)
    index, images, found = _read_index(film), [], []
    with _open(film) as stream:
        view: View | None = None
        for position, frame in _asked(stream, index, set(wanted.tolist())):
            view = view or View(frame)
            images.append(Picture(frame, view).reduced(long_side))
            found.append(position)
        if not images:
            reason = f"none of the {len(wanted)} frames asked for can be read, of {index.promised}"
            raise VideoReadError(_path(film), reason)
        return Frames(np.stack(images), np.array(found, np.int64), _fps(stream), len(wanted) - len(images))


class Footage:
    """A video of which the packets and the first frame are known: what each pass over it takes.

    Raises VideoReadError when no frame decodes.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._index, self._first = _read_index(self.path), _first_frame(self.path)
        self.fps = self._index.fps

    def stream(self, plan: Plan) -> Iterator[Pictures]:
        """The groups of frames that the plan asks for, in order: of each what can be read, perhaps nothing.

        A frame is the same whatever else the plan asks for between a group's first frame and its last. All groups are
        decoded in one pass, and between them only what they depend on, as long as nothing is damaged: a sound frame is
        exact. A group that damage may have touched is read with care. Raises VideoReadError when the file is gone.
        """
        path, index = self.path, self._index
        groups = list(plan(index.shown, self.fps))
        views = [_view(self._first, group) for group in groups]
        done = 0
        while done < len(groups):
            for pictures in _sound(path, index, groups[done:], views[done:]):
                yield _pictures_of(pictures, groups[done], self.fps, index)
                done += 1
            if done < len(groups):
                yield _pictures_of(_with_care(path, index, groups[done], views[done]), groups[done], self.fps, index)
                done += 1


def stream_pictures(path: Path | str, plan: Plan) -> Iterator[Pictures]:
    """Footage.stream of the video at `path`."""
    return Footage(path).stream(plan)


_Held = list[tuple[int, Picture]]


def _view(first: VideoFrame, group: NDArray[np.int64]) -> View:
    """How a group's frames are held: as many as lie between its first one and its last, whatever is asked for there.

    >>> [_view(VideoFrame(3840, 2160), np.array([0, last])).reduction for last in (79, 80)]
    [1, 2]
    """
    span = int(group[-1] - group[0]) + 1 if len(group) else 1
    return View(first, held_reduction(first, span))


def _sound(path: Path, index: _Index, groups: Sequence[NDArray[np.int64]], views: Sequence[View]) -> Iterator[_Held]:
    """The frames of each group up to the first that damage may have touched.

    What a frame depends on may be shown after it, and its damage then: a group is sound once all of that is shown.
    Where frames are counted, since their times cannot be relied on, all is decoded whatever is asked for, and damage
    makes no difference.
    """
    wanted = {position: view for group, view in zip(groups, views, strict=True) for position in group.tolist()}
    held: _Held = []
    left, position = list(groups), -1
    with _open(path, wary=bool(index.positions)) as stream:
        frames = _pictures(stream, index, set(wanted), strict=bool(index.positions))
        while left:
            last = int(left[0][-1]) if len(left[0]) else -1
            while position < index.settled(last):
                try:
                    position, frame = next(frames)
                except StopIteration:
                    break
                except _DamageError:
                    return
                else:
                    if position in wanted:
                        held.append((position, Picture(frame, wanted[position])))
            group = set(left[0].tolist())
            mine = [one for one in held if one[0] in group]
            if index.positions and len(mine) < len(group & set(index.positions.values())):
                return
            yield mine
            held = [one for one in held if one[0] > last]
            left.pop(0)


def _with_care(path: Path, index: _Index, group: NDArray[np.int64], view: View) -> _Held:
    """The frames of one group in a damaged stretch, as far as they can be read.

    What a decoder makes up for damage depends on what it was given before. So frames that others depend on are decoded
    from their key frame on without the rest, and of the rest only those are read that depend on no damage, each where
    it is sound itself. Decoders that cannot leave out frames are given all. FFmpeg notices damage in H.264; of HEVC it
    notices some, and shows the rest as it comes.
    """
    span = set(range(int(group[0]), int(group[-1]) + 1))
    wanted = set(group.tolist())
    with _open(path) as stream:
        skips = stream.codec_context.name in SKIPPERS
        found, broken = _references(stream, index, span, skips, view)
    rest: dict[int | None, set[int]] = {}
    for time, position in index.positions.items():
        if skips and position in span - set(found) and not any(index.leans(time, other) for other in broken):
            rest.setdefault(index.key(time), set()).add(position)
    for after_one_key in rest.values():
        found |= _sound_rest(path, index, after_one_key, view)
    return [(position, found[position]) for position in sorted(wanted & set(found))]


def _references(
    stream: VideoStream, index: _Index, span: set[int], skips: bool, view: View
) -> tuple[dict[int, Picture], set[int | None]]:
    """The frames of `span` that others depend on, by position; presentation times of damaged ones, there or before."""
    found: dict[int, Picture] = {}
    broken: set[int | None] = set()
    for packet in _needed(stream, index, span):
        if skips:
            stream.codec_context.skip_frame = "NONREF"
        try:
            frames = stream.decode(packet)
        except FFmpegError:
            frames = []
            broken |= {packet.pts} if packet else set()
        for frame in frames:
            position = index.positions.get(frame.pts, -1)
            if frame.is_corrupt or frame.pts in broken:
                broken |= {frame.pts} & index.order.keys()
            elif position in span:
                found[position] = Picture(frame, view)
        if packet is None:
            stream.codec_context.flush_buffers()
    return found, broken


def _sound_rest(path: Path, index: _Index, rest: set[int], view: View) -> dict[int, Picture]:
    """The frames at `rest`, on which no other depends, by position. What is damaged is found and left out in turn."""
    asked = set(rest)
    while asked:
        found: dict[int, Picture] = {}
        try:
            with _open(path) as stream:
                for position, frame in _pictures(stream, index, asked, strict=True):
                    if position in asked:
                        found[position] = Picture(frame, view)
                return found
        except _DamageError as damage:
            if damage.position not in asked:  # it shows elsewhere: keep what came before
                return found
            asked.discard(damage.position)
    return {}


def _pictures_of(held: _Held, group: NDArray[np.int64], fps: float, index: _Index) -> Pictures:
    indices = np.array([position for position, _ in held], np.int64)
    missing = len(group) - len(held)
    return Pictures([picture for _, picture in held], indices, fps, index.shown, missing)


def _first_frame(path: Path) -> VideoFrame:
    """The first frame that decodes, after which all are shown: turned as it is, and of its size."""
    with _open(path) as stream, suppress(FFmpegError):
        for packet in islice(_packets(stream), 1):  # alone it takes no time for the frames that a decoder waits for
            for frame in [*stream.decode(packet), *stream.decode(None)]:
                return frame
    with _open(path) as stream:
        for _, frame in _pictures(stream, _Index()):
            return frame
    raise VideoReadError(path, "no picture decodes")


@contextmanager
def _open(film: Film, wary: bool = False) -> Iterator[VideoStream]:
    """The video stream of `film`, read in one thread. Whatever fails on the way is a VideoReadError.

    wary: a frame that leans on one that is lost counts as damaged, too; otherwise decoders make something up.
    """
    path = _path(film)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        if isinstance(film, Path):
            _check_regular(film)
        source = io.BytesIO(film) if isinstance(film, bytes) else f"file:{film}"
        with av.open(source, container_options=options, metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
                raise VideoReadError(path, "no video stream")
            if stream.codec_context is None:
                raise VideoReadError(path, "its codec is unknown")
            stream.codec_context.thread_count = THREADS
            if wary:
                stream.codec_context.options = {"err_detect": "explode"}
            yield stream
    except ArgumentError:
        raise VideoReadError(path, f"no video file, or of none of the kinds that are read ({DEMUXERS})") from None
    except (FFmpegError, OSError) as error:
        greedy = isinstance(error, MemoryError)  # FFmpeg's: a picture is too large, or damage claims that it is
        reason = "it asks for more memory than there is" if greedy else (error.strerror or str(error)).lower()
        raise VideoReadError(path, reason) from None


def _path(film: Film) -> Path:
    """What an error calls a film."""
    return film if isinstance(film, Path) else Path("a film in memory")


def _check_regular(path: Path) -> None:
    """Raise VideoReadError unless `path` is a file with bytes in it: to open a FIFO would wait for ever."""
    if not path.is_file():
        other = "a folder, not a video file" if path.is_dir() else "not a regular file"
        raise VideoReadError(path, other if path.exists() else "no such file")
    if not path.stat().st_size:
        raise VideoReadError(path, "the file is empty")


def _fps(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate and 0.1 <= rate <= 1000 else 25.0  # none told, or none that can be


def _claimed(stream: VideoStream) -> int:
    """Frames that the container promises to show; 0 when not told."""
    indexed = "mp4" in stream.container.format.name  # its plain count has what an edit list cuts away in it
    return sum(not entry.is_discard for entry in stream.index_entries if indexed) or stream.frames


@dataclass(frozen=True)
class _Index:
    """A stream's packets, before any is decoded.

    positions: of the frames by presentation time, in the order shown; empty where the times cannot be relied on, and
    frames are counted instead. order: places of their packets in the file, too. keys: presentation times of the key
    frames, rising. plain: decord finds the same frames. fps: frames a second. shown: frames that there are packets for.
    promised: as the container says, but never fewer than shown. latest: of each position the last one to be shown of
    those whose packets come no later in the file.
    """

    positions: dict[int | None, int] = field(default_factory=dict)
    order: dict[int | None, int] = field(default_factory=dict)
    keys: tuple[int, ...] = ()
    plain: bool = False
    fps: float = 25.0
    shown: int = 0
    promised: int = 0
    latest: tuple[int, ...] = ()

    def key(self, time: int | None) -> int | None:
        """Time of the key frame from which on the frame at `time` is decoded; None where it is shown before the first.

        A frame that follows a key frame in the file and is shown before it depends on the key frame before that.
        """
        count = 0 if time is None else bisect_right(self.keys, time)
        return self.keys[count - 1] if count else None

    def leans(self, time: int | None, other: int | None) -> bool:
        """Whether the frame at `time` may depend on the one at `other`."""
        key = self.key(time)
        after_key = key is None or (other is not None and other >= key and self.order[other] >= self.order[key])
        return after_key and self.order[other] < self.order[time]

    def settled(self, position: int) -> int:
        """Position of the last frame to be shown of those whose packets come no later than that of `position`."""
        return self.latest[position] if 0 <= position < len(self.latest) else position


def _read_index(film: Film) -> _Index:
    """One pass over the packets, which decodes nothing."""
    with _open(film) as stream:
        claimed, container, fps = _claimed(stream), stream.container.format.name, _fps(stream)
        packets = [(p.pts, p.is_keyframe, p.is_discard) for p in _packets(stream)]
        delayed = stream.codec_context.has_b_frames
    shown = sum(not hidden for *_, hidden in packets)
    times = [time for time, *_ in packets if time is not None]
    order = sorted(times)
    # A container without presentation times (AVI) repeats the decoding order, which B-frames belie.
    if (delayed and times == order) or len(set(times)) < len(packets):
        return _Index(fps=fps, shown=shown, promised=max(claimed, shown))
    keys = [i for i, (_, key, _) in enumerate(packets) if key]
    # Closed groups of pictures: no frame is shown before the key frame that it follows.
    plain = container in EXACT and all(times[i] == order[i] for i in keys)
    hidden = {time for time, _, discarded in packets if discarded}
    positions: dict[int | None, int] = {t: i for i, t in enumerate(t for t in order if t not in hidden)}
    places: dict[int | None, int] = {time: i for i, time in enumerate(times)}
    by_place = np.array([positions.get(time, -1) for time in times], np.int64)
    latest = np.maximum.accumulate(by_place)[[places[time] for time in positions]].tolist()
    rising = tuple(sorted(times[i] for i in keys))
    return _Index(positions, places, rising, plain, fps, shown, max(claimed, shown), tuple(latest))


def _packets(stream: VideoStream) -> Iterator[Packet]:
    """The stream's packets in decoding order, up to the end or the first that cannot be reached."""
    container = stream.container
    assert isinstance(container, InputContainer)
    try:
        for packet in container.demux(stream):
            if packet.size:  # an empty one would end the decoder
                yield packet
    except (FFmpegError, IndexError):  # IndexError: PyAV's, where another stream begins midway
        return


def _needed(stream: VideoStream, index: _Index, asked: set[int] | None = None) -> Iterator[Packet | None]:
    """The packets that the frames `asked` for (None: all) depend on, each from its key frame on.

    None stands where packets are left out, and at the end: there the decoder gives what it holds back.
    """
    if asked is None or not index.positions:
        yield from _packets(stream)
        yield None
        return
    starts: dict[int | None, set[int | None]] = {}
    for time, position in index.positions.items():
        if position in asked and time is not None:
            starts.setdefault(index.key(time), set()).add(time)
    owed, skipped = starts.pop(None, set()), False
    for packet in _packets(stream):
        owed |= starts.pop(packet.pts, set())
        if owed:
            if skipped:
                yield None
            skipped = False
            if stream.codec_context.name in SKIPPERS:
                stream.codec_context.skip_frame = "DEFAULT" if packet.pts in owed else "NONREF"
            owed.discard(packet.pts)
            yield packet
        elif starts:
            skipped = True
        else:
            break
    yield None


def _asked(stream: VideoStream, index: _Index, asked: set[int]) -> Iterator[tuple[int, VideoFrame]]:
    """(position, frame) of those `asked` for, in rising order."""
    last = max(asked, default=-1)
    for position, frame in _pictures(stream, index, asked):
        if position in asked:
            yield position, frame
        if position >= last:
            return


class _DamageError(Exception):
    """A packet does not decode as its encoder meant it. position: of its frame, -1 where that is not known."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def _pictures(
    stream: VideoStream, index: _Index, asked: set[int] | None = None, strict: bool = False
) -> Iterator[tuple[int, VideoFrame]]:
    """(position, frame) in rising order: those `asked` for (None: all), and some that they depend on.

    strict: raises _DamageError where one is damaged, which otherwise is left out. What is shown before the key frame at
    which decoding begins lacks what it depends on, and nothing depends on it.
    """
    last = -1
    begun: int | None = None  # time of that key frame
    short: FFmpegError | None = None
    for packet in _needed(stream, index, asked):
        begun = packet.pts if packet and begun is None else begun
        try:
            frames = stream.decode(packet)
        except FFmpegError as error:
            if strict and not (packet and _before(packet.pts, begun)):
                raise _DamageError(index.positions.get(packet.pts, -1) if packet else -1) from None
            frames = []
            short = error if isinstance(error, MemoryError) else short
        if packet is None:
            stream.codec_context.flush_buffers()  # it can begin at another key frame now
        for frame in frames:
            position = index.positions.get(frame.pts, -1) if index.positions else last + 1
            if strict and (frame.is_corrupt or 0 <= position <= last) and not _before(frame.pts, begun):
                raise _DamageError(position)
            if position > last:  # a lost key frame makes the decoder give frames out of order
                last = position
                if not frame.is_corrupt:
                    yield position, frame
        begun = begun if packet else None
    if last < 0 and short is not None:
        raise short


def _before(time: int | None, other: int | None) -> bool:
    return time is not None and other is not None and time < other


def _read_with_decord(path: Path, wanted: NDArray[np.int64], long_side: int | None) -> Frames:
    """read_frames through decord, of those files only in which it finds the same frames as PyAV."""
    import decord  # loads a second FFmpeg, which only those who ask for it pay for

    info, index = probe(path), _read_index(path)
    width, height = reduced_size(info.width, info.height, long_side)
    inside = wanted[wanted < index.shown]
    if not len(inside):
        raise VideoReadError(path, f"none of the {len(wanted)} frames asked for can be read, of {index.shown}")
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path), width=width, height=height, num_threads=THREADS)
        # It counts frames that an edit list hides and may wait for ever for promised frames that are not there.
        if len(reader) != index.shown or not index.plain:
            raise VideoReadError(path, "decord does not find its frames exactly: read it with pyav")
        images = reader.get_batch(inside).asnumpy()
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoReadError(path, f"decord: {str(error).splitlines()[0]}") from None
    return Frames(images, inside, info.fps, missing=len(wanted) - len(inside))
