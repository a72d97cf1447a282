"""Where the faces are in a picture: MTCNN, whose weights ship inside the facenet-pytorch wheel.

The only door to facenet_pytorch. Source: Zhang et al. 2016, "Joint face detection and alignment using multi-task
cascaded convolutional networks".
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

import dfd.torchvision_ops  # noqa: F401  # before facenet_pytorch, which imports torchvision
from dfd.types import Detections

from facenet_pytorch import MTCNN, InceptionResnetV1  # isort: skip
from facenet_pytorch.models.utils import detect_face  # isort: skip


SMALL = 128
"""Pictures of this height and width or more are halved before they are reduced to half or less."""


def area_resample(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pictures (N,C,H,W) float32 reduced to `size` (height, width) by averaging areas.

    facenet_pytorch reduces the whole picture anew for every level of its pyramid by torch's adaptive pooling, which is
    nearly half of its time on a CPU. OpenCV does the same in a fraction of that, and from halves in less.
    """
    if images.device.type != "cpu":
        return F.interpolate(images, size=size, mode="area")
    height, width = images.shape[2:]
    if min(height, width) >= SMALL and height >= 2 * size[0] and width >= 2 * size[1]:
        kept = vars(images)  # with the picture, of which a pyramid asks for one level after the other
        if "halved" not in kept:
            kept["halved"] = _resized(images, (height // 2, width // 2))
        return area_resample(kept["halved"], size)
    return _resized(images, size)


def _resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    shape = (int(size[1]), int(size[0]))
    reduced = [cv2.resize(i.permute(1, 2, 0).numpy(), shape, interpolation=cv2.INTER_AREA) for i in images]
    return torch.from_numpy(np.stack(reduced)).permute(0, 3, 1, 2)


detect_face.imresample = area_resample


class Detector:
    """MTCNN with its cascade's usual thresholds.

    min_face: side in pixels of the smallest face looked for; the cost falls with its square.
    thresholds: least confidence after each of the three networks, in [0,1].
    """

    def __init__(
        self,
        min_face: int = 40,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        device: torch.device | str = "cpu",
    ) -> None:
        self._min_face = min_face
        self._mtcnn = MTCNN(min_face_size=min_face, thresholds=list(thresholds), keep_all=True, device=device)

    def detect(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], min_face: float | None = None
    ) -> list[Detections]:
        """The faces of each of N pictures (H,W,3) uint8 RGB of one size; coordinates are pixels of that picture.

        min_face: looks for faces of this side and more instead.
        """
        if len(images) == 0:
            return []
        self._mtcnn.min_face_size = least = min_face or self._min_face
        if min(images[0].shape[:2]) < least:  # MTCNN's pyramid has no level: it would raise
            return [_detections(None, None, None) for _ in images]
        with torch.inference_mode():
            found = self._mtcnn.detect(np.stack(list(images)), landmarks=True)
        return [_detections(boxes, scores, points) for boxes, scores, points in zip(*found, strict=True)]


def embedding_network() -> nn.Module:
    """facenet_pytorch's other network, without weights: faces/embed.py tells people apart with it."""
    network: nn.Module = InceptionResnetV1(pretrained=None)
    return network


def _detections(boxes: object, scores: object, points: object) -> Detections:
    """MTCNN's answer for one picture, of which every part is None where there is no face."""
    if boxes is None:
        return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
    confidences = np.asarray(scores, np.float32).reshape(-1)
    order = np.argsort(-confidences, kind="stable")  # facenet_pytorch sorts by area
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4)[order],
        confidences[order],
        np.asarray(points, np.float32).reshape(-1, 5, 2)[order],
    )
