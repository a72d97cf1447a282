"""Read and write checkpoints: weights, and a header with everything needed to use them."""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.tracklets import FacesConfig
from dfd.models import ModelConfig, build
from dfd.models.weights import read_tensors, write_tensors
from dfd.versions import versions

FORMAT = 2
KEY = "dfd"
"""Key of the header in a checkpoint; other keys are Lightning's."""
LARGE = 4096
"""Tensors with fewer elements are not rounded to 16 bits: batch statistics, biases and first layers are 1 % of
EfficientNet-Lite0's size, and cause half of the rounding error in a logit."""
SHORT = (torch.bfloat16, torch.half)
"""What a bundle's member stores weights in, now and in earlier bundles."""


class Header(Config):
    """The header of a checkpoint."""

    format: int = FORMAT
    model: ModelConfig
    clip: ClipConfig
    faces: FacesConfig
    prior: float = Field(description="share of fakes among the clips that it was trained on")
    training: dict[str, Any] = Field(default_factory=dict, description="recipe, its settings, seed, fold")
    videos: tuple[str, ...] = Field(
        (),
        description="names of the videos and pictures that it, or the weights it began from, were trained on, and of "
        "what those were made from; people, where known",
    )
    versions: dict[str, str] = Field(default_factory=versions)


def read_checkpoint(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    """Read header and weights (as 32 bits) of a training checkpoint or a bundle's member. Raises CheckpointError."""
    saved = read_tensors(path)
    if not isinstance(saved, dict) or not isinstance(saved.get(KEY), dict):
        raise CheckpointError(f"{path} is not a checkpoint of dfd: it has no {KEY!r} header")
    header = _header(saved[KEY], path)
    weights = {name.removeprefix("model."): tensor for name, tensor in saved["state_dict"].items()}
    return header, {name: tensor.float() if tensor.dtype in SHORT else tensor for name, tensor in weights.items()}


def is_checkpoint(path: Path) -> bool:
    """Whether a file of weights is a checkpoint of dfd, not just a backbone. Raises CheckpointError."""
    saved = read_tensors(path)
    return isinstance(saved, dict) and isinstance(saved.get(KEY), dict)


def seen_by(weights: Path | None) -> tuple[str, ...]:
    """Header.videos of starting weights; empty without weights, or if they are not a checkpoint of dfd.

    Raises CheckpointError.
    """
    if weights is None:
        return ()
    saved = read_tensors(weights)
    return _header(saved[KEY], weights).videos if isinstance(saved, dict) and KEY in saved else ()


def _header(about: Any, path: Path) -> Header:
    """Parse the header of the checkpoint `path`. Raises CheckpointError."""
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path} is of format {found!r}; this version reads {FORMAT}: train it again")
    try:
        return Header.read(about, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def write_checkpoint(path: Path, header: Header, weights: dict[str, torch.Tensor], half: bool = False) -> None:
    """Write header and weights, without the optimizer's state, atomically and durably.

    half: store tensors of LARGE or more elements as bfloat16, and compress the file: two fifths of the size. On 96
    faces that moved logits by 0.02 (RMS), of a standard deviation of 1.4 to 2.1. float16 compresses less.
    """
    if half:
        weights = {name: tensor.bfloat16() if tensor.numel() >= LARGE else tensor for name, tensor in weights.items()}
    write_tensors(path, {KEY: header.model_dump(mode="json"), "state_dict": weights}, durable=True, small=half)


def load_model(path: Path) -> tuple[nn.Module, Header]:
    """Load the model in evaluation mode, and its header. Raises CheckpointError when the weights do not fit."""
    header, weights = read_checkpoint(path)
    model = build_model(header.model.replace(weights=None), header.clip)  # its own weights are loaded next
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit {header.model.name}: {_first_line(error)}") from None
    return model.eval(), header


def build_model(model: ModelConfig, clip: ClipConfig) -> nn.Module:
    """Build the network that `model` names, for clips as described by `clip`."""
    return build(model, clip.length, clip.size, clip.size)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
