"""From a picture to its one tracklet of one frame: a photograph's face, or a crop that was cut before."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.faces.film import is_crop
from dfd.faces.link import Sighting, Trajectory
from dfd.faces.tracklets import FAINT, USUAL, FacesConfig, Looked, Strictness, cut_out, detector, look_at
from dfd.types import Video
from dfd.videos.pictures import Pictures
from dfd.videos.segments import Segment
from dfd.videos.stills import Still, read_still

FPS = 1.0
"""Of a picture."""
WHOLE = Segment(0, 0, 1)
"""A picture's only segment."""
DETECTED_AT = 224
"""Side in pixels of the copy of a cut picture on which landmarks are looked for."""
BORDER = 0.45
"""Of a side, put around that copy first: in one that is cut as tight as its face MTCNN's landmarks are far off."""
BORDERED = Strictness((0.6, 0.7, 0.7), 0.0)


def look_at_still(video: Video, config: FacesConfig, cut: bool = False) -> Iterator[Looked]:
    """The one face of a picture, of frame 0 in segment 0; twice looked for where it is not found the usual way.

    Of a photograph it is the face that it is of: see `subject`. cut: the picture was cut `config.margin` times as wide
    as its face's box; its largest centred square is the crop then, and the box its middle, face found or not. Landmarks
    that are not found there are not known (NaN). Raises VideoReadError when the picture cannot be read.
    """
    still, code = read_still(video.path)
    pictures = Pictures([still], np.zeros(1, np.int64), FPS, 1)
    if cut:
        yield _cut(still, code, pictures, config)
        return
    for strictness in (USUAL, FAINT):
        looked = look_at(WHOLE, FPS, pictures, config, strictness)
        if looked.tracklets:
            chosen = subject([face.seen[0].box for face in looked.trajectories], still.shape)
            tracklet, path = replace(looked.tracklets[chosen], face=0), looked.trajectories[chosen]
            yield replace(looked, tracklets=(tracklet,), trajectories=(path,), crowded=0)
            return
        yield looked


def subject(boxes: list[NDArray[np.float64]], shape: tuple[int, ...]) -> int:
    """Which of the faces, (4,) XYXY each, a photograph of (H,W,3) is of, where passers-by are on it too.

    The largest of those over its middle; where none is, the nearest to it, in widths of its own box.

    >>> small, large, aside = np.array([[45, 45, 55, 55], [30, 30, 70, 70], [0, 0, 44, 44.0]])
    >>> subject([small, large, aside], (100, 100, 3)), subject([aside, aside + 60], (100, 100, 3))
    (1, 0)
    """
    middle, faces = np.array(shape[1::-1]) / 2, np.stack(boxes)
    sides = (faces[:, 2:] - faces[:, :2]).max(axis=1)
    away = np.abs((faces[:, :2] + faces[:, 2:]) / 2 - middle).max(axis=1) / sides
    over = (faces[:, :2] <= middle).all(axis=1) & (middle <= faces[:, 2:]).all(axis=1)
    return int(np.where(over, sides, -np.inf).argmax() if over.any() else away.argmin())


def _cut(still: Still, code: bytes, pictures: Pictures, config: FacesConfig) -> Looked:
    """A picture that was cut before."""
    square, corner = centred(still.rgb)
    points, sure = landmarks_in(square) or (np.full((5, 2), np.nan), 0.0)
    middle, half = corner + len(square) / 2, len(square) / config.margin / 2
    box = np.concatenate([middle - half, middle + half])
    path = Trajectory.of([Sighting(0, box, np.round(points + corner, 2), round(sure, 6))])
    return Looked(
        segment=WHOLE,
        total=1,
        shown=1,
        fps=FPS,
        faint=False,
        tracklets=(cut_out(path, 0, WHOLE, FPS, pictures, config),),
        trajectories=(path,),
        missing=0,
        looks=1,
        found=int(path.located),
        crowded=0,
        brightness=float(still.rgb.mean()),
        own=code if is_crop(code, config.size) else b"",
    )


def centred(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The largest centred square of a picture (H,W,3), and its upper left corner (x, y).

    >>> square, corner = centred(np.zeros((4, 7, 3), np.uint8))
    >>> square.shape, corner.tolist()
    ((4, 4, 3), [1, 0])
    """
    side = min(image.shape[:2])
    left, top = (image.shape[1] - side) // 2, (image.shape[0] - side) // 2
    return image[top : top + side, left : left + side], np.array([left, top])


def landmarks_in(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float] | None:
    """The landmarks (5,2) of the face in a square picture (S,S,3) cut about it, in its pixels, and the confidence.

    Of several faces it is the one nearest to the middle; None where none is found.
    """
    border = round(BORDER * DETECTED_AT)
    small = cv2.resize(image, (DETECTED_AT, DETECTED_AT), interpolation=cv2.INTER_AREA)
    bordered = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
    (faces,) = detector(DETECTED_AT // 4, BORDERED).detect([np.asarray(bordered, np.uint8)])
    if not len(faces):
        return None
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    nearest = int(np.abs(centres - (DETECTED_AT / 2 + border)).sum(axis=1).argmin())
    points = (faces.landmarks[nearest].astype(np.float64) - border) * (len(image) / DETECTED_AT)
    return points, float(faces.confidences[nearest])
