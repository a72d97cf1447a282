"""timm's networks as backbones for single frames."""

import difflib
from typing import Any

import timm
from timm.models import group_parameters
from timm.models._registry import get_deprecated_models

from dfd.errors import ConfigError
from dfd.models.contract import ClipSize, ModelConfig
from dfd.models.weights import load_backbone

FROZEN_GROUPS = 3
"""The stem and the first two stages, by timm's own grouping of layers."""


def create_backbone(config: ModelConfig, clip: ClipSize) -> Any:
    """Create the timm network that `config` names, without a classifier: frames (N,3,H,W) in, features (N,F) out.

    Random weights, or those of `config.weights`; then frozen according to `config.freeze`.

    Raises: ConfigError: timm does not know the network, or does not support these settings. CheckpointError: weights
    that do not fit it.
    """
    name = current_name(config.backbone)
    known = _known(name)
    options: dict[str, Any] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
    if known.fixed_input_size:  # a transformer, whose position embeddings depend on the input size
        options["img_size"] = (clip.height, clip.width)
    try:
        backbone = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError):
        raise ConfigError(f"backbone {config.backbone!r} cannot be built with {options}") from None
    if config.weights is not None:
        load_backbone(backbone, config.weights, known.classifier)
    freeze(backbone, config)
    return backbone


def current_name(name: str) -> str:
    """Convert a network's name from an older timm, or from the hub, to timm's current name.

    Raises ConfigError for a network that timm has dropped.

    >>> current_name("tf_efficientnet_b7_ns"), current_name("timm/resnet18.a1_in1k")
    ('tf_efficientnet_b7.ns_jft_in1k', 'resnet18.a1_in1k')
    """
    for hub in ("hf-hub:", "hf_hub:", "timm/"):
        name = name.removeprefix(hub)
    renamed = get_deprecated_models()
    if name not in renamed:
        return name
    current = renamed[name]
    if current is None:
        raise ConfigError(f"backbone is {name!r}, which timm has dropped, with nothing in its place: take another")
    return str(current)


def _known(name: str) -> Any:
    """timm's configuration of a network and its pretrained weights. Raises ConfigError for an unknown one."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise ConfigError(f"backbone is {name!r}, which timm lacks; near it are {', '.join(near) or 'none'}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        tagged = ", ".join(timm.list_pretrained(f"{architecture}.*"))
        raise ConfigError(f"backbone is {name!r}, a pretraining that timm lacks; it has {tagged or 'none'}") from None


def freeze(backbone: Any, config: ModelConfig) -> None:
    """Freeze the part of `backbone` that `config.freeze` names."""
    if config.freeze == "all":
        backbone.requires_grad_(False)
    if config.freeze == "stem":
        groups = group_parameters(backbone, backbone.group_matcher(coarse=True))
        for group in range(FROZEN_GROUPS):
            for name in groups[group]:
                backbone.get_parameter(name).requires_grad_(False)
