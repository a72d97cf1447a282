"""Images inside a page: JPEGs as data URIs, so that the page stays one file."""

from base64 import b64encode
from io import BytesIO

import cv2
import numpy as np

from dfd.faces.film import write_crop
from dfd.types import Rgb
from dfd.videos.pictures import reduced_size


def data_uri(image: Rgb, side: int | None = None, quality: int = 80) -> str:
    """Encode an image (H,W,3) uint8 RGB as a JPEG data URI. side: maximum of its longer side, in pixels.

    >>> data_uri(np.zeros((40, 60, 3), np.uint8), side=30)[:34]
    'data:image/jpeg;base64,/9j/4AAQSkZ'
    """
    size = reduced_size(image.shape[1], image.shape[0], side)
    if size != (image.shape[1], image.shape[0]):
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    code = BytesIO()
    write_crop(code, image, quality)
    return f"data:image/jpeg;base64,{b64encode(code.getvalue()).decode()}"
