"""dlib's face recognition network: a descriptor of 128 numbers, close together for faces of one person.

Source: Davis King's dlib_face_recognition_resnet_model_v1 (2017), a ResNet (He et al. 2016), as computed by
face-api.js's FaceRecognitionNet. Here the scale and shift of each convolution are folded into its weights.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 150
"""Side in pixels of its input chips: aligned faces whose landmarks lie on CHIP."""
_MEANS = [[0.225492, 0.215990], [0.754761, 0.215990], [0.490127, 0.515625], [0.254149, 0.780233], [0.726104, 0.780233]]
CHIP = ((np.array(_MEANS) + 0.25) / 1.5 * SIDE).astype(np.float32)
"""Landmark positions in a chip, (5,2) float32: dlib's mean face (each eye the mean of its six points, the tip of the
nose, the corners of the mouth) with a border of a quarter of its width."""
RGB = (122.782, 117.001, 104.298)
"""The mean colour, in [0,255], that is subtracted."""
DOWN = "conv32_down"
BLOCKS = {
    "conv32_1": (32, 32), "conv32_2": (32, 32), "conv32_3": (32, 32),
    "conv64_down": (32, 64), "conv64_1": (64, 64), "conv64_2": (64, 64), "conv64_3": (64, 64),
    "conv128_down": (64, 128), "conv128_1": (128, 128), "conv128_2": (128, 128),
    "conv256_down": (128, 256), "conv256_1": (256, 256), "conv256_2": (256, 256), "conv256_down_out": (256, 256),
}  # fmt: skip
"""Channels before and after each block, by its name. A block with "down" in its name halves the resolution."""


class Block(nn.Module):
    """Residual block of two convolutions. If it downsamples, its shortcut is a 2x2 average pooling.

    The smaller of the two branches is padded with zeros, in channels or by one pixel at the right and bottom.
    """

    def __init__(self, before: int, after: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(before, after, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N,before,H,W) -> (N,after,H,W), or (N,after,H//2,W//2)."""
        y = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(x + y)


class DescriptorNetwork(nn.Module):
    """Maps chips to unnormalised descriptors; their Euclidean distance separates people."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_module(DOWN, nn.Conv2d(3, 32, 7, stride=2))
        self.blocks = nn.ModuleDict({name: Block(*sides, "down" in name) for name, sides in BLOCKS.items()})
        self.fc = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(RGB).view(3, 1, 1), persistent=False)

    def forward(self, chips: Tensor) -> Tensor:
        """(N,3,SIDE,SIDE) RGB in [0,255] -> (N,128)."""
        x = F.max_pool2d(F.relu(self.get_submodule(DOWN)((chips - self.mean) / 256)), 3, 2)
        for block in self.blocks.values():
            x = block(x)
        described: Tensor = self.fc(x.mean(dim=(2, 3)))
        return described
