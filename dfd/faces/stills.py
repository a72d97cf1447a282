"""Turn an image into its one tracklet of one frame: the face of a photograph, or a ready-made crop."""

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
"""Frame number of an image."""
WHOLE = Segment(0, 0, 1)
"""The only segment of an image."""
DETECTED_AT = 224
"""Side in pixels of the copy of a ready-made crop on which landmarks are detected."""
BORDER = 0.45
"""Border added to that copy, as a share of its side: on a crop as tight as its face MTCNN's landmarks are far off."""
BORDERED = Strictness((0.6, 0.7, 0.7), 0.0)


def look_at_still(video: Video, config: FacesConfig, cut: bool = False) -> Iterator[Looked]:
    """Locate the one face of an image, in frame 0 of segment 0. If the usual detection fails, a laxer one is tried.

    `subject` selects the face of a photograph. cut: the image is a crop already, `config.margin` times as wide as the
    face box. Then its largest centred square is the crop and the middle of it the box, whether a face is detected or
    not. Landmarks not detected there are NaN. Raises VideoReadError when the image cannot be read.
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
    """Index of the face, (4,) XYXY each, that a photograph (H,W,3) is of, ignoring bystanders.

    The largest face that covers the centre; if none does, the nearest to the centre in widths of its own box.

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
    """Process an image that is a crop already."""
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
    """The largest centred square of an image (H,W,3), and its upper left corner (x, y).

    >>> square, corner = centred(np.zeros((4, 7, 3), np.uint8))
    >>> square.shape, corner.tolist()
    ((4, 4, 3), [1, 0])
    """
    side = min(image.shape[:2])
    left, top = (image.shape[1] - side) // 2, (image.shape[0] - side) // 2
    return image[top : top + side, left : left + side], np.array([left, top])


def landmarks_in(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float] | None:
    """Detect the landmarks (5,2) in a square crop (S,S,3), in its pixels. Returns them and the confidence.

    Of several faces it takes the one nearest to the centre. None if no face is found.
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
