"""Decode videos. Only dfd/videos/ imports PyAV and decord.

PyAV is the default. It reads truncated files, which decord rejects, and converts only the requested frames. It finds
them by their packets, which is exact in every container; seeking is not. decord serves as a comparison: it gives the
same 8-bit frames, bit for bit, for files in which it finds frames and whose display is plain (Display.plain). CPU time
of PyAV and of decord on a 1080p DFDC clip of 300 frames, 2 of them key frames (1: decoding all, converting none): all
1.63, 2.73; 32 spread evenly 0.70, 1.38; 15 from the middle 0.39, 0.72. 15 of 150 stored crops, all key frames: 11 ms,
16 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dfd.errors import VideoReadError
from dfd.types import Film, Frames, Plan
from dfd.videos.container import called, claimed_frames, open_film, rate_of
from dfd.videos.display import Display
from dfd.videos.frames import DamageError, asked_frames, first_frame, frames_of
from dfd.videos.index import SKIPPERS, Index, needed, read_index
from dfd.videos.pictures import THREADS, Picture, Pictures, View, held_reduction, reduced_size

Decoder = Literal["pyav", "decord"]


@dataclass(frozen=True)
class VideoInfo:
    """What a container claims. width, height: pixels of a displayed frame. frames: 0 if not stated.

    fps: frames a second. display: how its frames are displayed.
    """

    path: Path
    width: int
    height: int
    frames: int
    fps: float
    display: Display


def probe(path: Path | str) -> VideoInfo:
    """Read what the container of `path` claims. Raises VideoReadError: not a video file, or no frame decodes."""
    path = Path(path)
    first, display = first_frame(path)
    height, width, _ = View(first, display).shape
    with open_film(path) as stream:
        return VideoInfo(path, width, height, claimed_frames(stream), rate_of(stream), display)


def read_frames(
    film: Film | str,
    indices: Sequence[int] | NDArray[np.int64],
    *,
    long_side: int | None = None,
    decoder: Decoder = "pyav",
) -> Frames:
    """Read the frames at `indices`: positions from 0 in display order, in any order, repeats read once.

    long_side: maximum longer side of the images in pixels; smaller ones are not enlarged. Frames that cannot be read or
    lie past the end are left out and counted in `missing`. Raises VideoReadError when none can be read.
    """
    film = Path(film) if isinstance(film, str) else film
    wanted = np.unique(np.asarray(indices, np.int64))
    if not len(wanted) or wanted[0] < 0:
        raise ValueError(f"indices are {wanted.tolist()[:8]}, not one or more positions of at least 0")
    if decoder == "decord":
        return _read_with_decord(called(film), wanted, long_side)
    index, images, found = read_index(film), [], []
    with open_film(film) as stream:
        view: View | None = None
        for position, frame in asked_frames(stream, index, set(wanted.tolist())):
            view = view or View(frame, Display.of(frame, stream.sample_aspect_ratio))
            images.append(Picture(frame, view).reduced(long_side))
            found.append(position)
        if not images:
            reason = f"none of the {len(wanted)} frames asked for can be read, of {index.promised}"
            raise VideoReadError(called(film), reason)
        return Frames(np.stack(images), np.array(found, np.int64), rate_of(stream), len(wanted) - len(images))


class Footage:
    """A video with its packet index and first frame, which every pass over it needs.

    display: how its frames are displayed. Raises VideoReadError when no frame decodes.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._index = read_index(self.path)
        self._first, self.display = first_frame(self.path)
        self.fps = self._index.fps

    @property
    def caveats(self) -> tuple[str, ...]:
        """Caveats for viewers: Display's, and whether the file is truncated."""
        promised, lost = self._index.promised, self._index.promised - self._index.shown
        cut = lost >= min(self.fps, max(3.0, promised / 10))  # containers are often wrong by a few frames
        return (
            *self.display.caveats,
            *([f"cut short: {lost} of {promised} frames are not in the file"] if cut else []),
        )

    def stream(self, plan: Plan) -> Iterator[Pictures]:
        """Yield the groups of frames that `plan` requests, in order. A group has the frames that can be read, perhaps
        none.

        A frame does not depend on which others the plan requests between its group's first and last frame. All groups
        are decoded in one pass, and between them only their reference frames, as long as nothing is damaged: an
        undamaged frame is exact. A group that damage may affect is read separately. Raises VideoReadError when the file
        has vanished.
        """
        path, index = self.path, self._index
        groups = list(plan(index.shown, self.fps))
        views = [_view(self._first, self.display, group) for group in groups]
        done = 0
        while done < len(groups):
            for pictures in _sound(path, index, groups[done:], views[done:]):
                yield _pictures_of(pictures, groups[done], self.fps, index)
                done += 1
            if done < len(groups):
                yield _pictures_of(_with_care(path, index, groups[done], views[done]), groups[done], self.fps, index)
                done += 1


def stream_pictures(path: Path | str, plan: Plan) -> Iterator[Pictures]:
    """Open the video at `path` and call Footage.stream."""
    return Footage(path).stream(plan)


_Held = list[tuple[int, Picture]]


def _view(first: VideoFrame, display: Display, group: NDArray[np.int64]) -> View:
    """The View for a group of frames. Memory is reserved for all frames between its first and last, requested or not.

    >>> [_view(VideoFrame(3840, 2160), Display(), np.array([0, last])).reduction for last in (79, 80)]
    [1, 2]
    """
    span = int(group[-1] - group[0]) + 1 if len(group) else 1
    return View(first, display, held_reduction(first, span))


def _sound(path: Path, index: Index, groups: Sequence[NDArray[np.int64]], views: Sequence[View]) -> Iterator[_Held]:
    """The frames of each group, up to the first that damage may affect.

    A frame may depend on frames displayed later, and their damage shows only then: a group is sound once all of these
    are decoded. If frames are counted because timestamps are unreliable, everything is decoded in any case, and damage
    makes no difference.
    """
    wanted = {position: view for group, view in zip(groups, views, strict=True) for position in group.tolist()}
    held: _Held = []
    left, position = list(groups), -1
    with open_film(path, wary=bool(index.positions)) as stream:
        frames = frames_of(stream, index, set(wanted), strict=bool(index.positions))
        while left:
            last = int(left[0][-1]) if len(left[0]) else -1
            while position < index.settled(last):
                try:
                    position, frame = next(frames)
                except StopIteration:
                    break
                except DamageError:
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


def _with_care(path: Path, index: Index, group: NDArray[np.int64], view: View) -> _Held:
    """The readable frames of one group in a damaged stretch.

    How a decoder conceals damage depends on its earlier input. So reference frames are decoded first, from their key
    frame on and without the others. Of the others only those are read that depend on no damage and are undamaged
    themselves. Decoders that cannot skip frames get all packets. FFmpeg reports damage in H.264; in HEVC it reports
    only some and returns the rest as decoded.
    """
    span = set(range(int(group[0]), int(group[-1]) + 1))
    wanted = set(group.tolist())
    with open_film(path) as stream:
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
    stream: VideoStream, index: Index, span: set[int], skips: bool, view: View
) -> tuple[dict[int, Picture], set[int | None]]:
    """The reference frames in `span`, by position; and presentation times of damaged ones, there or earlier."""
    found: dict[int, Picture] = {}
    broken: set[int | None] = set()
    for packet in needed(stream, index, span):
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


def _sound_rest(path: Path, index: Index, rest: set[int], view: View) -> dict[int, Picture]:
    """The frames at `rest`, which are not reference frames, by position. Damaged ones are dropped one by one."""
    asked = set(rest)
    while asked:
        found: dict[int, Picture] = {}
        try:
            with open_film(path) as stream:
                for position, frame in frames_of(stream, index, asked, strict=True):
                    if position in asked:
                        found[position] = Picture(frame, view)
                return found
        except DamageError as damage:
            if damage.position not in asked:  # the damage is in another frame: keep the frames before it
                return found
            asked.discard(damage.position)
    return {}


def _pictures_of(held: _Held, group: NDArray[np.int64], fps: float, index: Index) -> Pictures:
    indices = np.array([position for position, _ in held], np.int64)
    missing = len(group) - len(held)
    return Pictures([picture for _, picture in held], indices, fps, index.shown, missing)


def _read_with_decord(path: Path, wanted: NDArray[np.int64], long_side: int | None) -> Frames:
    """read_frames with decord, for files in which it finds the same frames as PyAV."""
    import decord  # loads a second FFmpeg, so import it only on request

    info, index = probe(path), read_index(path)
    if not info.display.plain:
        raise VideoReadError(path, "decord does not show it as a player does: read it with pyav")
    width, height = reduced_size(info.width, info.height, long_side)
    inside = wanted[wanted < index.shown]
    if not len(inside):
        raise VideoReadError(path, f"none of the {len(wanted)} frames asked for can be read, of {index.shown}")
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path), width=width, height=height, num_threads=THREADS)
        # It counts frames hidden by an edit list, and may wait for ever for frames that the container only promises.
        if len(reader) != index.shown or not index.plain:
            raise VideoReadError(path, "decord does not find its frames exactly: read it with pyav")
        images = reader.get_batch(inside).asnumpy()
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoReadError(path, f"decord: {str(error).splitlines()[0]}") from None
    return Frames(images, inside, info.fps, missing=len(wanted) - len(inside))
