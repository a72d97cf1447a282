"""468 landmarks of a face, of its outline and of all in it: MediaPipe's face mesh, read by OpenCV.

Source: Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs". Of each point
the place in the picture is used; its depth is not.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.errors import CheckpointError
from dfd.faces.crops import aligned, alignment
from dfd.files import sha256

Picture = NDArray[np.uint8]

SHA256 = "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"
"""Of face_landmark.tflite."""
POINTS = 468
SIDE = 192
"""Side in pixels of the pictures that it takes."""
PLACE = SIDE * np.array([[0.36, 0.37], [0.64, 0.37], [0.5, 0.52], [0.37, 0.65], [0.63, 0.65]], np.float32)
"""Where the five landmarks lie in them, (5,2): the mesh is then in the middle and 2/3 of the side high. Measured on 240
photographs: with a face from 0.85 to 1.3 times as large, the points move by 3 % of the distance of the eyes."""
EYES, NOSE, MOUTH = ((33, 133), (362, 263)), 1, (61, 291)
"""Of the points: the corners of the left and the right eye in the picture, the tip of the nose, the mouth's corners."""


def face_mesh(image: Picture, landmarks: NDArray[np.floating], weights: Path) -> NDArray[np.float32] | None:
    """The mesh (468,2) float32 of a face, in pixels of its picture (H,W,3) uint8 RGB.

    landmarks: (5,2) its left eye, right eye, nose, left and right corner of the mouth, as seen in the picture. The face
    may reach the picture's edge, or a little beyond. weights: what `dfd weights mesh` wrote. None where the network
    sees no face there. Raises CheckpointError as check_mesh does.
    """
    move = alignment(landmarks, PLACE)
    network = _network(weights, os.getpid())
    network.setInput(cv2.dnn.blobFromImage(aligned(image, landmarks, PLACE, SIDE), 1 / 255))
    outputs = {output.size: output.ravel() for output in network.forward(network.getUnconnectedOutLayersNames())}
    if outputs[1][0] < 0:  # logit of a face being there
        return None
    points = outputs[3 * POINTS].reshape(1, POINTS, 3)[..., :2]
    return np.asarray(cv2.transform(points, cv2.invertAffineTransform(move))[0], np.float32)


def five(mesh: NDArray[np.floating]) -> NDArray[np.floating]:
    """The five landmarks (5,2) that a mesh (468,2) tells: eyes, nose, corners of the mouth."""
    eyes = [mesh[list(corners)].mean(axis=0) for corners in EYES]
    return np.stack([*eyes, mesh[NOSE], *mesh[list(MOUTH)]])


def check_mesh(weights: Path) -> None:
    """Raises CheckpointError unless `weights` is the file that `dfd weights mesh` writes."""
    if weights.is_dir():
        raise CheckpointError(f"{weights} is a folder: give the file that `dfd weights mesh --out FILE` writes")
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such file: `dfd weights mesh --out {weights}` writes it")
    if sha256(weights) != SHA256:
        raise CheckpointError(f"{weights}: not MediaPipe's face mesh: `dfd weights mesh --out FILE` writes that")


@lru_cache(maxsize=2)
def _network(weights: Path, process: int) -> Any:
    """The network, one a process: what OpenCV keeps with it does not survive a fork."""
    check_mesh(weights)
    # OpenCV 5 has a new engine that drops the second output; before, there was this one alone.
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    return cv2.dnn.readNetFromTFLite(str(weights), **engine)
