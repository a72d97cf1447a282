"""Every architecture under one contract: uint8 clips (B,3,T,H,W) in, logits (B,) out, positive for fake."""

from collections.abc import Callable
from dataclasses import dataclass

import dfd.torchvision_ops  # noqa: F401  # before timm and torchvision, which the modules below import
from dfd.errors import ConfigError
from dfd.models import conv3d, inflated, journal, recurrent
from dfd.models.contract import ClipModel, ClipSize, ModelConfig

__all__ = ["REGISTRY", "Architecture", "ClipModel", "ClipSize", "ModelConfig", "build"]


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    builder: makes the network. family: what it is built of. purpose: when to choose it. temporal: whether the order
    of a clip's frames matters to it. takes_weights: whether it can start from, and freeze, somebody's weights.
    """

    builder: Callable[[ModelConfig, ClipSize], ClipModel]
    family: str
    purpose: str
    temporal: bool
    takes_weights: bool


REGISTRY: dict[str, Architecture] = {
    "frame": Architecture(recurrent.Frame, "2D", "the baseline that every temporal model must beat", False, True),
    "lstm": Architecture(
        recurrent.Lstm, "2D + sequence", "a trained frame model, and how its frames follow", True, True
    ),
    "gru": Architecture(recurrent.Gru, "2D + sequence", "as lstm, a quarter lighter", True, True),
    "attention": Architecture(
        recurrent.Attention, "2D + sequence", "fakes that show in a few frames only", False, True
    ),
    "time_only": Architecture(conv3d.TimeOnly, "2D + time", "flicker, place by place", True, True),
    "inflated": Architecture(
        inflated.Inflated, "2D inflated", "motion between neighbours, from 2D weights", True, True
    ),
    "factorized": Architecture(conv3d.Factorized, "3D", "no weights at hand; three sizes", True, False),
    "r3d_18": Architecture(conv3d.r3d_18, "3D, Kinetics", "full 3D, with Kinetics weights and a GPU", True, True),
    "mc3_18": Architecture(conv3d.mc3_18, "3D, Kinetics", "a third of r3d_18's parameters", True, True),
    "r2plus1d_18": Architecture(conv3d.r2plus1d_18, "3D, Kinetics", "the most accurate on Kinetics", True, True),
    "journal_conv3d": Architecture(journal.conv3d, "journal", "where it began: three 3D convolutions", True, False),
    "journal_separable": Architecture(journal.separable, "journal", "one kernel an axis, very small", True, False),
    "journal_separable_large": Architecture(journal.separable_large, "journal", "the same, seven blocks", True, False),
}


def build(config: ModelConfig, frames: int, height: int, width: int) -> ClipModel:
    """The network that `config` describes, for clips of `frames` pictures of `height` x `width` pixels.

    Raises: ConfigError: an unknown name or backbone, a setting that the network cannot honour, or an empty clip.
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
