"""Networks with convolutions over time: factorized residual blocks, torchvision's networks, and time alone."""

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.models import video

from dfd.errors import ConfigError
from dfd.models.contract import ActivationName, ClipModel, ClipSize, ModelConfig
from dfd.models.layers import ACTIVATIONS, mean_and_max, small_head, zero_head
from dfd.models.recurrent import Frame
from dfd.models.weights import load_backbone, load_head

Triple = tuple[int, int, int]

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "tiny": ((16, 32, 64), (1, 1, 1)),
    "small": ((32, 64, 128, 256), (1, 2, 3, 2)),
    "base": ((64, 128, 256, 512), (2, 3, 6, 3)),
}
"""Size of `factorized` -> channels of each stage, and number of residual blocks in it."""

KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


def _normed(channels: int, filters: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Sequential:
    """A convolution, zero-padded so that only the stride changes the size, and batch normalisation."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(nn.Conv3d(channels, filters, kernel, stride, padding, bias=False), nn.BatchNorm3d(filters))


class Bottleneck(nn.Module):
    """A residual block: narrow, convolve in space, convolve in time, widen: (B,C,T,H,W) -> (B,filters,T',H',W').

    Source: Tran et al. 2018, "A closer look at spatiotemporal convolutions for action recognition" for the
    factorization, He et al. 2016, "Deep residual learning" for the bottleneck and the skip connection.
    """

    def __init__(
        self, channels: int, filters: int, stride: Triple, activation: ActivationName, drop_path: float
    ) -> None:
        super().__init__()
        make, narrow = ACTIVATIONS[activation], filters // 2
        self.branch = nn.Sequential(
            *(_normed(channels, narrow, (1, 1, 1)), make()),
            *(_normed(narrow, narrow, (1, 3, 3), (1, *stride[1:])), make()),
            *(_normed(narrow, narrow, (3, 1, 1), (stride[0], 1, 1)), make()),
            _normed(narrow, filters, (1, 1, 1)),
            DropPath(drop_path),
        )
        same = channels == filters and stride == (1, 1, 1)
        self.skip = nn.Identity() if same else _normed(channels, filters, (1, 1, 1), stride)
        self.activation = make()

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,T,H,W) -> (B,filters,T',H',W')."""
        return self.activation(self.skip(x) + self.branch(x))


class Factorized(ClipModel):
    """A full 3D stem, then factorized residual blocks with more filters as the resolution shrinks.

    The stem mixes colour, space and time in one kernel, since factorizing the first layer costs accuracy and saves
    little. Each later stage halves height and width; only the last stage halves time.
    """

    def __init__(self, config: ModelConfig, clip: ClipSize) -> None:
        super().__init__(clip, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        widths, depths = SIZES[config.size]
        self.stem = nn.Sequential(_normed(3, widths[0], (3, 7, 7), stride=(1, 2, 2)), ACTIVATIONS[config.activation]())
        self.blocks = nn.Sequential(*self._blocks(widths, depths, config))
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(config.dropout)
        self.head = small_head(widths[-1])

    @staticmethod
    def _blocks(widths: tuple[int, ...], depths: tuple[int, ...], config: ModelConfig) -> list[Bottleneck]:
        drops = torch.linspace(0, config.drop_path, sum(depths), device="cpu").tolist()
        blocks: list[Bottleneck] = []
        channels = widths[0]
        for stage, (filters, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                halved: Triple = (2 if stage == len(widths) - 1 else 1, 2, 2)
                stride = halved if block == 0 else (1, 1, 1)
                blocks.append(Bottleneck(channels, filters, stride, config.activation, drops[len(blocks)]))
                channels = filters
        return blocks

    def logits(self, pixels: Tensor) -> Tensor:
        """Stem, blocks, the mean over time and space, head."""
        features = self.flatten(self.pool(self.blocks(self.stem(pixels))))
        return self.head(self.dropout(features)).squeeze(1)


class TimeOnly(Frame):
    """Convolutions of kernel (5,1,1) over a backbone's feature maps: each position through time alone.

    They add a residual to the mean frame logit that starts at zero, as in the sequence models. It can only respond to
    changes over time, such as flicker. The first and last frame are repeated beyond the clip's ends, so that the ends
    do not look like flicker.
    """

    def __init__(self, config: ModelConfig, clip: ClipSize) -> None:
        super().__init__(config, clip)
        if self.backbone.pretrained_cfg["fixed_input_size"]:
            raise ConfigError(f"time_only needs a convolutional backbone, with feature maps, not {config.backbone!r}")
        self.time = nn.Sequential(
            nn.Conv3d(
                self.backbone.num_features, config.hidden, (5, 1, 1), padding=(2, 0, 0), padding_mode="replicate"
            ),
            ACTIVATIONS[config.activation](),
            nn.Conv3d(config.hidden, config.hidden, (5, 1, 1), padding=(2, 0, 0), padding_mode="replicate"),
            ACTIVATIONS[config.activation](),
        )
        self.residual = zero_head(2 * config.hidden)

    def logits(self, pixels: Tensor) -> Tensor:
        """Mean frame logit plus the residual of the time convolutions."""
        maps = self.maps(pixels)
        through_time = self.time(maps.unflatten(0, (-1, self.clip.frames)).transpose(1, 2))
        seen = mean_and_max(through_time.flatten(2).transpose(1, 2))
        return self.frame_logit(self.pooled(maps)) + self.residual(self.dropout(seen)).squeeze(1)


class Torchvision(ClipModel):
    """One of torchvision's video networks, designed for Kinetics clips of 16 frames at 112 pixels."""

    def __init__(self, make: Callable[..., Any], config: ModelConfig, clip: ClipSize) -> None:
        super().__init__(clip, KINETICS_MEAN, KINETICS_STD)
        network = make(weights=None)
        features = network.fc.in_features
        network.fc = nn.Identity()
        self.backbone = network
        frozen: dict[str, tuple[nn.Module, ...]] = {
            "none": (),
            "stem": (network.stem, network.layer1, network.layer2),
            "all": (network,),
        }
        for part in frozen[config.freeze]:
            part.requires_grad_(False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = small_head(features)
        if config.weights is not None:
            load_backbone(network, config.weights, classifier="fc")
            load_head(self.head, config.weights)

    def logits(self, pixels: Tensor) -> Tensor:
        """A new head on the network's pooled features."""
        return self.head(self.dropout(self.backbone(pixels))).squeeze(1)


def r3d_18(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """18 residual layers, all of them full 3D convolutions."""
    return Torchvision(video.r3d_18, config, clip)


def mc3_18(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """18 residual layers, 3D in the first stages and 2D after them."""
    return Torchvision(video.mc3_18, config, clip)


def r2plus1d_18(config: ModelConfig, clip: ClipSize) -> ClipModel:
    """18 residual layers, each convolution factorized into one in space and one in time."""
    return Torchvision(video.r2plus1d_18, config, clip)
