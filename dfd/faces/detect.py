"""Face detection with MTCNN, whose weights ship in the facenet-pytorch wheel.

Only this module imports facenet_pytorch, and uses only its networks. The cascade around them is our own: the same
steps, down to counting pixels from one, in less than half of the time on a CPU. The first network sees all levels of
the image pyramid at once. Levels and crops are sampled from halved copies of the image.
Source: Zhang et al. 2016, "Joint face detection and alignment using multi-task cascaded convolutional networks".
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

import dfd.torchvision_ops  # noqa: F401  # before facenet_pytorch, which imports torchvision
from dfd.types import Detections, Rgb

from facenet_pytorch import MTCNN, InceptionResnetV1  # isort: skip

Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Images = Sequence[Rgb] | Rgb

WINDOW, STRIDE = 12, 2
"""Window size of the first network, and its stride, in pixels."""
STEP = 0.709
"""Scale between neighbouring levels of the pyramid: half of the area."""
IN_LEVEL, AT_ALL, TWICE = 0.5, 0.7, 0.8
"""Overlap above which two boxes count as one face: within a pyramid level; after the second and the third network;
before the third network, where facenet_pytorch passes on nearly equal crops. Of 26,005 frames of faces in 59 clips 0.8
keeps 25,953, and 0.9 keeps them all."""
REFINED, LOCATED = (24, 8, 96), (48, 2, 24)
"""Crops of the second and the third network: side, the multiple to which a batch is padded, and the largest batch.
oneDNN compiles for the first batch of each length, which takes as long as the batch itself."""
BELOW = {3: 2, 4: 1, 8: 3}
"""On the canvas each level lies to the right of the last, but these lie below the given one. This fills 90 % of it."""


class Detector:
    """MTCNN with its cascade's usual thresholds.

    min_face: side in pixels of the smallest face to find; the cost falls with its square.
    thresholds: least confidence after each of the three networks, in [0,1].
    """

    def __init__(
        self,
        min_face: int = 40,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        device: torch.device | str = "cpu",
    ) -> None:
        self._min_face, self._thresholds, self._device = min_face, thresholds, torch.device(device)
        networks = MTCNN(device=self._device).requires_grad_(False).to(memory_format=torch.channels_last)
        self._pnet, self._rnet, self._onet = networks.pnet, networks.rnet, networks.onet
        for network in (self._pnet, self._rnet, self._onet):  # made for (pixel - 127.5) / 128; from now on for pixels
            network.conv1.weight /= 128
            network.conv1.bias -= 127.5 * network.conv1.weight.sum((1, 2, 3))
        torch.empty(1 << 24, dtype=torch.uint8)  # freed at once: glibc now keeps such blocks for the next picture

    def detect(self, images: Images) -> list[Detections]:
        """Detect the faces in each of N images (H,W,3) uint8 RGB of one size. Coordinates are pixels of the image."""
        if len(images) == 0:
            return []
        halves = _Halves(images)
        with torch.inference_mode():
            return self._located(halves, self._refined(halves, self._proposed(halves)))

    def _proposed(self, halves: "_Halves") -> "_Found":
        """First network: windows of all pyramid levels that may show a face, regressed to boxes and made square."""
        found = [_Found(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))]
        scale, last = WINDOW / self._min_face, self._pnet.conv4_2
        if min(halves.size) * scale < WINDOW:
            return found[0]
        canvas = Canvas(halves.size, scale)
        for n in range(halves.count):
            scores, features = self._scores(canvas.drawn(halves, n))
            y, x, levels, boxes = canvas.windows(scores >= self._thresholds[0])
            kept = distinct(boxes, scores[y, x], levels, IN_LEVEL)
            y, x, boxes = y[kept], x[kept], boxes[kept]
            moves = F.linear(features[y, x], last.weight.flatten(1), last.bias).cpu().numpy()
            found.append(_Found(_square(_moved(boxes, moves, 0)), scores[y, x], np.full(len(y), n)))
        return _Found(*map(np.concatenate, zip(*found, strict=True)))

    def _scores(self, canvas: Rgb) -> tuple[Singles, torch.Tensor]:
        """PNet's confidence for every window of a canvas (1,H,W,3): (h,w). Also its features: (h,w,32)."""
        net = self._pnet
        x = _prelu(net.conv1(self._tensor(canvas)), net.prelu1)
        x = torch.maximum(x[:, :, 0::2], x[:, :, 1::2])  # its pooling, in a third of the time
        x = torch.maximum(x[..., 0::2], x[..., 1::2])
        x = _prelu(net.conv2(x), net.prelu2)
        x = _prelu(net.conv3(x), net.prelu3)[0].permute(1, 2, 0)
        weight, bias = net.conv4_1.weight.flatten(1), net.conv4_1.bias
        scores = torch.sigmoid(x @ (weight[1] - weight[0]) + (bias[1] - bias[0]))  # the softmax of two
        return scores.cpu().numpy(), x

    def _refined(self, halves: "_Halves", found: "_Found") -> "_Found":
        """Second network: fewer boxes, closer to the faces."""
        found, (moves, scores) = self._seen(self._rnet, halves, found, *REFINED)
        kept = np.flatnonzero(scores[:, 1] > self._thresholds[1])
        found, moves = found._replace(scores=scores[:, 1]).take(kept), moves[kept]
        kept = distinct(*found, AT_ALL)
        found = found.take(kept)._replace(boxes=_square(_moved(found.boxes[kept], moves[kept], 1)))
        return found.take(distinct(*found, TWICE))

    def _located(self, halves: "_Halves", found: "_Found") -> list[Detections]:
        """Third network: the final boxes with their landmarks."""
        found, (moves, points, scores) = self._seen(self._onet, halves, found, *LOCATED)
        kept = np.flatnonzero(scores[:, 1] > self._thresholds[2])
        found, moves = found._replace(scores=scores[:, 1]).take(kept), moves[kept]
        corners, sides = found.boxes[:, None, :2], (found.boxes[:, 2:] - found.boxes[:, :2] + 1)[:, None]
        points = corners - 1 + sides * points[kept].reshape(-1, 2, 5).transpose(0, 2, 1)
        boxes = _moved(found.boxes, moves, 1)
        ends = boxes + np.array([0, 0, 1, 1], np.float32)
        kept = distinct(ends, found.scores, found.pictures, AT_ALL, of_smaller=True)
        parts = [kept[found.pictures[kept] == n] for n in range(halves.count)]
        return [Detections(boxes[part], found.scores[part], points[part]) for part in parts]

    def _seen(
        self, network: nn.Module, halves: "_Halves", found: "_Found", side: int, step: int, most: int
    ) -> tuple["_Found", list[Singles]]:
        """Run a network on the boxes that overlap their image. Returns these boxes and the network's outputs."""
        found = found.take(halves.cuts(found.boxes)[1].min(1) > 0)
        crops = halves.crops(found, side, -(-max(1, len(found.boxes)) // step) * step)
        tensors = [self._tensor(crops[first : first + most]) for first in range(0, len(crops), most)]
        answers = [[answer.cpu().numpy() for answer in network(tensor)] for tensor in tensors]
        return found, [np.concatenate(a)[: len(found.boxes)] for a in zip(*answers, strict=True)]

    def _tensor(self, pictures: Rgb) -> torch.Tensor:
        return torch.from_numpy(pictures).to(self._device).float().permute(0, 3, 1, 2)


class _Found(NamedTuple):
    """Boxes (N,4) XYXY, their scores (N,) and image numbers (N,), in increasing order of image number."""

    boxes: Singles
    scores: Singles
    pictures: Ints

    def take(self, which: NDArray) -> "_Found":
        return _Found(self.boxes[which], self.scores[which], self.pictures[which])


class _Halves:
    """An image pyramid by halving, for images of one size. Sampling single pixels of its levels loses little."""

    def __init__(self, images: Images) -> None:
        self.count, self.size = len(images), images[0].shape[1::-1]
        self._images, size = [list(images)], self.size
        while min(size := (size[0] // 2, size[1] // 2)) >= WINDOW:
            self._images.append([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in self._images[-1]])
        self._sizes = np.array([i[0].shape[1::-1] for i in self._images])

    def reduced(self, n: int, size: tuple[int, int]) -> Rgb:
        """Resample image `n` to this size (width, height)."""
        depth = max((self._sizes >= size).all(1).sum(), 1) - 1
        return cv2.resize(self._images[depth][n], size)

    def cuts(self, boxes: Singles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners and sizes (N,2) that facenet_pytorch cuts out: at the border only the part inside, then stretched."""
        whole = np.trunc(boxes).astype(np.float64)
        corners = np.maximum(whole[:, :2], 1) - 1
        return corners, np.minimum(whole[:, 2:], self.size) - corners

    def crops(self, found: _Found, side: int, length: int) -> Rgb:
        """Crop the boxes: (length,side,side,3), black after the last box."""
        crops = np.zeros((length, side, side, 3), np.uint8)
        corners, sizes = self.cuts(found.boxes)
        depths = np.log2(np.maximum(sizes.max(1) / side, 1)).astype(int).clip(max=len(self._images) - 1)
        scales = self._sizes[depths] / self.size
        steps = sizes * scales / side
        maps = np.zeros((len(steps), 2, 3))  # a pixel's centre is half a pixel from its corner
        maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = steps[:, 0], steps[:, 1], corners * scales + steps / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for crop, depth, n, where in zip(crops, depths, found.pictures, maps, strict=False):
            cv2.warpAffine(self._images[depth][n], where, (side, side), crop, flags, cv2.BORDER_REPLICATE)
        return crops


class Canvas:
    """All levels of an image's pyramid side by side, so that the first network sees them at once.

    parts: (y, x, height, width) of each level. pixels: (1,H,W,3) uint8 RGB. Levels and the network's windows start at
    even pixels. Windows that overlap two levels are ignored.
    """

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        self.parts, scales = list[tuple[int, int, int, int]](), list[float]()
        while min(size) * scale >= WINDOW:
            level = len(scales)
            y, x, h, w = self.parts[BELOW.get(level, -1)] if level else (0, 0, 0, 0)
            y, x = (y + h + h % 2, x) if level in BELOW else (y, x + w + w % 2)
            self.parts.append((y, x, int(size[1] * scale + 1), int(size[0] * scale + 1)))
            scales.append(scale)
            scale *= STEP
        self._scales = np.array(scales, np.float32)[:, None]
        height, width = np.max([(y + h + h % 2, x + w + w % 2) for y, x, h, w in self.parts], 0)
        self.pixels = np.zeros((1, height, width, 3), np.uint8)
        self._levels = np.full(((height - WINDOW) // STRIDE + 1, (width - WINDOW) // STRIDE + 1), -1)
        for level, (y, x, h, w) in enumerate(self.parts):
            rows, columns = (h + h % 2 - WINDOW) // STRIDE + 1, (w + w % 2 - WINDOW) // STRIDE + 1
            self._levels[y // STRIDE :, x // STRIDE :][:rows, :columns] = level

    def drawn(self, halves: _Halves, n: int) -> Rgb:
        """Draw the levels of image `n` on the canvas (1,H,W,3). An odd level's last row and column are repeated."""
        for y, x, h, w in self.parts:
            part = self.pixels[0, y : y + h + h % 2, x : x + w + w % 2]
            part[:h, :w] = halves.reduced(n, (w, h))
            part[h:], part[:, w:] = part[h - 1 : h], part[:, w - 1 : w]
        return self.pixels

    def windows(self, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Singles]:
        """For the chosen windows (h,w): rows, columns, levels (in increasing order), and boxes in the image."""
        y, x = np.nonzero(chosen & (self._levels >= 0))
        order = np.argsort(self._levels[y, x], kind="stable")
        y, x = y[order], x[order]
        levels = self._levels[y, x]
        corners = STRIDE * np.stack([x, y], 1) - np.array(self.parts)[levels, 1::-1] + 1
        boxes = np.concatenate([corners, corners + WINDOW - 1], 1).astype(np.float32) / self._scales[levels]
        return y, x, levels, np.floor(boxes)


def embedding_network() -> nn.Module:
    """facenet_pytorch's other network, without weights. faces/embed.py uses it to recognise people."""
    network: nn.Module = InceptionResnetV1(pretrained=None)
    return network


def _prelu(x: torch.Tensor, layer: nn.PReLU) -> torch.Tensor:
    """Apply the layer to flattened pixels: on a few channels at a time torch takes four times as long."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n * h, w * c)
    return F.prelu(rows, layer.weight.expand(w, c).reshape(-1)).view(n, h, w, c).permute(0, 3, 1, 2)


def _moved(boxes: Singles, moves: Singles, extra: int) -> Singles:
    sides = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + moves * np.concatenate([sides, sides], 1)


def _square(boxes: Singles) -> Singles:
    sides = boxes[:, 2:] - boxes[:, :2]
    side = sides.max(1, keepdims=True)
    corners = boxes[:, :2] + (sides - side) / 2
    return np.concatenate([corners, corners + side], 1)


def distinct(boxes: Singles, scores: Singles, groups: Ints, limit: float, *, of_smaller: bool = False) -> Ints:
    """Non-maximum suppression: keep boxes that overlap no better one of their group by more than `limit` of the union.

    of_smaller: measure by the smaller box instead. groups (N,) must be in increasing order. Returns positions by group,
    and within a group by decreasing score.
    """
    kept = [np.empty(0, np.int64)]
    for first, end in pairwise([0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]):
        order = first + np.argsort(-scores[first:end], kind="stable")
        x1, y1, x2, y2 = boxes[order].T
        wide = np.minimum.outer(x2, x2) - np.maximum.outer(x1, x1)
        high = np.minimum.outer(y2, y2) - np.maximum.outer(y1, y1)
        shared, areas = np.maximum(wide, 0) * np.maximum(high, 0), (x2 - x1) * (y2 - y1)
        whole = np.minimum.outer(areas, areas) if of_smaller else np.add.outer(areas, areas) - shared
        good = np.ones(len(order), bool)
        for n, apart in enumerate(shared <= limit * whole):
            if good[n]:
                good[n + 1 :] &= apart[n + 1 :]
        kept.append(order[good])
    return np.concatenate(kept)
