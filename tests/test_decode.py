import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args
from weakref import WeakSet

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dfd.errors import VideoReadError
from dfd.types import Frames, Plan
from dfd.videos import decode, frames, pictures
from dfd.videos.decode import Footage, probe, read_frames, stream_pictures
from dfd.videos.display import Display
from dfd.videos.encode import write_video
from dfd.videos.index import needed
from dfd.videos.segments import cut_segments
from tests.conftest import moving_face

BITS = 8


def numbered(count: int) -> np.ndarray:
    """Pictures (T,32,128,3): picture i shows i in binary, 16 pixels per bit, above a drifting row of blocks."""
    images = np.full((count, 32, 16 * BITS, 3), 16, np.uint8)
    for i in range(count):
        for bit in range(BITS):
            if i >> bit & 1:
                images[i, :16, 16 * bit : 16 * bit + 16] = 235
        images[i, 16:, i % 100 : i % 100 + 16, 0] = 200
    return images


def numbers(images: np.ndarray) -> list[int]:
    """Read back the numbers in pictures of numbered(), at any size."""
    blocks = images[:, : images.shape[1] // 2].mean((1, 3)).reshape(len(images), BITS, -1).mean(2)
    return ((blocks > 128) @ (1 << np.arange(BITS))).tolist()


def encode(
    path: Path, images: np.ndarray, codec: str, times: Sequence[int] | None = None, shift: int = 0, **options: str
) -> Path:
    """Encode with any codec. times: milliseconds (default 25 fps). shift: frames hidden by an edit list."""
    pixels = options.pop("pixels", "yuv420p")
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], pixels
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        packets: list[Any] = []
        for i, picture in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = i if times is None else times[i]
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode()]:
            packet.pts -= round(shift / 25 / packet.time_base)
            packet.dts -= round(shift / 25 / packet.time_base)
            container.mux(packet)
    return path


VARIABLE = np.cumsum(np.random.default_rng(0).integers(20, 120, 40)).tolist()
FILES: dict[str, dict[str, Any]] = {
    "key_frames.mp4": {"codec": "libx264", "g": "1"},
    "closed.mp4": {"codec": "libx264", "g": "12"},
    "closed.mkv": {"codec": "libx264", "g": "12"},
    "open.mp4": {"codec": "libx264", "x264-params": "keyint=12:min-keyint=1:open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    "fragments.mp4": {"codec": "libx264", "g": "12", "movflags": "frag_keyframe+empty_moov"},
    "variable.mp4": {"codec": "libx264", "g": "12", "times": VARIABLE},
    "variable.mkv": {"codec": "libx264", "g": "12", "times": VARIABLE},
    "transport.ts": {"codec": "libx264", "g": "12"},
    "flash.flv": {"codec": "libx264", "g": "12"},
    "h264.avi": {"codec": "libx264", "g": "12"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12", "bf": "2", "b": "2000000"},
    "mpeg2.mpg": {"codec": "mpeg2video", "g": "12", "bf": "2", "b": "4000000"},
    "hevc.mp4": {"codec": "libx265", "x265-params": "keyint=12:open-gop=1:log-level=none"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "lag-in-frames": "16", "cpu-used": "8"},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
}


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes a file of FILES, 40 numbered pictures, once."""
    folder = tmp_path_factory.mktemp("files")

    def write(name: str) -> Path:
        path = folder / name
        return path if path.exists() else encode(path, numbered(40), **FILES[name])

    return write


def in_groups(length: int) -> Plan:
    """A plan: all frames, in groups of `length`."""
    return lambda frames, _: [np.arange(i, min(frames, i + length)) for i in range(0, frames, length)]


def everything(path: Path, length: int = 7) -> Frames:
    """Join everything stream_pictures yields for all frames. Raises VideoReadError, also if it yields none."""
    groups = list(stream_pictures(path, in_groups(length)))
    indices = np.concatenate([group.indices for group in groups])
    if not len(indices):
        raise VideoReadError(path, "none of its frames is sound")
    images = np.concatenate([group.rgb() for group in groups if len(group)])
    return Frames(images, indices, groups[0].fps, sum(group.missing for group in groups))


@pytest.mark.parametrize("name", FILES)
def test_frame_i_is_the_ith_shown_by_any_plan(make: Callable[[str], Path], name: str) -> None:
    path = make(name)
    every = everything(path)
    assert numbers(every.images) == every.indices.tolist() == list(range(40))
    assert every.missing == 0
    draw = random.Random(0)
    for wanted in [[0], [39], [11, 12, 13], *(draw.sample(range(40), draw.randint(1, 6)) for _ in range(10))]:
        frames = read_frames(path, wanted)
        assert frames.indices.tolist() == sorted(wanted)
        np.testing.assert_array_equal(frames.images, every.images[frames.indices])


@settings(max_examples=25, deadline=None)
@given(wanted=st.lists(st.integers(0, 60), min_size=1, max_size=8), name=st.sampled_from(["closed.mp4", "open.mp4"]))
def test_existing_positions_are_read_and_missing_ones_counted(
    make: Callable[[str], Path], wanted: list[int], name: str
) -> None:
    there = sorted({i for i in wanted if i < 40})
    if not there:
        with pytest.raises(VideoReadError, match=r"none of the \d+ frames asked for can be read, of 40"):
            read_frames(make(name), wanted)
        return
    frames = read_frames(make(name), wanted)
    assert frames.indices.tolist() == numbers(frames.images) == there
    assert frames.missing == len(set(wanted)) - len(there)


@pytest.mark.parametrize("name", ["key_frames.mp4", "closed.mp4", "closed.mkv", "variable.mp4", "vp9.webm"])
def test_decord_gives_the_same_pictures(make: Callable[[str], Path], name: str) -> None:
    ours, theirs = (read_frames(make(name), [3, 14, 38, 50], decoder=d) for d in get_args(decode.Decoder))
    np.testing.assert_array_equal(ours.images, theirs.images)
    assert theirs.indices.tolist() == [3, 14, 38]
    assert (ours.missing, ours.fps) == (theirs.missing, theirs.fps)


@pytest.mark.parametrize("name", ["open.mp4", "hevc.mp4", "h264.avi", "transport.ts", "mpeg2.mpg"])
def test_decord_is_refused_when_its_frames_differ(make: Callable[[str], Path], name: str) -> None:
    with pytest.raises(VideoReadError, match="read it with pyav"):
        read_frames(make(name), [14], decoder="decord")


def test_no_packet_is_decoded_needlessly(make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def counted(*arguments: Any) -> Any:
        for packet in needed(*arguments):
            sent.append(packet)
            yield packet

    monkeypatch.setattr("dfd.videos.frames.needed", counted)
    read_frames(make("key_frames.mp4"), [5, 30])
    assert sum(packet is not None for packet in sent) == 2
    sent.clear()
    read_frames(make("closed.mp4"), [24, 25])  # the third group of 12 begins at 24
    assert 2 <= sum(packet is not None for packet in sent) <= 6  # 25 depends on later frames


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_are_upright(tmp_path: Path, rotation: int) -> None:
    stored = np.repeat(np.repeat(numbered(4), 2, 1), 2, 2)
    write_video(tmp_path / "stored.mp4", stored, 25)
    write_video(tmp_path / "a.mp4", stored, 25, rotation=rotation)
    upright = np.rot90(read_frames(tmp_path / "stored.mp4", range(4)).images, rotation // 90, axes=(1, 2))
    info = probe(tmp_path / "a.mp4")
    assert (info.height, info.width, 90 * info.display.turns) == (*upright.shape[1:3], rotation)
    np.testing.assert_array_equal(everything(tmp_path / "a.mp4").images, upright)
    for decoder in get_args(decode.Decoder):
        np.testing.assert_array_equal(read_frames(tmp_path / "a.mp4", range(4), decoder=decoder).images, upright)
        small = read_frames(tmp_path / "a.mp4", [3], decoder=decoder, long_side=128).images
        assert small.shape == ((1, 32, 128, 3) if rotation % 180 == 0 else (1, 128, 32, 3))
        assert np.abs(small[0].astype(int) - upright[3, ::2, ::2]).mean() < 4


@pytest.mark.parametrize(("long_side", "size"), [(None, (32, 128)), (128, (32, 128)), (999, (32, 128)), (50, (12, 50))])
def test_the_longer_side_is_reduced_and_never_enlarged(
    make: Callable[[str], Path], long_side: int | None, size: tuple[int, int]
) -> None:
    path = make("closed.mp4")
    images = read_frames(path, range(16), long_side=long_side).images
    assert images.shape[1:3] == size
    (pictures,) = stream_pictures(path, lambda *_: [np.arange(16)])
    np.testing.assert_array_equal(pictures.rgb(long_side), images)
    if long_side == 50:  # 50 is no multiple of 8 blocks: read where a block's middle lies
        middles = images[:, 2, [3, 9, 15, 21, 28, 34, 40, 46]].mean(2) > 128
        assert (middles @ (1 << np.arange(BITS))).tolist() == list(range(16))


@pytest.mark.parametrize(("length", "lengths"), [(1, [1] * 40), (15, [15, 15, 10]), (20, [20, 20]), (10**9, [40])])
def test_groups_are_yielded_in_order(make: Callable[[str], Path], length: int, lengths: list[int]) -> None:
    groups = list(stream_pictures(make("closed.mp4"), in_groups(length)))
    assert [len(group) for group in groups] == lengths
    assert [n for group in groups for n in numbers(group.rgb())] == list(range(40))  # later groups overwrite none
    assert {(group.shown, group.fps, group.missing) for group in groups} == {(40, 25.0, 0)}


def test_probe_returns_what_the_container_claims(make: Callable[[str], Path], tmp_path: Path) -> None:
    info = probe(make("closed.mp4"))
    assert (info.width, info.height, info.frames, info.fps, info.display) == (128, 32, 40, 25.0, Display())
    assert probe(make("closed.mkv")).frames == 0
    times = [0, 100, 500]
    assert probe(encode(tmp_path / "a.mp4", numbered(3), "libx264", times)).fps == pytest.approx(3 / 0.6, rel=0.4)


@pytest.mark.parametrize(
    ("pixels", "tolerance"), [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 8), ("yuvj420p", 8), ("gray", 0)]
)
def test_pixel_formats_keep_their_colours(tmp_path: Path, pixels: str, tolerance: int) -> None:
    red = np.full((3, 32, 64, 3), (200, 40, 60), np.uint8)
    path = encode(tmp_path / "a.mp4", red, "libx264", pixels=pixels, crf="5")
    got = read_frames(path, [1]).images[0].astype(int)
    if pixels == "gray":  # 0.299 * 200 + 0.587 * 40 + 0.114 * 60 = 90.1, or (90.1 - 16) * 255 / 219 = 86.3
        assert np.unique(got).tolist() in ([86], [90])
    else:
        assert np.abs(got - red[0]).max() <= tolerance


def test_edit_list_hides_frames_from_count_and_position(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(40), "libx264", shift=15, g="10", bf="0")
    every = everything(path)
    assert probe(path).frames == len(every) == 25
    assert every.missing == 0
    assert numbers(every.images) == list(range(15, 40))
    assert numbers(read_frames(path, [0, 7, 24]).images) == [15, 22, 39]


def packets_of(path: Path) -> list[tuple[int, int]]:
    """(byte position, size) of a file's packets."""
    with av.open(path) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]


def test_file_cut_short_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(40), 25)
    position, size = packets_of(path)[23]
    path.write_bytes(path.read_bytes()[: position + size // 2])
    every = everything(path)
    assert numbers(every.images) == every.indices.tolist() == list(range(23))
    assert read_frames(path, range(40)).missing == 17
    assert probe(path).frames == 40
    some = read_frames(path, [3, 22, 23, 39])
    assert (numbers(some.images), some.missing) == ([3, 22], 2)
    with pytest.raises(VideoReadError, match="of 40"):
        read_frames(path, [23])
    with pytest.raises(VideoReadError, match="decord"):
        read_frames(path, [3], decoder="decord")


@pytest.mark.parametrize(
    ("frames", "last", "lost"), [(26, 23, 0), (27, 23, 3), (100, 90, 0), (100, 88, 11), (400, 378, 0), (400, 373, 26)]
)
def test_a_tenth_or_a_second_missing_from_the_file_is_a_caveat(
    tmp_path: Path, frames: int, last: int, lost: int
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(frames), 25)
    assert Footage(path).caveats == ()
    position, size = packets_of(path)[last]
    path.write_bytes(path.read_bytes()[: position + size // 2])
    said = (f"cut short: {lost} of {frames} frames are not in the file",) if lost else ()
    assert Footage(path).caveats == said


def test_a_broken_packet_loses_its_frame_and_shifts_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(40), 25)
    written = bytearray(path.read_bytes())
    position, size = packets_of(path)[10]
    written[position : position + size] = bytes(size)
    path.write_bytes(written)
    every = everything(path)
    assert numbers(every.images) == every.indices.tolist() == [*range(10), *range(11, 40)]
    assert every.missing == 1
    some = read_frames(path, [9, 10, 11])
    assert (numbers(some.images), some.missing) == ([9, 11], 1)
    with pytest.raises(VideoReadError, match="none of the 1 frames"):
        read_frames(path, [10])


def test_a_broken_key_frame_loses_nothing_before_it_and_no_later_group(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(60), 25, keyframe_every=20)
    written = bytearray(path.read_bytes())
    position, size = packets_of(path)[20]
    written[position : position + size] = bytes(size)
    path.write_bytes(written)
    every = everything(path, 20)
    assert {*range(18), *range(40, 60)} <= set(every.indices.tolist())
    assert every.missing == 60 - len(every) > 0
    whole = [i for i, n in enumerate(every.indices) if n < 18 or n >= 40]
    assert numbers(every.images[whole]) == every.indices[whole].tolist()


def test_an_overstated_frame_count_is_handled(make: Callable[[str], Path], tmp_path: Path) -> None:
    written = bytearray(make("motion.avi").read_bytes())
    length = written.index(b"strh") + 8 + 32
    assert struct.unpack_from("<I", written, length) == (40,)
    struct.pack_into("<I", written, length, 431)
    path = tmp_path / "a.avi"
    path.write_bytes(written)
    assert probe(path).frames == 431
    every = everything(path)
    assert numbers(every.images) == list(range(40))
    assert read_frames(path, range(431)).missing == 391
    with pytest.raises(VideoReadError, match="of 431"):
        read_frames(path, [40])
    with pytest.raises(VideoReadError, match="none of"):
        read_frames(path, [300], decoder="decord")


def test_frames_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.ts", numbered(10), "libx264", g="5")
    large = encode(
        tmp_path / "large.ts", np.repeat(np.repeat(numbered(20)[10:], 2, 1), 2, 2), "libx264", shift=-10, g="5"
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    every = everything(path)
    assert every.images.shape[1:] == (32, 128, 3)
    assert numbers(every.images) == every.indices.tolist() == list(range(20))


def test_a_new_stream_midway_ends_reading(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flv", numbered(600), "libx264", g="12")
    sound = bytes([8, 0, 0, 3, 0, 93, 192, 0, 0, 0, 0, 0x2F, 0, 0]) + struct.pack(">I", 14)  # a timestamp at 24 s
    path.write_bytes(path.read_bytes() + sound)
    every = everything(path, 100)
    assert every.indices.tolist() == list(range(600))
    assert numbers(every.images) == [i % 256 for i in range(600)]


def segments(frames: int, fps: float) -> list[NDArray[np.int64]]:
    """A plan: all frames, one group per segment."""
    return [np.arange(segment.start, segment.stop) for segment in cut_segments(frames, fps, 0.5)]


def some_of(draw: random.Random) -> Plan:
    """A plan: for some segments, the first frame, the last and some in between."""

    def plan(frames: int, fps: float) -> list[NDArray[np.int64]]:
        whole = segments(frames, fps)
        chosen = sorted(draw.sample(range(len(whole)), draw.randint(1, len(whole))))
        return [np.unique([*whole[i][[0, -1]], *draw.choices(whole[i], k=draw.randint(0, 6))]) for i in chosen]

    return plan


def by_position(path: Path, plan: Plan) -> dict[int, np.ndarray]:
    """Read a plan's pictures, by position."""
    return {
        index: picture.reduced(None)
        for group in stream_pictures(path, plan)
        for index, picture in zip(group.indices.tolist(), group, strict=True)
    }


def assert_alike(path: Path, draw: random.Random) -> int:
    """Assert that reading some segments gives the frames (and gaps) of reading all; return the number of gaps."""
    asked: list[int] = []

    def plan(frames: int, fps: float) -> Sequence[NDArray[np.int64]]:
        groups = some_of(draw)(frames, fps)
        asked.extend(np.concatenate(groups).tolist())
        return groups

    every, some = by_position(path, segments), by_position(path, plan)
    assert sorted(some) == sorted(set(every) & set(asked))
    for index, picture in some.items():
        np.testing.assert_array_equal(picture, every[index])
    return len(asked) - len(some)


GRAIN = np.random.default_rng(0).integers(0, 90, (120, 120, 80, 1), np.uint8)
FACE = np.stack([cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA) for image in moving_face(120, 0.7)])
FACE[:, :, ::2] = np.maximum(FACE[:, :, ::2], GRAIN)
SAME = "threads=1:mbtree=0:scenecut=0:b-adapt=0:b-pyramid=normal"  # equal bytes every time
KINDS: dict[str, dict[str, Any]] = {
    "many B-frames": {"codec": "libx264", "x264-params": f"{SAME}:keyint=250:bframes=5"},
    "open groups": {"codec": "libx264", "x264-params": f"{SAME}:keyint=24:min-keyint=1:open-gop=1:bframes=3"},
    "no B-frames": {"codec": "libx264", "x264-params": f"{SAME}:keyint=80:bframes=0"},
    "slices": {"codec": "libx264", "x264-params": f"{SAME}:keyint=48:slices=4:bframes=3"},
    "variable": {
        "codec": "libx264",
        "x264-params": f"{SAME}:keyint=30:bframes=3",
        "times": np.cumsum(np.arange(120) * 37 % 90 + 10).tolist(),
    },
    "edit list": {"codec": "libx264", "x264-params": f"{SAME}:keyint=30:bframes=2", "shift": 15},
    "hevc": {"codec": "libx265", "x265-params": "keyint=30:open-gop=1:bframes=4:log-level=none:pools=none"},
}


@pytest.fixture(scope="session")
def make_face(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes a file of KINDS, 120 pictures of a face, once."""
    folder = tmp_path_factory.mktemp("faces")

    def write(kind: str) -> Path:
        path = folder / f"{kind}.mp4"
        return path if path.exists() else encode(path, FACE, **KINDS[kind])

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_the_same_in_every_plan(make_face: Callable[[str], Path], kind: str) -> None:
    path = make_face(kind)
    assert sum(assert_alike(path, random.Random(seed)) for seed in range(4)) == 0
    exact = read_frames(path, range(120)).images
    assert sorted(by_position(path, segments)) == list(range(len(exact)))
    for index, picture in by_position(path, segments).items():
        np.testing.assert_array_equal(picture, exact[index])


@pytest.mark.parametrize("name", FILES)
def test_a_frame_is_the_same_in_every_container(make: Callable[[str], Path], name: str) -> None:
    assert sum(assert_alike(make(name), random.Random(seed)) for seed in range(3)) == 0


def damaged(path: Path, how: str, seed: int) -> bytes:
    """Damage 20 packets of a file, none of them the first."""
    rng, written, packets = np.random.default_rng(seed), bytearray(path.read_bytes()), packets_of(path)
    for number in rng.choice(np.arange(1, len(packets)), 20, replace=False):
        position, size = packets[number]
        if how == "bits flipped":
            for place in rng.integers(4, max(5, size), max(1, size // 100)):
                written[position + int(place) % size] ^= 1 << int(rng.integers(8))
        elif how == "zeros":
            written[position : position + size] = bytes(size)
        elif how == "another tail":
            written[position + size // 2 : position + size] = rng.bytes(size - size // 2)
        elif how == "another head":
            written[position : position + min(24, size)] = rng.bytes(min(24, size))
    return bytes(written)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["bits flipped", "zeros", "another tail", "another head"])
@pytest.mark.parametrize("kind", ["many B-frames", "open groups", "no B-frames", "slices"])
def test_a_frame_is_the_same_in_every_plan_of_a_damaged_file(
    make_face: Callable[[str], Path], tmp_path: Path, kind: str, how: str
) -> None:
    lost = []
    for seed in range(4):
        path = tmp_path / f"{seed}.mp4"
        path.write_bytes(damaged(make_face(kind), how, seed))
        lost.append(assert_alike(path, random.Random(seed)))
    assert any(lost)


def test_damage_makes_no_difference_where_frames_are_counted(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.avi", FACE, **FILES["h264.avi"])
    lost = []
    for seed, how in enumerate(["bits flipped", "zeros", "zeros", "another tail", "another head"]):
        path = tmp_path / f"{seed}.avi"
        path.write_bytes(damaged(whole, how, seed))
        lost.append(assert_alike(path, random.Random(seed)))
    assert any(lost)


def break_packets(path: Path, numbers: Sequence[int], to: Path) -> None:
    """Write a copy of the file with these packets zeroed."""
    written, packets = bytearray(path.read_bytes()), packets_of(path)
    for number in numbers:
        position, size = packets[number]
        written[position : position + size] = bytes(size)
    to.write_bytes(written)


def decoding_order(path: Path) -> list[int]:
    """Frame positions in packet order."""
    with av.open(path) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    return [sorted(times).index(time) for time in times]


def test_a_segments_last_frame_may_depend_on_a_later_one(make_face: Callable[[str], Path], tmp_path: Path) -> None:
    whole, path = make_face("many B-frames"), tmp_path / "a.mp4"
    order = decoding_order(whole)
    lasts = [int(group[-1]) for group in segments(120, 25)]
    last = next(position for position in lasts if order.index(position + 1) < order.index(position))
    later = max(order[: order.index(last)])
    assert later > last
    position, size = packets_of(whole)[order.index(later)]
    reported = 0
    for seed in range(6):
        written = bytearray(whole.read_bytes())
        written[position + size // 3 : position + size] = np.random.default_rng(seed).bytes(size - size // 3)
        path.write_bytes(written)  # it starts intact: damage is reported when shown, if at all
        found = by_position(path, segments)
        if later not in found:
            assert last not in found
            reported += 1
        assert_alike(path, random.Random(seed))
    assert reported >= 2


def test_damage_loses_no_later_gop_in_its_segment(tmp_path: Path) -> None:
    options: dict[str, Any] = {"x264-params": f"{SAME}:keyint=10:bframes=3"}
    whole, path = encode(tmp_path / "whole.mp4", FACE[:40], "libx264", **options), tmp_path / "a.mp4"
    break_packets(whole, [decoding_order(whole).index(4)], path)  # on which the first group depends
    exact = by_position(whole, in_groups(40))
    found = by_position(path, in_groups(40))
    assert {0, *range(10, 40)} <= set(found)
    for index in range(10, 40):
        np.testing.assert_array_equal(found[index], exact[index])


def test_damage_after_a_segment_does_not_affect_it(make_face: Callable[[str], Path], tmp_path: Path) -> None:
    whole, path = make_face("open groups"), tmp_path / "a.mp4"
    break_packets(whole, range(60, 120), path)
    exact, found = by_position(whole, segments), by_position(path, segments)
    assert set(range(53)) <= set(found)  # segments of 13 or 14 frames, the last of which depend on later ones
    for index in range(53):
        np.testing.assert_array_equal(found[index], exact[index])


def size_of(path: Path) -> int:
    """Size of a decoded frame in bytes."""
    with av.open(path) as container:
        return sum(plane.buffer_size for plane in next(container.decode(video=0)).planes)


@pytest.mark.parametrize("kind", ["many B-frames", "open groups"])
def test_huge_frames_are_reduced_alike_in_every_plan(
    make_face: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = make_face(kind)
    monkeypatch.setattr(pictures, "HELD", 4 * size_of(path))  # of segments of 13 frames or 14: their sides by 2
    assert sum(assert_alike(path, random.Random(seed)) for seed in range(4)) == 0
    assert {picture.shape for picture in by_position(path, segments).values()} == {(60, 80, 3)}
    (tmp_path / "a.mp4").write_bytes(damaged(path, "zeros", 1))
    assert assert_alike(tmp_path / "a.mp4", random.Random(1)) > 0


def test_segments_of_unequal_length_are_each_reduced_by_their_own_factor(
    make_face: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_face("no B-frames")
    lengths = [len(group) for group in segments(120, 25)]
    assert set(lengths) == {13, 14}
    monkeypatch.setattr(pictures, "HELD", 13 * size_of(path))  # 14 are too many
    sides = [group.pictures[0].shape[1] for group in stream_pictures(path, segments)]
    assert sides == [160 if length == 13 else 80 for length in lengths]
    assert sum(assert_alike(path, random.Random(seed)) for seed in range(4)) == 0


MEASURED = """
import sys
import numpy as np
from dfd.videos import pictures
from dfd.videos.decode import stream_pictures
pictures.HELD = 20_000_000
(found,) = stream_pictures(sys.argv[1], lambda frames, fps: [np.arange(frames)])
assert len(found) == 120
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process took is told in /proc")
def test_huge_frames_are_never_held_all_at_once(tmp_path: Path) -> None:
    grey = np.full((720, 1280, 3), 90, np.uint8)
    write_video(tmp_path / "a.mp4", (grey for _ in range(120)), 25, keyframe_every=120)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "a.mp4")]
    kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 130_000  # 46 MB before; all frames take 166, their reductions 18


def repeated(path: Path, times: int, to: Path) -> Path:
    """Repeat a video `times` times by copying its packets."""
    with av.open(path) as source, av.open(to, "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        packets: list[Any] = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        span = sum(packet.duration for packet in packets)
        for packet in packets:
            packet.stream = stream
        begins = [(packet.pts, packet.dts) for packet in packets]
        for time in range(times):
            for packet, (pts, dts) in zip(packets, begins, strict=True):
                packet.pts, packet.dts = pts + time * span, dts + time * span
                container.mux_one(packet)
    return to


def test_of_an_hour_only_wanted_frames_are_decoded_and_one_group_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.mp4", numbered(250), 5, keyframe_every=50)
    path = repeated(tmp_path / "a.mp4", 72, tmp_path / "hour.mp4")
    decoded: list[Any] = []

    def counted(*asked: Any) -> Iterator[Any]:
        for packet in needed(*asked):
            decoded.append(packet)
            yield packet

    monkeypatch.setattr(frames, "needed", counted)
    held = WeakSet[pictures.Picture]()

    class Held(pictures.Picture):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            held.add(self)

    monkeypatch.setattr(decode, "Picture", Held)
    groups = [np.arange(start, start + 7) for start in (1000, 4995, 9030, 17_990)]
    for asked, group in zip(groups, stream_pictures(path, lambda *_: groups), strict=True):
        assert (group.shown, group.missing) == (18_000, 0)
        assert numbers(group.rgb()) == (asked % 250).tolist()
        assert len(held) <= 2 * 7  # this group, and frames already decoded for the next
        del group
    assert len([packet for packet in decoded if packet]) <= 50 + 100 + 50 + 50  # from the key frame before each


def hostile(folder: Path, kind: str) -> Path:
    """Make a path that is not a video."""
    path = folder / f"{kind}.mp4"
    real = folder / "real.mp4"
    write_video(real, numbered(3), 25)
    contents: dict[str, bytes] = {
        "empty": b"",
        "text": b"This is not a video.\n" * 50,
        "noise": random.Random(0).randbytes(5000),
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{real}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{real.name}'\n".encode(),
        "codec": real.read_bytes().replace(b"avc1", b"zzz9"),
        "index only": real.read_bytes()[: real.read_bytes().index(b"mdat") + 4],
        "no index": real.read_bytes().replace(b"moov", b"none"),
    }
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "sound":
        with av.open(path, "w") as container:
            stream = container.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 44100
            container.mux([*stream.encode(sound), *stream.encode()])
    elif kind in contents:
        path.write_bytes(contents[kind])
    return path.rename(path.with_suffix(".m3u8")) if kind == "playlist" else path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("loop", "no such file"),
        ("folder", "a folder, not a video file"),
        ("fifo", "not a regular file"),
        ("empty", "the file is empty"),
        ("text", "invalid data"),
        ("noise", "invalid data"),
        ("playlist", "none of the kinds"),
        ("concat", "none of the kinds"),
        ("sound", "no video stream"),
        ("codec", "its codec is unknown"),
        ("index only", "no picture decodes|none of the"),
        ("no index", "invalid data"),
        ("a\0b", "no such file"),
        ("x" * 300, "file name too long"),
    ],
)
def test_files_that_are_not_videos_give_a_clear_error(tmp_path: Path, kind: str, reason: str) -> None:
    path = hostile(tmp_path, kind)
    readers: list[Callable[[], Any]] = [
        lambda: probe(path),
        lambda: read_frames(path, [0]),
        lambda: read_frames(path, [0], decoder="decord"),
        lambda: next(stream_pictures(path, in_groups(4))),
    ]
    for read in readers:
        with pytest.raises(VideoReadError, match=reason) as caught:
            read()
        assert caught.value.path == path
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["concat:a|b.mp4", "%03d.mp4", "видео 1.mp4", "a,b'\".mp4", os.fsdecode(b"\xff.mp4")])
def test_file_names_have_no_special_meaning(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "a.mp4", numbered(3), 25)
    path = (tmp_path / "a.mp4").rename(tmp_path / name)
    assert numbers(read_frames(path, [1]).images) == [1]


def test_damaged_bytes_raise_only_read_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(12), 25, keyframe_every=6)
    written = path.read_bytes()
    draw = random.Random(1)
    read = 0
    for _ in range(150):
        damaged = bytearray(written)
        for _ in range(draw.randint(1, 20)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged[: draw.choice([len(damaged), draw.randrange(1, len(damaged))])])
        try:
            frames = everything(path)
        except VideoReadError:
            continue
        read += 1
        assert len(frames) + frames.missing >= 1
        assert 0.1 <= frames.fps <= 1000
    assert 20 < read < 150


@pytest.mark.parametrize("indices", [[], [-1], [3, -2]])
def test_impossible_positions_are_a_caller_error(make: Callable[[str], Path], indices: list[int]) -> None:
    with pytest.raises(ValueError, match="not one or more positions of at least 0"):
        read_frames(make("closed.mp4"), indices)
