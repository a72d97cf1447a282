"""A 2D network inflated with taps through time.

Each expanding 1x1 convolution of its inverted residual blocks also reads the previous and the next frame, with a kernel
of (3,1,1). With the 2D weight in the middle tap and zeros around it, the network starts as an exact copy of the 2D one.
Sources: Carreira and Zisserman 2017, "Quo vadis, action recognition?"; the sequence model of NTechLab, 3rd in the
Deepfake Detection Challenge, which puts a third of the weight in each tap.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from dfd.errors import ConfigError
from dfd.models.contract import ClipSize, ModelConfig
from dfd.models.recurrent import Frame


class TemporalTaps(nn.Conv2d):
    """A convolution of kernel (3,1,1) on clips with frames in the batch dimension: (B*T,C,H,W) -> (B*T,filters,H,W).

    Computed as a 1x1 convolution of three neighbouring frames' channels, since Conv3d takes a CPU 1.5 to 3 times as
    long. A clip's first and last frame are repeated beyond its ends.
    """

    def __init__(self, flat: nn.Conv2d, frames: int, inflation: Literal["centre", "third"]) -> None:
        super().__init__(3 * flat.in_channels, flat.out_channels, 1, bias=flat.bias is not None)
        self.frames = frames
        weight = flat.weight.detach()
        around, middle = (torch.zeros_like(weight), weight) if inflation == "centre" else (weight / 3, weight / 3)
        with torch.no_grad():
            self.weight.copy_(torch.cat([around, middle, around], dim=1))
            if flat.bias is not None and self.bias is not None:
                self.bias.copy_(flat.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B*T,C,H,W) -> (B*T,filters,H,W)."""
        now = x.unflatten(0, (-1, self.frames))
        before = torch.cat([now[:, :1], now[:, :-1]], dim=1)
        after = torch.cat([now[:, 1:], now[:, -1:]], dim=1)
        around = torch.cat([before, now, after], dim=2).flatten(0, 1)
        return super().forward(around.contiguous(memory_format=torch.channels_last))


class Inflated(Frame):
    """`frame` with its blocks inflated to three frames. A frozen block stays 2D."""

    def __init__(self, config: ModelConfig, clip: ClipSize) -> None:
        super().__init__(config, clip)
        blocks = [block for block in self.backbone.modules() if _inflatable(block)]
        if not blocks:
            raise ConfigError(
                f"nothing to inflate in {config.backbone!r} with freeze {config.freeze!r}: "
                "inflated needs inverted residual blocks that learn, as in EfficientNet or MobileNetV3"
            )
        for block in blocks:
            block.conv_pw = TemporalTaps(block.conv_pw, clip.frames, config.inflation)
        self.backbone.to(memory_format=torch.channels_last)


def _inflatable(block: Any) -> bool:
    """Whether `block` is a trainable inverted residual: in timm only these have both convolutions."""
    inverted = hasattr(block, "conv_pw") and hasattr(block, "conv_pwl")
    return inverted and block.conv_pw.kernel_size == (1, 1) and block.conv_pw.weight.requires_grad
