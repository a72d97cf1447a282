"""Square crops about a face, and the way from a picture's coordinates to a crop's and on to a narrower crop."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.videos import pictures

Picture = NDArray[np.uint8]
Box = NDArray[np.float32]


def cut(
    image: Picture | pictures.Picture, centre: NDArray[np.floating], side: float, margin: float, size: int
) -> tuple[Picture, Box]:
    """The square of `margin * side` pixels about `centre` (x, y), resized to (size,size,3), and the face's box in it.

    Beyond the picture's edge its border pixel is repeated. The square starts on a whole pixel, so that pixels are
    copied and never resampled by a fraction; the box, float32 XYXY in the picture, is what was really cut.

    >>> image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, axis=2)
    >>> crop, box = cut(image, np.array([5.0, 5.0]), side=2, margin=2.0, size=4)
    >>> box.tolist(), crop[:, :, 0].tolist()[0]
    ([4.0, 4.0, 6.0, 6.0], [33, 34, 35, 36])
    """
    width = max(1, round(side * margin))
    left, top = (int(np.floor(c - width / 2 + 0.5)) for c in centre)
    height_, width_ = image.shape[:2]
    inside = image[max(top, 0) : max(top + width, 0), max(left, 0) : max(left + width, 0)]
    if inside.size == 0:
        raise ValueError(f"a crop of {width} pixels at ({left}, {top}) lies outside a picture of {width_}x{height_}")
    pad = (max(-top, 0), max(top + width - height_, 0), max(-left, 0), max(left + width - width_, 0))
    if any(pad):
        inside = cv2.copyMakeBorder(inside, *pad, cv2.BORDER_REPLICATE)
    middle = np.array([left + width / 2, top + width / 2])
    half = width / margin / 2
    return resize(inside, size), np.concatenate([middle - half, middle + half]).astype(np.float32)


def resize(image: Picture, size: int) -> Picture:
    """A square picture of side `size`: pixel areas averaged when it shrinks, cubic when it grows."""
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    shrinks = image.shape[0] > size
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def to_crop(points: NDArray[np.floating], box: NDArray[np.floating], margin: float, size: int) -> NDArray[np.float32]:
    """Points (...,2) of the picture in pixels of the crop that `cut` made for `box`.

    >>> to_crop(np.array([5.0, 5.0]), np.array([4.0, 4, 6, 6]), margin=2.0, size=4).tolist()
    [2.0, 2.0]
    """
    side = (box[2] - box[0]) * margin
    corner = (box[:2] + box[2:]) / 2 - side / 2
    return ((points - corner) * (size / side)).astype(np.float32)


def narrow(images: Picture, stored: float, margin: float, size: int) -> Picture:
    """Crops (T,S,S,3) of margin `stored` cut down to a smaller `margin` and resized to (T,size,size,3).

    Raises ValueError when `margin` is wider than what was stored.
    """
    if margin > stored:
        raise ValueError(f"margin {margin} is wider than the stored crops' {stored}")
    side = images.shape[1]
    keep = max(1, round(side * margin / stored))
    start = (side - keep) // 2
    inner = images[:, start : start + keep, start : start + keep]
    return np.stack([resize(image, size) for image in inner])
