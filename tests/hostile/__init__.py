"""Make files that break video pipelines, each in its own way."""

import os
import random
import socket
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import skimage.data

from dfd.videos.encode import write_video
from tests.conftest import moving_face

Statuses = tuple[str, ...]
Expected = dict[str, Statuses]
"""Name of each video to the statuses that it may end with."""
SCORED: Statuses = ("ok",)
FACELESS: Statuses = ("no_face",)
REFUSED: Statuses = ("unreadable",)
DAMAGED: Statuses = ("ok", "no_face", "unreadable")
"""The status depends on where the damage is."""
FLIPPED = 200
MEMORY = 1.0
"""Memory limit per video in gigabytes: enough for 8K, too little for a quarter of a gigapixel."""


def write_hostile(folder: Path) -> Expected:
    """Fill `folder` with always the same files; return the allowed statuses of each under the memory limit MEMORY."""
    folder.mkdir(parents=True)
    expected: Expected = {}
    for make in (_broken, _odd_pictures, _other_codecs, _times, _faces, _not_files, _names, _flipped):
        expected |= make(folder)
    return expected


def encode(path: Path, images: np.ndarray, codec: str = "libx264", **options: str) -> None:
    """Encode pictures (T,H,W,3). options: fps, pixels (pixel format), times (milliseconds) and codec options."""
    pixels, times, fps = options.pop("pixels", "yuv420p"), options.pop("times", ""), int(options.pop("fps", "15"))
    with av.open(path, "w", format=options.pop("format", None)) as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], pixels
        stream.codec_context.thread_count = 1
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        marks = [int(mark) for mark in times.split(",")] if times else list(range(len(images)))
        for picture, mark in zip(images, marks, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = mark
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _face(frames: int = 12, shift: float = 1.0) -> np.ndarray:
    return np.stack([cv2.resize(i, (160, 120), interpolation=cv2.INTER_AREA) for i in moving_face(frames, shift)])


def _broken(folder: Path) -> Expected:
    """Files that are not videos, and parts of a video."""
    rng = np.random.default_rng(0)
    write_video(folder / "whole.mp4", _face(), 15, keyframe_every=6)
    whole = (folder / "whole.mp4").read_bytes()
    moov, mdat = whole.index(b"moov") - 4, whole.index(b"mdat") - 4
    files = {
        "empty.mp4": b"",
        "random.mp4": rng.bytes(20_000),
        "text.mp4": b"This is not a video.\n" * 50,
        "header only.mp4": whole[:32],
        "cut in the index.mp4": whole[: (moov + mdat) // 2],
        "cut at the data.mp4": whole[: mdat + 8],
        "cut in the middle.mp4": whole[: (mdat + len(whole)) // 2],
        "cut at the end.mp4": whole[:-100],
        "no index.mp4": whole[:moov] + whole[mdat:],
        "index of zeros.mp4": whole[: moov + 8] + bytes(mdat - moov - 8) + whole[mdat:],
        "data of zeros.mp4": whole[: mdat + 8] + bytes(len(whole) - mdat - 8),
        "claims 100000.mp4": _claim(whole, 100_000),
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n",
        "concat.mp4": b"ffconcat version 1.0\nfile whole.mp4\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for name, head in (("sparse.mp4", b""), ("sparse tail.mp4", whole)):
        with (folder / name).open("wb") as file:
            file.write(head)
            file.truncate(1 << 30)
    _audio(folder / "audio.mp4")
    _gigapixels(folder / "gigapixels.mov")
    expected: Expected = dict.fromkeys([*files, "sparse.mp4", "audio.mp4"], REFUSED)
    for name in ("cut in the middle.mp4", "cut at the end.mp4", "sparse tail.mp4"):
        expected[name] = DAMAGED
    return expected | {"whole.mp4": SCORED, "claims 100000.mp4": SCORED, "gigapixels.mov": REFUSED}


def _claim(data: bytes, frames: int) -> bytes:
    """Patch the MP4 `data` so that its time table claims `frames` frames."""
    place = data.index(b"stts") + 12
    return data[:place] + struct.pack(">I", frames) + data[place + 4 :]


def _gigapixels(path: Path, side: int = 16_000) -> None:
    """A black RGBA PNG of a quarter gigapixel: a megabyte on disk, more than MEMORY when decoded."""
    lines = bytes(4 * side + 1) * 500
    deflate = zlib.compressobj(1)
    data = b"".join([*(deflate.compress(lines) for _ in range(side // 500)), deflate.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("png", rate=15)
        stream.width = stream.height = side
        stream.pix_fmt = "rgba"
        packet = av.Packet(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 15)
        packet.is_keyframe = True
        container.mux(packet)


def _audio(path: Path) -> None:
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _odd_pictures(folder: Path) -> Expected:
    face = _face()
    wide = np.zeros((2, 4320, 7680, 3), np.uint8)
    wide[:, 1000:3000, 2000:5000] = cv2.resize(_face(1)[0], (3000, 2000))
    encode(folder / "8k.mp4", wide, preset="ultrafast", fps="2")
    encode(folder / "1x1.webm", face[:, :1, :1], "libvpx-vp9", **{"cpu-used": "8"})
    write_video(folder / "16x16.mp4", face[:, :16, :16], 15)
    write_video(folder / "one frame.mp4", face[:1], 15)
    encode(folder / "odd size.mp4", face[:, :119, :157], pixels="yuv444p")
    encode(folder / "10 bit.mp4", face, pixels="yuv420p10le")
    encode(folder / "grey.mp4", face, pixels="gray")
    write_video(folder / "turned.mp4", np.rot90(face, axes=(2, 1)), 15, rotation=90)
    found = ("8k.mp4", "one frame.mp4", "odd size.mp4", "10 bit.mp4", "grey.mp4", "turned.mp4")
    return dict.fromkeys(found, SCORED) | dict.fromkeys(("1x1.webm", "16x16.mp4"), FACELESS)


def _other_codecs(folder: Path) -> Expected:
    encode(folder / "hevc.mp4", _face(), "libx265", **{"x265-params": "log-level=none:pools=none:frame-threads=1"})
    encode(folder / "vp9.webm", _face(), "libvpx-vp9", **{"cpu-used": "8"})
    encode(folder / "webm inside.mp4", _face(), "libvpx-vp9", format="webm", **{"cpu-used": "8"})
    encode(folder / "avi inside.mov", _face(), "mpeg4", format="avi")
    return dict.fromkeys(("hevc.mp4", "vp9.webm", "webm inside.mp4", "avi inside.mov"), SCORED)


def _times(folder: Path) -> Expected:
    write_video(folder / "1 a second.mp4", _face(5), 1)
    write_video(folder / "240 a second.mp4", _face(60, shift=0.1), 240, keyframe_every=30)
    marks = np.cumsum(np.random.default_rng(0).integers(5, 200, 12)).tolist()
    encode(folder / "variable rate.mp4", _face(), times=",".join(map(str, marks)))
    return dict.fromkeys(("1 a second.mp4", "240 a second.mp4", "variable rate.mp4"), SCORED)


def _faces(folder: Path) -> Expected:
    face = _face(10)
    cup = skimage.data.coffee()[100:340, 100:420]
    write_video(folder / "no face.mp4", np.stack([cup] * 8), 15)
    crowd = np.tile(face[:, :, 20:130], (1, 5, 6, 1))
    write_video(folder / "30 faces.mp4", crowd, 15, keyframe_every=5)
    empty = np.full_like(face, 60)
    write_video(folder / "comes and goes.mp4", np.concatenate([face, empty, empty, face]), 15, keyframe_every=10)
    return {"no face.mp4": FACELESS, "30 faces.mp4": SCORED, "comes and goes.mp4": SCORED}


def _not_files(folder: Path) -> Expected:
    """Make folder entries that are not files: opening a FIFO blocks, and reading a device never ends."""
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "nowhere.mp4").symlink_to("not there.mp4")
    (folder / "link.mp4").symlink_to("whole.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    here = Path.cwd()
    os.chdir(folder)  # a socket path is limited to 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.mp4")
    finally:
        os.chdir(here)
    expected: Expected = dict.fromkeys(("loop.mp4", "nowhere.mp4", "pipe.mp4", "folder.mp4", "socket.mp4"), REFUSED)
    if os.geteuid() == 0:  # only root may create one
        os.mknod(folder / "device.mp4", 0o20666, os.makedev(1, 5))  # /dev/zero
        expected["device.mp4"] = REFUSED
    (folder / "no permission.mp4").write_bytes((folder / "whole.mp4").read_bytes())
    (folder / "no permission.mp4").chmod(0)
    return expected | {"link.mp4": SCORED, "no permission.mp4": SCORED if os.geteuid() == 0 else REFUSED}


NAMES = (
    "-i.mp4",
    "a b.mp4",
    'it\'s "quoted".mp4',
    "a, comma.mp4",
    "two\nlines.mp4",
    "видео 視頻 🎥.mp4",
    "$(touch pwned).mp4",
)


NO_UTF8 = b"\xff\xfe \xe9.mp4"
NO_TEXT = "\\udcff\\udcfe \\udce9.mp4"
"""The name of the non-UTF-8 file in a dataset's records. A CSV cannot contain it."""


def _names(folder: Path) -> Expected:
    for name in (*NAMES, os.fsdecode(NO_UTF8)):
        (folder / name).write_bytes((folder / "whole.mp4").read_bytes())
    return dict.fromkeys((*NAMES, NO_TEXT), SCORED)


def _flipped(folder: Path) -> Expected:
    """Write copies of a valid video with a few or many bytes changed, in the index or anywhere."""
    whole = (folder / "whole.mp4").read_bytes()
    (folder / "flipped").mkdir()
    end_of_index = whole.index(b"mdat")
    expected: Expected = {}
    for seed in range(FLIPPED):
        draw, data = random.Random(seed), bytearray(whole)
        for _ in range(draw.choice((1, 4, 16, 64))):
            data[draw.randrange(end_of_index if seed % 2 else len(data))] = draw.randrange(256)
        name = f"flipped/{seed:03}.mp4"
        (folder / name).write_bytes(data)
        expected[name] = DAMAGED
    return expected
