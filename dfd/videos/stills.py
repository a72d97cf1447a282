"""Read an image file as the only frame of a video."""

from pathlib import Path

import cv2
import numpy as np

from dfd.errors import VideoReadError
from dfd.types import Rgb
from dfd.videos.files import HEAD, begins_as_video
from dfd.videos.pictures import Picture, reduced_size

JPEG, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
"""JPEG markers: start of the file, start of the pixels, and end."""


class Still(Picture):
    """An image from a file of its own. `still[rows, columns]` and `reduced` give (h,w,3) uint8 RGB."""

    def __init__(self, rgb: Rgb) -> None:
        self.rgb, self.shape = rgb, rgb.shape

    def __getitem__(self, area: tuple[slice, slice]) -> Rgb:
        return self.rgb[area]

    def reduced(self, long_side: int | None) -> Rgb:
        """The whole image, its longer side at most `long_side` pixels (None: any). Never enlarged."""
        height, width = self.shape[:2]
        size = reduced_size(width, height, long_side)
        if size == (width, height):
            return self.rgb
        return np.asarray(cv2.resize(self.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def read_still(path: Path) -> tuple[Still, bytes]:
    """Read an image (JPEG, PNG, WebP, BMP or TIFF), upright by its EXIF data, without alpha. Also returns its bytes.

    Raises VideoReadError when the file does not exist, or the image is not complete.
    """
    try:
        code = path.read_bytes()
    except OSError as error:
        raise VideoReadError(path, error.strerror or str(error)) from None
    if code.startswith(JPEG) and code.rfind(END) < code.rfind(SCAN):  # OpenCV may fill missing parts with grey
        raise VideoReadError(path, "a JPEG that is cut short")
    image = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR) if code else None
    if image is None:
        raise VideoReadError(path, _unread(code))
    return Still(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)), code


def _unread(code: bytes) -> str:
    """Explain why the bytes of a file are not read as an image."""
    if begins_as_video(code[:HEAD]):
        return "a video named like a picture: rename it"
    return "no picture that can be read: JPEG, PNG, WebP, BMP and TIFF can" if code else "an empty file"
