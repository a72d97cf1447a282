"""468 landmarks of a face, on its outline and inside it: MediaPipe's face mesh, run by OpenCV.

Source: Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs". Only the image
coordinates of each point are used, not its depth.
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
from dfd.types import Rgb

SHA256 = "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"
"""SHA-256 of face_landmark.tflite."""
POINTS = 468
SIDE = 192
"""Side in pixels of its input images."""
PLACE = SIDE * np.array([[0.36, 0.37], [0.64, 0.37], [0.5, 0.52], [0.37, 0.65], [0.63, 0.65]], np.float32)
"""Positions of the five landmarks in its input, (5,2). They put the mesh in the middle, 2/3 of the side high. On 240
photographs, scaling the face by 0.85 to 1.3 moves the points by 3 % of the eye distance."""
EYES, NOSE, MOUTH = ((33, 133), (362, 263)), 1, (61, 291)
"""Mesh points of the five landmarks: corners of the left and the right eye in the image, nose tip, mouth corners."""


def face_mesh(image: Rgb, landmarks: NDArray[np.floating], weights: Path) -> NDArray[np.float32] | None:
    """Locate the mesh (468,2) float32 of a face, in pixels of its image (H,W,3) uint8 RGB.

    landmarks: (5,2) left eye, right eye, nose, left and right corner of the mouth, as seen in the image. The face may
    touch the image's edge, or extend a little beyond. weights: the file written by `dfd weights mesh`. Returns None if
    the network sees no face there. Raises CheckpointError as check_mesh does.
    """
    move = alignment(landmarks, PLACE)
    network = _network(weights, os.getpid())
    network.setInput(cv2.dnn.blobFromImage(aligned(image, landmarks, PLACE, SIDE), 1 / 255))
    outputs = {output.size: output.ravel() for output in network.forward(network.getUnconnectedOutLayersNames())}
    if outputs[1][0] < 0:  # logit of the presence of a face
        return None
    points = outputs[3 * POINTS].reshape(1, POINTS, 3)[..., :2]
    return np.asarray(cv2.transform(points, cv2.invertAffineTransform(move))[0], np.float32)


def five(mesh: NDArray[np.floating]) -> NDArray[np.floating]:
    """The five landmarks (5,2) of a mesh (468,2): eyes, nose, corners of the mouth."""
    eyes = [mesh[list(corners)].mean(axis=0) for corners in EYES]
    return np.stack([*eyes, mesh[NOSE], *mesh[list(MOUTH)]])


def check_mesh(weights: Path) -> None:
    """Raise CheckpointError unless `weights` is the file that `dfd weights mesh` writes."""
    if weights.is_dir():
        raise CheckpointError(f"{weights} is a folder: give the file that `dfd weights mesh --out FILE` writes")
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such file: `dfd weights mesh --out {weights}` writes it")
    if sha256(weights) != SHA256:
        raise CheckpointError(f"{weights}: not MediaPipe's face mesh: `dfd weights mesh --out FILE` writes that")


@lru_cache(maxsize=2)
def _network(weights: Path, process: int) -> Any:
    """The network, loaded once per process: OpenCV's state does not survive a fork."""
    check_mesh(weights)
    # OpenCV 5 has a new engine that drops the second output; older versions have only this engine.
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    return cv2.dnn.readNetFromTFLite(str(weights), **engine)
