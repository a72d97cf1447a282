"""Describe an architecture: its layers, its cost, and its speed on this machine."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfd.models import REGISTRY, ClipModel, ModelConfig, build

LISTED = (
    *(nn.Conv2d, nn.Conv3d),
    *(nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.Flatten, nn.Linear, nn.RNNBase),
)
"""Kinds of layer that a description lists: convolution, pooling, flatten, dense and recurrent."""


def describe(config: ModelConfig, frames: int, height: int, width: int) -> dict[str, Any]:
    """List the layers of a network, in the order in which a clip of this size passes them, without computing anything.

    Returns {"name", "parameters", "layers": [{"name", "output_shape", "parameters"}, …]}, with one entry per
    convolution, pooling, flatten, dense or recurrent layer. output_shape omits the batch: [channels, frames, height,
    width], or [features] of a clip or of each of its frames. Weights are not read.

    Raises: ConfigError: as `build`.

    >>> described = describe(ModelConfig(name="journal_separable"), frames=15, height=1080, width=1920)
    >>> described["parameters"], described["layers"][1]
    (1660, {'name': 'conv3d_1', 'output_shape': [3, 13, 270, 480], 'parameters': 30})
    """
    model = _abstract(config, frames, height, width)
    layers: list[dict[str, Any]] = []

    def note(name: str, layer: nn.Module, output: Any) -> None:
        shape = _shape(output[0] if isinstance(layer, nn.RNNBase) else output)
        layers.append({"name": name, "output_shape": shape, "parameters": count_parameters(layer)})

    for path, layer in model.named_modules():
        if isinstance(layer, LISTED):
            name = path.removeprefix("layers.")
            layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
    model(_clips(model, "meta"))
    return {"name": config.name, "parameters": count_parameters(model), "layers": layers}


def table(
    frames: int = 16, side: int = 112, seconds: float = 1.0, progress: Callable[[int, int, str], None] | None = None
) -> list[dict[str, Any]]:
    """One row per architecture with default settings, for clips of `frames` frames of `side` pixels squared.

    Each has name, family, temporal, parameters, multiply_adds (per clip), clips_per_second (measured on this machine,
    one clip at a time, for `seconds`) and purpose. Takes half a minute on two cores. `progress` is called for each row.
    """
    rows: list[dict[str, Any]] = []
    for name, architecture in REGISTRY.items():
        if progress:
            progress(len(rows), len(REGISTRY), name)
        config = ModelConfig(name=name)
        rows.append(
            {
                "name": name,
                "family": architecture.family,
                "temporal": architecture.temporal,
                "parameters": count_parameters(_abstract(config, frames, side, side)),
                "multiply_adds": multiply_adds(config, frames, side, side),
                "clips_per_second": clips_per_second(build(config, frames, side, side), seconds),
                "purpose": architecture.purpose,
            }
        )
    return rows


def count_parameters(module: nn.Module) -> int:
    """Number of parameters of `module`, frozen ones included."""
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(config: ModelConfig, frames: int, height: int, width: int) -> int:
    """Number of multiply-adds for the logit of one clip; nothing is computed.

    >>> multiply_adds(ModelConfig(name="journal_conv3d"), frames=3, height=3, width=3)
    1061
    """
    model = _abstract(config, frames, height, width)
    with FlopCounterMode(display=False) as counter:
        model(_clips(model, "meta"))
    return counter.get_total_flops() // 2


def clips_per_second(model: ClipModel, seconds: float = 1.0) -> float:
    """Clips per second through `model`, one at a time, on the GPU if there is one: the fastest measured in `seconds`.

    At least two are measured. The fastest counts, since other load on the machine can only slow a clip down.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).eval()
    clips = _clips(model, device)
    took: list[float] = []
    with torch.inference_mode():
        model(clips).tolist()  # warm up: allocate memory, choose kernels; tolist waits for the GPU
        while len(took) < 2 or sum(took) < seconds:
            start = time.perf_counter()
            model(clips).tolist()
            took.append(time.perf_counter() - start)
    return 1 / min(took)


def _abstract(config: ModelConfig, frames: int, height: int, width: int) -> ClipModel:
    """The network on the meta device: shapes without data, so that 1080x1920 needs no memory."""
    with torch.device("meta"):
        return build(config.replace(weights=None), frames, height, width).eval()


def _clips(model: ClipModel, device: str) -> Tensor:
    return torch.zeros((1, 3, *model.clip), dtype=torch.uint8, device=device)


def _shape(output: Tensor) -> list[int]:
    if output.ndim == 5:
        return list(output.shape[1:])
    if output.ndim == 4:  # the frames of one clip, in the batch dimension
        frames, channels, height, width = output.shape
        return [channels, frames, height, width]
    return [output.shape[-1]]
