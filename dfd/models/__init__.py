"""All architectures behind one interface: uint8 clips (B,3,T,H,W) in, logits (B,) out, positive for fake."""

from collections.abc import Callable
from dataclasses import dataclass

import dfd.models.import_timm  # noqa: F401  # before the modules below, which import timm and torchvision
from dfd.errors import ConfigError
from dfd.models import conv3d, inflated, journal, recurrent
from dfd.models.contract import ClipModel, ClipSize, ModelConfig

__all__ = ["REGISTRY", "Architecture", "ClipModel", "ClipSize", "ModelConfig", "build"]


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    builder: creates the network. family: kind of network. purpose: when to choose it. temporal: whether the order of
    a clip's frames matters to it. takes_weights: whether it can start from pretrained weights, and freeze them.
    """

    builder: Callable[[ModelConfig, ClipSize], ClipModel]
    family: str
    purpose: str
    temporal: bool
    takes_weights: bool


REGISTRY: dict[str, Architecture] = {
    "frame": Architecture(
        recurrent.Frame,
        family="2D",
        purpose="the baseline that every temporal model must beat",
        temporal=False,
        takes_weights=True,
    ),
    "lstm": Architecture(
        recurrent.Lstm,
        family="2D + sequence",
        purpose="a trained frame model, to add the order of its frames",
        temporal=True,
        takes_weights=True,
    ),
    "gru": Architecture(
        recurrent.Gru,
        family="2D + sequence",
        purpose="as lstm, with a quarter fewer recurrent weights",
        temporal=True,
        takes_weights=True,
    ),
    "attention": Architecture(
        recurrent.Attention,
        family="2D + sequence",
        purpose="a trained frame model, to find the few frames that matter",
        temporal=False,
        takes_weights=True,
    ),
    "time_only": Architecture(
        conv3d.TimeOnly,
        family="2D + sequence",
        purpose="flicker that stays in one place of the picture",
        temporal=True,
        takes_weights=True,
    ),
    "inflated": Architecture(
        inflated.Inflated,
        family="2D inflated",
        purpose="motion between neighbouring frames, from 2D weights",
        temporal=True,
        takes_weights=True,
    ),
    "factorized": Architecture(
        conv3d.Factorized,
        family="3D",
        purpose="training from nothing; tiny, small and base",
        temporal=True,
        takes_weights=False,
    ),
    "r3d_18": Architecture(
        conv3d.r3d_18,
        family="3D, Kinetics",
        purpose="a GPU and Kinetics weights: full 3D",
        temporal=True,
        takes_weights=True,
    ),
    "mc3_18": Architecture(
        conv3d.mc3_18,
        family="3D, Kinetics",
        purpose="the same in a third of the parameters",
        temporal=True,
        takes_weights=True,
    ),
    "r2plus1d_18": Architecture(
        conv3d.r2plus1d_18,
        family="3D, Kinetics",
        purpose="the same, the most accurate of the three on Kinetics",
        temporal=True,
        takes_weights=True,
    ),
    "journal_conv3d": Architecture(
        journal.conv3d,
        family="journal",
        purpose="comparison: the first model, three cubes",
        temporal=True,
        takes_weights=False,
    ),
    "journal_separable": Architecture(
        journal.separable,
        family="journal",
        purpose="comparison: the second, a kernel an axis",
        temporal=True,
        takes_weights=False,
    ),
    "journal_separable_large": Architecture(
        journal.separable_large,
        family="journal",
        purpose="comparison: the second, seven blocks deep",
        temporal=True,
        takes_weights=False,
    ),
}


def build(config: ModelConfig, frames: int, height: int, width: int) -> ClipModel:
    """Build the network that `config` describes, for clips of `frames` frames of `height` x `width` pixels.

    Raises: ConfigError: an unknown name or backbone, a setting that the network does not support, or an empty clip.
    CheckpointError: weights that do not fit.

    >>> model = build(ModelConfig(name="journal_conv3d"), frames=15, height=1080, width=1920)
    >>> sum(parameter.numel() for parameter in model.parameters())
    22648
    """
    architecture = REGISTRY.get(config.name)
    if architecture is None:
        raise ConfigError(f"unknown model {config.name!r}; there are {', '.join(REGISTRY)}")
    if min(frames, height, width) < 1:
        raise ConfigError(f"a clip of {frames}x{height}x{width} (frames, height, width) is empty")
    if not architecture.takes_weights and (config.weights is not None or config.freeze != "none"):
        raise ConfigError(f"{config.name} has no backbone: it takes neither weights nor freeze")
    return architecture.builder(config, ClipSize(frames, height, width))
