"""The interface of every architecture, and the settings that choose one."""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from dfd.config import Config
from dfd.errors import ConfigError

ActivationName = Literal["elu", "relu", "tanh", "sigmoid", "gelu"]


class ModelConfig(Config):
    """Which architecture, and how it is built. Its name is a key of REGISTRY; the clip's size comes from the data."""

    name: str = Field("lstm", description="architecture, a name that `dfd models` lists")
    backbone: str = Field(
        default="tf_efficientnet_lite0",
        description="timm network that reads single frames (frame, lstm, gru, …, inflated)",
    )
    weights: Path | None = Field(
        default=None, description="state dict to start from: the backbone's, or a whole torchvision video network's"
    )
    size: Literal["tiny", "small", "base"] = Field(default="small", description="how wide and deep `factorized` is")
    activation: ActivationName = Field(
        default="elu", description="after each convolution of the journal's networks, factorized and time_only"
    )
    dense_activation: ActivationName | None = Field(
        default=None,
        description="after each dense layer but the last of the journal's networks; by default the journal's choice",
    )
    freeze: Literal["none", "stem", "all"] = Field(
        default="none",
        description="frozen part of the backbone: nothing, the stem and first two stages, or all",
    )
    hidden: int = Field(
        default=128, ge=1, le=4096, description="width of a recurrent cell, an attention or a time convolution"
    )
    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="probability that a feature is dropped before the last layer"
    )
    drop_path: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="probability that the last residual block is skipped; earlier ones less often",
    )
    inflation: Literal["centre", "third"] = Field(
        default="centre",
        description="taps of `inflated` at the start: the 2D weight in the middle one, or a third in each",
    )


class ClipSize(NamedTuple):
    """Size of a clip: number of frames, then height and width in pixels."""

    frames: int
    height: int
    width: int


class ClipModel(nn.Module):
    """A network that reads clips: uint8 (B,3,T,H,W) RGB in, one logit (B,) per clip out, positive for fake.

    Mean and standard deviation, of colours in [0,1], are buffers, saved with the weights. A module whose parameters are
    all frozen stays in eval mode, so that its batch statistics do not change.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, clip: ClipSize, mean: tuple[float, ...] = (0.0, 0.0, 0.0), std: tuple[float, ...] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B,) of `clips` (B,3,T,H,W) uint8, each of the size that the network was built for.

        Raises: ConfigError: clips of another shape or type.
        """
        if clips.ndim != 5 or tuple(clips.shape[1:]) != (3, *self.clip) or clips.dtype != torch.uint8:
            wanted = ", ".join(map(str, (3, *self.clip)))
            raise ConfigError(
                f"clips are {tuple(clips.shape)} {str(clips.dtype).removeprefix('torch.')}: "
                f"this network was built for (any, {wanted}) uint8"
            )
        pixels = clips.to(self.mean.dtype).sub_(255 * self.mean).div_(255 * self.std)
        return self.logits(pixels)

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits (B,) of normalised clips (B,3,T,H,W) in floating point."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "ClipModel":
        """Set training or eval mode; frozen modules stay in eval mode."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self
