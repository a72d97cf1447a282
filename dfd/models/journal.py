"""The networks of the research journal that preceded dfd: plain stacks of 3D convolutions, pooling and dense layers.

They are kept as a baseline, layer for layer: Keras names, Keras initialisation, ELU after each convolution, and a head
of two nodes under a softmax, the first for fake. The logit is their difference.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from dfd.models.contract import ActivationName, ClipModel, ClipSize, ModelConfig
from dfd.models.layers import ACTIVATIONS

Triple = tuple[int, int, int]
CUBE: tuple[Triple, ...] = ((3, 3, 3),)
SEPARABLE: tuple[Triple, ...] = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
"""Separable kernels, one per axis, instead of a cube: 30 parameters against 246 at three filters."""


@dataclass
class Stack:
    """Layers under construction, with Keras names, and the size to which the clip has shrunk."""

    size: ClipSize
    channels: int = 3
    activation: ActivationName = "elu"
    layers: OrderedDict[str, nn.Module] = field(default_factory=OrderedDict)

    def add(self, kind: str, layer: nn.Module) -> None:
        """Append `layer`, numbered by its kind."""
        count = sum(name.rpartition("_")[0] == kind for name in self.layers)
        self.layers[f"{kind}_{count + 1}"] = layer

    def convolve(self, filters: int, kernel: Triple, stride: Triple) -> None:
        """Append a convolution and its activation.

        Without padding, except for an axis shorter than the kernel, which gets a zero at each end.
        """
        time, height, width = (int(size < side) for size, side in zip(self.size, kernel, strict=True))
        padding = (time, height, width)
        self.add("conv3d", nn.Conv3d(self.channels, filters, kernel, stride, padding))
        self.add("activation", ACTIVATIONS[self.activation]())
        axes = zip(self.size, kernel, stride, padding, strict=True)
        self.size = ClipSize(*((size + 2 * pad - side) // step + 1 for size, side, step, pad in axes))
        self.channels = filters

    def pool(self, side: int) -> None:
        """Append max-pooling over squares of `side` pixels, or of the remaining size if that is smaller."""
        kernel = (1, min(side, self.size.height), min(side, self.size.width))
        self.add("max_pooling3d", nn.MaxPool3d(kernel))
        self.size = ClipSize(self.size.frames, self.size.height // kernel[1], self.size.width // kernel[2])

    def flatten_into(self, widths: Sequence[int], activation: ActivationName) -> None:
        """Append dense layers of these widths, and the 2-node head after them."""
        self.add("flatten", nn.Flatten())
        features = self.channels * self.size.frames * self.size.height * self.size.width
        for width in widths:
            self.add("dense", nn.Linear(features, width))
            self.add("dense_activation", ACTIVATIONS[activation]())
            features = width
        self.add("dense", nn.Linear(features, 2))


class Journal(ClipModel):
    """A stack whose last two nodes feed a softmax."""

    def __init__(self, clip: ClipSize, stack: Stack) -> None:
        super().__init__(clip)
        self.layers = nn.Sequential(stack.layers)
        for layer in self.layers:
            if isinstance(layer, nn.Conv3d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def logits(self, pixels: Tensor) -> Tensor:
        """The first node minus the second: log(p / (1 - p)) of the softmax's first output."""
        nodes = self.layers(pixels)
        return nodes[:, 0] - nodes[:, 1]


def conv3d(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """First model: three strided cubic kernels. 22,648 parameters at 15 frames of 1080x1920."""
    stack = Stack(clip, activation=config.activation)
    for _ in range(3):
        stack.convolve(3, (3, 3, 3), stride=(1, 3, 3))
        stack.pool(2)
    stack.flatten_into((20, 10, 6), config.dense_activation or "sigmoid")
    return Journal(clip, stack)


def separable(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """Second model: pooled first, then three blocks of separable convolutions. 1,660 parameters at 15x1080x1920."""
    stack = Stack(clip, activation=config.activation)
    stack.pool(4)
    for _ in range(3):
        along_time, along_height, along_width = SEPARABLE
        stack.convolve(3, along_time, stride=(1, 1, 1))
        stack.convolve(3, along_height, stride=(1, 1, 1))
        stack.convolve(3, along_width, stride=(1, 3, 3))
        stack.pool(2)
    stack.flatten_into((20, 10, 6), config.dense_activation or "tanh")
    return Journal(clip, stack)


def separable_large(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """Second model, larger: seven blocks of ten filters, no strides. 47,075 parameters at 15x1080x1920."""
    stack = Stack(clip, activation=config.activation)
    for _ in range(7):
        for kernel in SEPARABLE:
            stack.convolve(10, kernel, stride=(1, 1, 1))
        stack.pool(2)
    stack.flatten_into((50, 25, 16), config.dense_activation or "tanh")
    return Journal(clip, stack)
