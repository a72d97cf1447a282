"""Compute frozen batch normalisation within the convolution before it: a third less time for frozen layers on a CPU."""

from collections.abc import Callable, Iterator
from typing import Any

from timm.layers import BatchNormAct2d
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PAIRS: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    EfficientNet: (("conv_stem", "bn1"), ("conv_head", "bn2")),
    DepthwiseSeparableConv: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
}
"""By kind of timm's module: its convolutions, each with the normalisation that alone reads its output."""


def fold_frozen(network: nn.Module) -> None:
    """Fold frozen batch normalisation into the convolutions of EfficientNets, within float rounding (1e-6).

    Weights and names of `network` stay as they are; only the forward functions change. Call it after the
    weights are loaded and train() has put frozen layers in eval mode. Weights that are loaded later have no effect on
    these layers.
    """
    for convolution, norm in _frozen_pairs(network):
        convolution.forward = fuse_conv_bn_eval(convolution, norm).forward
        norm.forward = _activation(norm)


def _frozen_pairs(network: nn.Module) -> Iterator[tuple[Any, Any]]:
    for module in network.modules():
        for names in PAIRS.get(type(module), ()):
            convolution, norm = (getattr(module, name) for name in names)
            learns = any(parameter.requires_grad for part in (convolution, norm) for parameter in part.parameters())
            if type(norm) is BatchNormAct2d and not (learns or norm.training):
                yield convolution, norm


def _activation(norm: Any) -> Callable[[Tensor], Tensor]:
    """What is left of timm's BatchNormAct2d."""
    return lambda x: norm.act(norm.drop(x))
