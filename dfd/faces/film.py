"""A film: face crops as consecutive JPEGs in one file. Players open it as motion JPEG.

A video's film has the crops of all its tracklets; a film of images has the crops of some hundreds of them.

Lossy on purpose: crops of DFDC in H.264 took 17 GB instead of 500, and a medal-winning team's models generalised
better from them. JPEGs of the same size lose as little and take a fifth of the time (see QUALITY).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from dfd.errors import StoreError
from dfd.types import Film, Rgb

SUFFIX = ".mjpeg"
QUALITY = 65
"""JPEG quality of a video's crops. For crops of 256 pixels of eight videos: 40.7 dB, 5.8 KB, .30 ms to write and .25 ms
to read. H.264 of key frames at crf 21 and preset veryfast: 39.6 dB, 4.8 KB, 1.2 and .8 ms. JPEG of quality 60: 39.4 dB,
4.9 KB."""
STILL_QUALITY = 92
"""JPEG quality of an image's crop, which has no second frame to compensate for losses. Crops of 256 pixels of 192
photographs: 46.1 dB and 12.7 KB. With quality 90: 45.6 dB and 11.8 KB; with 95: 47.2 dB and 16.5 KB."""
BEGIN, END = b"\xff\xd8", b"\xff\xd9"


def write_crop(to: BinaryIO, crop: Rgb, quality: int = 0) -> int:
    """Append a crop (S,S,3) uint8 RGB to a film. Returns its size in bytes. Raises OSError if the disk is full.

    quality: of the JPEG, in [1,100]; 0 selects QUALITY.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality or QUALITY]
    code = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), options)[1].tobytes()
    to.write(code)
    return len(code)


def is_crop(code: bytes, size: int) -> bool:
    """Whether a file's bytes can be copied into a film: a baseline colour JPEG of `size` by `size` pixels."""
    frame = b"\xff\xc0\x00\x11\x08" + 2 * size.to_bytes(2, "big") + b"\x03"  # 8 bits, height, width, 3 channels
    return code.startswith(BEGIN) and code.endswith(END) and frame in code


def read_crops(film: Film, places: Sequence[tuple[int, int]], size: int) -> Rgb:
    """Read the crops (N,size,size,3) uint8 RGB at `places`: N pairs of first byte and end.

    Raises StoreError naming the film when one of them cannot be read.
    """
    name = film if isinstance(film, Path) else "a film in memory"
    images = np.empty((len(places), size, size, 3), np.uint8)
    try:
        codes = _codes(film, places)
    except OSError as error:
        raise StoreError(f"{name} cannot be read ({error.strerror}): build that video again") from None
    broken = [code for code, image in zip(codes, images, strict=True) if not _decode(code, image)]
    if broken:
        raise StoreError(f"{name}: {len(broken)} of {len(places)} frames cannot be read: build that video again")
    return images


def _codes(film: Film, places: Sequence[tuple[int, int]]) -> list[bytes]:
    if isinstance(film, bytes):
        return [film[start:stop] for start, stop in places]
    codes = []
    with film.open("rb") as file:
        for start, stop in places:
            file.seek(start)
            codes.append(file.read(stop - start))
    return codes


def _decode(code: bytes, into: Rgb) -> bool:
    """Whether a whole JPEG of that size was decoded. A truncated one fails; OpenCV alone would fill it with grey."""
    if not (code.startswith(BEGIN) and code.endswith(END)):
        return False
    image = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape != into.shape:
        return False
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=into)
    return True
