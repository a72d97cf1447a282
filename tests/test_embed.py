import numpy as np
import pytest
import skimage.data
import torch

from dfd.errors import CheckpointError
from dfd.faces.embed import SIDE, Embedder

from facenet_pytorch import InceptionResnetV1  # isort: skip


def write_weights(path):
    """As facenet-pytorch publishes them, with a classifier of some people; the values are random, since no weights are
    to be had here."""
    torch.manual_seed(0)
    state = InceptionResnetV1(pretrained=None).state_dict()
    torch.save({**state, "logits.weight": torch.zeros(3, 512), "logits.bias": torch.zeros(3)}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "faces.pt")


@pytest.fixture(scope="module")
def embedder(weights):
    return Embedder(weights)


def test_one_picture_has_one_embedding_of_length_1_whatever_it_comes_with(embedder):
    face = skimage.data.astronaut()[60:220, 160:320]
    assert face.shape == (SIDE, SIDE, 3)
    other = face[::-1].copy()
    found = embedder.embed(np.stack([face, other, face]))
    assert (found.shape, found.dtype) == ((3, 512), np.float32)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert found[0] == pytest.approx(found[2], abs=1e-6)
    assert found[0] == pytest.approx(embedder.embed(face[None])[0], abs=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_it_is_facenets_own_network_on_its_own_scale(embedder, weights):
    """As its published example does it: (pixel - 127.5) / 128."""
    face = skimage.data.astronaut()[60:220, 160:320]
    net = InceptionResnetV1(pretrained=None)
    net.load_state_dict({k: v for k, v in torch.load(weights, weights_only=True).items() if "logits" not in k})
    with torch.inference_mode():
        wanted = net.eval()((torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() - 127.5) / 128.0)
    assert embedder.embed(face[None])[0] == pytest.approx(wanted[0].numpy(), abs=1e-6)


def test_what_are_no_such_weights_is_refused(tmp_path, weights):
    with pytest.raises(CheckpointError, match="no such file of weights"):
        Embedder(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("text.pt", "list.pt"):
        with pytest.raises(CheckpointError, match="not a state dict"):
            Embedder(tmp_path / name)
    torch.save({"last_bn.weight": torch.zeros(512)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not weights of facenet_pytorch's InceptionResnetV1: Missing key"):
        Embedder(tmp_path / "other.pt")
