"""timm's networks as readers of single frames."""

import difflib
from typing import Any

import timm
from timm.models import group_parameters

from dfd.errors import ConfigError
from dfd.models.contract import ModelConfig
from dfd.models.weights import load_backbone

FROZEN_GROUPS = 3
"""The stem and the first two stages, as timm's own grouping of layers counts them."""


def create_backbone(config: ModelConfig) -> Any:
    """The timm network that `config` names, without a classifier: frames (N,3,H,W) in, features (N,F) out.

    Random weights, or those of `config.weights`; then frozen as `config.freeze` says.

    Raises: ConfigError: timm knows no such network. CheckpointError: weights that do not fit it.
    """
    architecture = config.backbone.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise ConfigError(f"backbone is {config.backbone!r}, which timm lacks; near it are {', '.join(near) or 'none'}")
    backbone = timm.create_model(
        config.backbone, pretrained=False, num_classes=0, drop_path_rate=config.drop_path or None
    )
    if config.weights is not None:
        load_backbone(backbone, config.weights, backbone.pretrained_cfg["classifier"])
    freeze(backbone, config)
    return backbone


def freeze(backbone: Any, config: ModelConfig) -> None:
    """Stop the gradients of the part of `backbone` that `config.freeze` names."""
    if config.freeze == "all":
        backbone.requires_grad_(False)
    if config.freeze == "stem":
        groups = group_parameters(backbone, backbone.group_matcher(coarse=True))
        for group in range(FROZEN_GROUPS):
            for name in groups[group]:
                backbone.get_parameter(name).requires_grad_(False)
