"""Index a stream's packets without decoding: the frame of each packet, and its dependencies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from dfd.types import Film
from dfd.videos.container import claimed_frames, open_film, packets_of, rate_of

SKIPPERS = ("h264", "hevc")  # decoders that can skip single packets of non-reference frames
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers in which decord finds frames


@dataclass(frozen=True)
class Index:
    """A stream's packets, indexed without decoding.

    positions: of the frames by presentation time, in display order; empty if the times are unreliable and frames are
    counted instead. order: places of their packets in the file. keys: presentation times of the key frames, increasing.
    plain: decord finds the same frames. fps: frames a second. shown: number of frames with packets. promised: number
    according to the container, but at least shown. latest: for each position the last one displayed among those whose
    packets come no later in the file.
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
        """Time of the key frame from which the frame at `time` is decoded; None if it is displayed before the first
        one.

        A frame that follows a key frame in the file but is displayed before it depends on the previous key frame.
        """
        count = 0 if time is None else bisect_right(self.keys, time)
        return self.keys[count - 1] if count else None

    def leans(self, time: int | None, other: int | None) -> bool:
        """Whether the frame at `time` may depend on the one at `other`."""
        key = self.key(time)
        after_key = key is None or (other is not None and other >= key and self.order[other] >= self.order[key])
        return after_key and self.order[other] < self.order[time]

    def settled(self, position: int) -> int:
        """The last position displayed among those whose packets come no later than that of `position`."""
        return self.latest[position] if 0 <= position < len(self.latest) else position


def read_index(film: Film) -> Index:
    """Index a stream in one pass over its packets, without decoding."""
    with open_film(film) as stream:
        claimed, container, fps = claimed_frames(stream), stream.container.format.name, rate_of(stream)
        packets = [(p.pts, p.is_keyframe, p.is_discard) for p in packets_of(stream)]
        alone = len(stream.container.streams.video) == 1
        delayed = stream.codec_context.has_b_frames
    shown = sum(not hidden for *_, hidden in packets)
    times = [time for time, *_ in packets if time is not None]
    order = sorted(times)
    # A container without presentation times (AVI) repeats the decoding order, which is wrong with B-frames.
    if (delayed and times == order) or len(set(times)) < len(packets):
        return Index(fps=fps, shown=shown, promised=max(claimed, shown))
    keys = [i for i, (_, key, _) in enumerate(packets) if key]
    # Closed GOPs: no frame is displayed before the key frame that it follows.
    plain = alone and container in EXACT and all(times[i] == order[i] for i in keys)
    hidden = {time for time, _, discarded in packets if discarded}
    positions: dict[int | None, int] = {t: i for i, t in enumerate(t for t in order if t not in hidden)}
    places: dict[int | None, int] = {time: i for i, time in enumerate(times)}
    by_place = np.array([positions.get(time, -1) for time in times], np.int64)
    latest = np.maximum.accumulate(by_place)[[places[time] for time in positions]].tolist()
    rising = tuple(sorted(times[i] for i in keys))
    return Index(positions, places, rising, plain, fps, shown, max(claimed, shown), tuple(latest))


def needed(stream: VideoStream, index: Index, asked: set[int] | None = None) -> Iterator[Packet | None]:
    """Yield the packets that the `asked` frames (None: all) depend on, from their key frames on.

    None marks a gap, and the end: there the decoder must return the frames that it holds back.
    """
    if asked is None or not index.positions:
        yield from packets_of(stream)
        yield None
        return
    starts: dict[int | None, set[int | None]] = {}
    for time, position in index.positions.items():
        if position in asked and time is not None:
            starts.setdefault(index.key(time), set()).add(time)
    owed, skipped = starts.pop(None, set()), False
    for packet in packets_of(stream):
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
