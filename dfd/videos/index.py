"""A stream's packets, before any is decoded: which frame each of them is, and what it depends on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from dfd.types import Film
from dfd.videos.container import claimed_frames, open_film, packets_of, rate_of

SKIPPERS = ("h264", "hevc")  # decoders that can skip, packet by packet, what no picture depends on
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers in which decord finds frames


@dataclass(frozen=True)
class Index:
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


def read_index(film: Film) -> Index:
    """One pass over the packets, which decodes nothing."""
    with open_film(film) as stream:
        claimed, container, fps = claimed_frames(stream), stream.container.format.name, rate_of(stream)
        packets = [(p.pts, p.is_keyframe, p.is_discard) for p in packets_of(stream)]
        alone = len(stream.container.streams.video) == 1
        delayed = stream.codec_context.has_b_frames
    shown = sum(not hidden for *_, hidden in packets)
    times = [time for time, *_ in packets if time is not None]
    order = sorted(times)
    # A container without presentation times (AVI) repeats the decoding order, which B-frames belie.
    if (delayed and times == order) or len(set(times)) < len(packets):
        return Index(fps=fps, shown=shown, promised=max(claimed, shown))
    keys = [i for i, (_, key, _) in enumerate(packets) if key]
    # Closed groups of pictures: no frame is shown before the key frame that it follows.
    plain = alone and container in EXACT and all(times[i] == order[i] for i in keys)
    hidden = {time for time, _, discarded in packets if discarded}
    positions: dict[int | None, int] = {t: i for i, t in enumerate(t for t in order if t not in hidden)}
    places: dict[int | None, int] = {time: i for i, time in enumerate(times)}
    by_place = np.array([positions.get(time, -1) for time in times], np.int64)
    latest = np.maximum.accumulate(by_place)[[places[time] for time in positions]].tolist()
    rising = tuple(sorted(times[i] for i in keys))
    return Index(positions, places, rising, plain, fps, shown, max(claimed, shown), tuple(latest))


def needed(stream: VideoStream, index: Index, asked: set[int] | None = None) -> Iterator[Packet | None]:
    """The packets that the frames `asked` for (None: all) depend on, each from its key frame on.

    None stands where packets are left out, and at the end: there the decoder gives what it holds back.
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
