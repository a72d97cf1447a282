"""Synthetic videos of known people at known positions, made from the six faces of a photograph in a pinned package."""

import cv2
import numpy as np

from dfd import sample
from dfd.faces.detect import Detector

WIDTH, HEIGHT, FPS = 640, 360, 30


def six_people(folder):
    """Six people's face pictures, each (160,160,3) uint8 with background; the face is about 80 pixels wide."""
    sample.unpack("insightface", folder)
    photo = cv2.cvtColor(cv2.imread(str(folder / "t1.jpg")), cv2.COLOR_BGR2RGB)
    (found,) = Detector(40).detect([photo])
    faces = []
    for box in found.boxes[np.argsort(found.boxes[:, 0])]:
        middle, half = (box[:2] + box[2:]) / 2, (box[3] - box[1]) / 2 * 1.9
        left, top = np.maximum(0, middle - half).astype(int)
        cut = photo[top : int(middle[1] + half), left : int(middle[0] + half)]
        faces.append(cv2.resize(cut, (160, 160), interpolation=cv2.INTER_AREA))
    assert len(faces) == 6
    return faces


def stage(frames, *parts, seed=0):
    """Frames (T,H,W,3) uint8 of faces on a blurred background.

    parts: (face, side in pixels, first frame, end frame, function from frame number to (left, top)).
    """
    noise = np.random.default_rng(seed).integers(40, 200, (12, 20, 3)).astype(np.uint8)
    backdrop = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    images = np.repeat(backdrop[None], frames, axis=0)
    for face, size, start, stop, where in parts:
        small = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
        for frame in range(start, min(stop, frames)):
            left, top = (round(v) for v in where(frame))
            a, b = max(0, left), min(WIDTH, left + size)
            if a < b:
                images[frame, top : top + size, a:b] = small[:, a - left : b - left]
    return images


def still(left, top):
    """Return a path that stays within 2 pixels of (left, top)."""
    return lambda frame: (left + 2 * np.sin(frame / 7), top)


def crossing(speed, fps=FPS):
    """Return a path from left to right and back, at `speed` pixels per second."""
    return lambda frame: (abs((frame * speed / fps + 480) % 960 - 480), 100)
