"""Where the faces are in a picture: MTCNN, whose weights ship inside the facenet-pytorch wheel.

The only door to facenet_pytorch, of which this takes the networks. The cascade that drives them is written anew here:
the same steps on the same numbers, rounding and one-based pixels included, in less than half of the time on a CPU.
Source: Zhang et al. 2016, "Joint face detection and alignment using multi-task cascaded convolutional networks".
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

import dfd.torchvision_ops  # noqa: F401  # before facenet_pytorch, which imports torchvision
from dfd.types import Detections

from facenet_pytorch import MTCNN, InceptionResnetV1  # isort: skip

Floats = NDArray[np.float32]
Images = Sequence[NDArray[np.uint8]]

WINDOW = 12
"""Side of what the first network sees at a time, in pixels; it looks at every second one."""
STEP = 0.709
"""From one level of the pyramid to the next: half of the area."""
LIMIT, LEVEL_LIMIT = 0.7, 0.5
"""A box that overlaps a better one by more shows the same face; within one level of the pyramid."""
REFINED, LOCATED = (24, 96), (48, 24)
"""Side of the crops that the second and the third network see, and most of them at a time."""


class _Boxes(NamedTuple):
    """Candidates: boxes (N,4) XYXY, scores (N,), pictures (N,) rising: the number of the picture that each is in."""

    boxes: Floats
    scores: Floats
    pictures: NDArray[np.int64]

    def take(self, which: NDArray) -> "_Boxes":
        return _Boxes(self.boxes[which], self.scores[which], self.pictures[which])


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
        self._min_face, self._thresholds, self._device = min_face, thresholds, torch.device(device)
        networks = MTCNN(device=self._device).eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._pnet, self._rnet, self._onet = networks.pnet, networks.rnet, networks.onet

    def detect(self, images: Images | NDArray[np.uint8], min_face: float | None = None) -> list[Detections]:
        """The faces of each of N pictures (H,W,3) uint8 RGB of one size; coordinates are pixels of that picture.

        min_face: looks for faces of this side and more instead.
        """
        with torch.inference_mode():
            found = self._proposed(images, WINDOW / (min_face or self._min_face)) if len(images) else _together([])
            found = self._refined(images, found)
            return self._located(images, found)

    def _proposed(self, images: Images, scale: float) -> _Boxes:
        """First network: windows on every level of the pyramid that may show a face, moved onto it and square."""
        found, halves = [], [images]
        height, width = images[0].shape[:2]
        while min(height, width) * scale >= WINDOW:
            level = _reduced(halves, int(height * scale + 1), int(width * scale + 1))
            scores, features = self._windows(level)
            n, y, x = np.nonzero(scores >= self._thresholds[0])
            corners = 2 * np.stack([x, y, x, y], 1).astype(np.float32) + np.float32([1, 1, WINDOW, WINDOW])
            boxes = _Boxes(np.floor(corners / np.float32(scale)), scores[n, y, x], n)
            kept = _distinct(boxes, LEVEL_LIMIT)
            moves = F.linear(features[n[kept], y[kept], x[kept]], self._pnet.conv4_2.weight.flatten(1), self._pnet.conv4_2.bias)
            boxes = boxes.take(kept)
            sides = np.tile(boxes.boxes[:, 2:] - boxes.boxes[:, :2], 2)
            found.append(boxes._replace(boxes=_square(boxes.boxes + moves.cpu().numpy() * sides)))
            scale *= STEP
        return _together(found)

    def _windows(self, level: NDArray[np.uint8]) -> tuple[Floats, torch.Tensor]:
        net = self._pnet
        x = _prelu(net.conv1(self._input(level)), net.prelu1)
        x = _pool(_pool(x, 2), 3)
        x = _prelu(net.conv2(x), net.prelu2)
        x = _prelu(net.conv3(x), net.prelu3).permute(0, 2, 3, 1)
        weight, bias = net.conv4_1.weight.flatten(1), net.conv4_1.bias
        scores = torch.sigmoid(x @ (weight[1] - weight[0]) + (bias[1] - bias[0]))
        return scores.cpu().numpy(), x

    def _input(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        x = torch.from_numpy(pictures).to(self._device)
        return x.float().sub_(127.5).mul_(1 / 128).permute(0, 3, 1, 2)

    def _crops(self, images: Images, boxes: _Boxes, side: int) -> NDArray:
        out = np.empty((len(boxes.boxes), side, side, 3), np.uint8)
        for k, ((left, top, right, bottom), n) in enumerate(zip(boxes.boxes.astype(int).tolist(), boxes.pictures.tolist(), strict=True)):
            crop = images[n][max(top, 1) - 1 : max(bottom, 0), max(left, 1) - 1 : max(right, 0)]
            cv2.resize(crop, (side, side), out[k], interpolation=cv2.INTER_AREA)
        return out

    def _through(self, net, images, boxes, side, most):
        crops = self._crops(images, boxes, side)
        parts = []
        for k in range(0, len(crops), most):
            part = crops[k : k + most]
            whole = np.zeros((-(-len(part) // (most // 6)) * (most // 6), side, side, 3), np.uint8)
            whole[: len(part)] = part
            parts.append([o.cpu().numpy()[: len(part)] for o in net(self._input(whole))])
        return [np.concatenate(p) for p in zip(*parts)]

    def _refined(self, images, found):
        found = found.take(_inside(found.boxes, images))
        if not len(found.boxes):
            return found
        moves, scores = self._through(self._rnet, images, found, *REFINED)
        found = found._replace(scores=scores[:, 1])
        kept = np.flatnonzero(found.scores > self._thresholds[1])
        kept = kept[_distinct(found.take(kept), LIMIT)]
        found = found.take(kept)
        return found._replace(boxes=_square(_moved(found.boxes, moves[kept])))

    def _located(self, images, found):
        found = found.take(_inside(found.boxes, images))
        if not len(found.boxes):
            return [Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32)) for _ in images]
        moves, points, scores = self._through(self._onet, images, found, *LOCATED)
        found = found._replace(scores=scores[:, 1])
        kept = found.scores > self._thresholds[2]
        found, moves, points = found.take(kept), moves[kept], points[kept]
        corner, sides = found.boxes[:, None, :2], found.boxes[:, None, 2:] - found.boxes[:, None, :2] + 1
        points = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + corner - 1
        found = found._replace(boxes=_moved(found.boxes, moves))
        kept = _distinct(found._replace(boxes=found.boxes + np.float32([0, 0, 1, 1])), LIMIT, True)
        out = []
        for n in range(len(images)):
            k = kept[found.pictures[kept] == n]
            out.append(Detections(found.boxes[k], found.scores[k], points[k]))
        return out


def embedding_network() -> nn.Module:
    """facenet_pytorch's other network, without weights: faces/embed.py tells people apart with it."""
    network: nn.Module = InceptionResnetV1(pretrained=None)
    return network


def _together(parts):
    if not parts:
        return _Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    both = _Boxes(*map(np.concatenate, zip(*parts, strict=True)))
    return both.take(np.argsort(both.pictures, kind="stable"))


def _inside(boxes, images):
    if not len(boxes): return np.empty(0, int)
    h, w = images[0].shape[:2]
    b = np.trunc(boxes)
    left, top = np.maximum(b[:, 0], 1), np.maximum(b[:, 1], 1)
    return (np.minimum(b[:, 2], w) > left - 1) & (np.minimum(b[:, 3], h) > top - 1)


def _reduced(halves, height, width):
    while True:
        h, w = halves[-1][0].shape[:2]
        if h // 2 < height or w // 2 < width:
            break
        halves.append([cv2.resize(i, (w // 2, h // 2), interpolation=cv2.INTER_AREA) for i in halves[-1]])
    return np.stack([cv2.resize(i, (width, height), interpolation=cv2.INTER_AREA) for i in halves[-1]])


def _prelu(x, layer):
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n * h, w * c)
    return F.prelu(rows, layer.weight.repeat(w)).view(n, h, w, c).permute(0, 3, 1, 2)


def _pool(x, dim):
    x = x.transpose(2, dim)
    k = x.shape[2] // 2
    best = torch.maximum(x[:, :, 0 : 2 * k : 2], x[:, :, 1::2])
    if x.shape[2] % 2:
        best = torch.cat((best, x[:, :, -1:]), 2)
    return best.transpose(2, dim)


def _square(boxes):
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(w, h)
    left, top = boxes[:, 0] + w * 0.5 - side * 0.5, boxes[:, 1] + h * 0.5 - side * 0.5
    return np.stack([left, top, left + side, top + side], 1)


def _moved(boxes, moves):
    return boxes + moves * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _distinct(found, limit, smaller=False):
    kept = []
    edges = np.searchsorted(found.pictures, np.arange(found.pictures[-1] + 2)) if len(found.pictures) else [0]
    for a, b in zip(edges[:-1], edges[1:]):
        if b - a: kept.append(a + _distinct1(found.boxes[a:b], found.scores[a:b], limit, smaller))
    return np.concatenate(kept) if kept else np.empty(0, int)


def _distinct1(boxes, scores, limit, smaller):
    order = np.argsort(-scores, kind="stable")
    if len(order) == 1: return order
    x1, y1, x2, y2 = boxes[order].T
    w = np.minimum.outer(x2, x2) - np.maximum.outer(x1, x1)
    h = np.minimum.outer(y2, y2) - np.maximum.outer(y1, y1)
    shared = w.clip(0) * h.clip(0)
    area = (x2 - x1) * (y2 - y1)
    whole = np.minimum.outer(area, area) if smaller else np.add.outer(area, area) - shared
    apart = shared <= limit * whole
    open_ = np.ones(len(order), bool); kept = []
    for k, row in enumerate(apart):
        if open_[k]:
            kept.append(k); open_ &= row
    return order[kept]
