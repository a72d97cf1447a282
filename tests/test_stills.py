"""EXIF's eight orientations in every picture format (dfd/videos/stills.py)."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.stills import read_still
from tests.footage import quarters
from tests.test_display import ORIENTATIONS

STORED = quarters()
TURNS = (
    "as stored", "mirrored", "by 180 degrees", "upside down", "transposed", "clockwise", "transposed the other way",
    "counter-clockwise",
)  # fmt: skip
"""Names in ORIENTATIONS of EXIF's orientations 1 to 8."""


def exif(orientation: int, order: str) -> bytes:
    """A TIFF header with one entry, little-endian ("<") or big-endian (">")."""
    head = b"II" if order == "<" else b"MM"
    return head + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)


def coded(suffix: str, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, cv2.cvtColor(STORED, cv2.COLOR_RGB2BGR), options)[1].tobytes())


def jpeg(orientation: int, order: str) -> bytes:
    code, data = coded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 100), b"Exif\0\0" + exif(orientation, order)
    return code[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + code[2:]


def png(orientation: int, order: str) -> bytes:
    code, data = coded(".png"), exif(orientation, order)
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    return code[:33] + chunk + code[33:]  # after the signature and IHDR


def webp(orientation: int, order: str) -> bytes:
    code, data = coded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101), exif(orientation, order)
    height, width = STORED.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = b"WEBPVP8X" + struct.pack("<IB3x", 10, 8) + size
    body = head + code[12:] + b"EXIF" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(orientation: int, order: str) -> bytes:
    """An uncompressed TIFF: a table of 10 tags, the bits of three samples, the pixels."""
    height, width, _ = STORED.shape
    after = 8 + 2 + 12 * 10 + 4
    tags = {
        256: width, 257: height, 258: after, 259: 1, 262: 2, 273: after + 6, 274: orientation, 277: 3, 278: height,
        279: STORED.nbytes,
    }  # fmt: skip
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries[2] = struct.pack(f"{order}HHII", 258, 3, 3, after)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + b"".join(entries) + bytes(4) + struct.pack(f"{order}HHH", 8, 8, 8) + STORED.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", [jpeg, png, webp, tiff])
def test_a_picture_is_oriented_by_its_exif_data(tmp_path: Path, make: Callable[[int, str], bytes], order: str) -> None:
    for orientation, name in enumerate(TURNS, 1):
        path = tmp_path / f"{orientation}.{make.__name__}"
        path.write_bytes(make(orientation, order))
        still, code = read_still(path)
        wanted = ORIENTATIONS[name][1](STORED)
        assert still.shape == wanted.shape
        middles = (
            slice(wanted.shape[0] // 4, None, wanted.shape[0] // 2),
            slice(wanted.shape[1] // 4, None, wanted.shape[1] // 2),
        )
        assert np.abs(still.rgb[middles].astype(int) - wanted[middles]).max() <= 4
        assert code == path.read_bytes()


def test_a_bitmap_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.BMP"
    path.write_bytes(coded(".bmp"))
    assert Video(path, "a.BMP").still
    np.testing.assert_array_equal(read_still(path)[0].rgb, STORED)


def test_a_video_with_a_picture_suffix_is_called_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_video(path.with_suffix(".mp4"), STORED[None], 25)
    path.with_suffix(".mp4").rename(path)
    with pytest.raises(VideoReadError, match="a video named like a picture: rename it"):
        read_still(path)
