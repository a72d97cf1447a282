"""Square face crops, and the transforms from frame to crop coordinates and on to a narrower crop."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.types import Rgb
from dfd.videos import pictures

Box = NDArray[np.float32]


def cut(
    image: Rgb | pictures.Picture, centre: NDArray[np.floating], side: float, margin: float, size: int
) -> tuple[Rgb, Box]:
    """Cut out the square of `margin * side` pixels about `centre` (x, y). Returns it as (size,size,3), and the face
    box.

    Beyond the edge the border pixel is repeated. The square starts on a whole pixel, so that pixels are copied without
    subpixel resampling. The box, float32 XYXY in the frame, belongs to the rounded square.

    >>> image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, axis=2)
    >>> crop, box = cut(image, np.array([5.0, 5.0]), side=2, margin=2.0, size=4)
    >>> box.tolist(), crop[:, :, 0].tolist()[0]
    ([4.0, 4.0, 6.0, 6.0], [33, 34, 35, 36])
    """
    (left, top, width), box = square(centre, side, margin)
    height_, width_ = image.shape[:2]
    inside = image[max(top, 0) : max(top + width, 0), max(left, 0) : max(left + width, 0)]
    if inside.size == 0:
        raise ValueError(f"a crop of {width} pixels at ({left}, {top}) lies outside a picture of {width_}x{height_}")
    pad = (max(-top, 0), max(top + width - height_, 0), max(-left, 0), max(left + width - width_, 0))
    if any(pad):
        inside = cv2.copyMakeBorder(inside, *pad, cv2.BORDER_REPLICATE)
    return resize(inside, size), box


def square(centre: NDArray[np.floating], side: float, margin: float) -> tuple[tuple[int, int, int], Box]:
    """The square that `cut` cuts out: (left, top, width) in whole pixels, and the face box in it, float32 XYXY.

    >>> square(np.array([5.0, 5.0]), side=2, margin=2.0)[0]
    (3, 3, 4)
    """
    width = max(1, round(side * margin))
    left, top = (int(np.floor(c - width / 2 + 0.5)) for c in centre)
    middle = np.array([left + width / 2, top + width / 2])
    half = width / margin / 2
    return (left, top, width), np.concatenate([middle - half, middle + half]).astype(np.float32)


def resize(image: Rgb, size: int) -> Rgb:
    """Resize to a square of side `size`: area interpolation when shrinking, cubic when enlarging."""
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    shrinks = image.shape[0] > size
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def to_crop(points: NDArray[np.floating], box: NDArray[np.floating], margin: float, size: int) -> NDArray[np.float32]:
    """Convert points (...,2) of the frame to pixels of the crop that `cut` made for `box`.

    >>> to_crop(np.array([5.0, 5.0]), np.array([4.0, 4, 6, 6]), margin=2.0, size=4).tolist()
    [2.0, 2.0]
    """
    side = (box[2] - box[0]) * margin
    corner = (box[:2] + box[2:]) / 2 - side / 2
    return ((points - corner) * (size / side)).astype(np.float32)


def narrow(images: Rgb, stored: float, margin: float, size: int) -> Rgb:
    """Cut crops (T,S,S,3) of margin `stored` down to a smaller `margin` and resize them to (T,size,size,3).

    Raises ValueError when `margin` is wider than `stored`.
    """
    if margin > stored:
        raise ValueError(f"margin {margin} is wider than the stored crops' {stored}")
    side = images.shape[1]
    keep = max(1, round(side * margin / stored))
    start = (side - keep) // 2
    inner = images[:, start : start + keep, start : start + keep]
    return np.stack([resize(image, size) for image in inner])


UPRIGHT = np.array([[10, 11], [22, 11], [16, 18], [11, 24], [21, 24]], np.float32)
"""Landmark positions of an upright face in an image of 32 pixels."""


def upright(image: Rgb, landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn a face (H,W,3) with `landmarks` (5,2) upright, blur it and reduce it to (32,32,3) float32."""
    return cv2.GaussianBlur(aligned(image, landmarks, UPRIGHT, 32).astype(np.float32), (0, 0), 1.0)


def aligned(image: Rgb, landmarks: NDArray[np.floating], target: NDArray[np.floating], size: int) -> Rgb:
    """Rotate, scale and shift an image (H,W,3) to (size,size,3) so that `landmarks` (5,2) land on `target`.

    Beyond the edge the border is repeated.

    >>> picture, points = np.arange(48, dtype=np.uint8).reshape(4, 4, 3), np.array([[0, 0], [1, 0], [0, 1.0]])
    >>> bool((aligned(picture, points, points + 1, 4)[1:, 1:] == picture[:-1, :-1]).all())
    True
    """
    move = alignment(landmarks, target)
    turned = cv2.warpAffine(image, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned)


def alignment(landmarks: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The similarity transform (2,3) from points (N,2) to `target` (N,2) with the least squared distance.

    Umeyama 1991.

    >>> alignment(np.array([[0, 0], [1, 0], [0, 1.0]]), np.array([[5, 5], [5, 7], [3, 5.0]])).round(6).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    middle, aim = landmarks.mean(axis=0), target.mean(axis=0)
    a, b = (landmarks - middle).astype(np.float64), (target - aim).astype(np.float64)
    spread = max(1e-6, float((a**2).sum()))
    cos, sin = float((a * b).sum()) / spread, float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (aim - turn @ middle)[:, None]])


def likeness(image: Rgb, box: NDArray[np.floating], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Thumbnails for recognising a face a moment later: upright, and as its box shows it, (2,32,32,3) float32.

    Landmarks jitter more than the box does: the thumbnails by the box match when a face keeps still.
    """
    left, top, right, bottom = np.round(box).astype(int).tolist()
    inside = image[max(0, top) : max(1, bottom), max(0, left) : max(1, right)]
    small = cv2.resize(inside, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.stack([upright(image, landmarks), cv2.GaussianBlur(small, (0, 0), 1.0)])


def thumbnail(image: Rgb, shape: tuple[int, ...], side: int = 32) -> NDArray[np.float32]:
    """Reduce an image (H,W,3) to float32. One of `shape` gets a longer side of `side` pixels; others the same scale."""
    scale = side / max(shape[:2])
    size = [max(1, round(n * scale)) for n in (shape[1], shape[0])]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlation of two images (H,W,3) of one size, each channel minus its mean: in [-1,1], 0 if one is flat.

    >>> picture = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    >>> round(correlation(picture, 2 * picture + 1), 3), round(correlation(picture, -picture), 3)
    (1.0, -1.0)
    """
    a, b = a - a.mean(axis=(0, 1)), b - b.mean(axis=(0, 1))
    return float((a * b).sum() / max(1e-6, float(np.sqrt((a * a).sum() * (b * b).sum()))))
