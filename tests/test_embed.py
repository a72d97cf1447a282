import dataclasses
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from dfd.errors import CheckpointError, DfdError
from dfd.faces import descriptor
from dfd.faces.build import build_store
from dfd.faces.crops import aligned
from dfd.faces.embed import SIDE, Embedder
from dfd.faces.records import load_crops, load_geometry
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.models.identity import identity_weights
from dfd.types import Video
from tests.test_descriptor import write_dlib

from facenet_pytorch import InceptionResnetV1  # isort: skip

CLIPS = Path(__file__).parents[2] / "shared/data/minibench"
PEOPLE = ("ffpp_183.mp4", "ffpp_NeuralTextures_183_253.mp4"), ("ffpp_253.mp4", "ffpp_NeuralTextures_253_183.mp4")
"""Clips of one person each: the second is the first with another mouth."""


def write_weights(path):
    """Write weights as facenet-pytorch publishes them, with a classifier; the values are random, as real weights are
    not available here."""
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


@pytest.fixture(scope="module")
def dlib(tmp_path_factory):
    return Embedder(write_dlib(tmp_path_factory.mktemp("weights") / "dlib.pt"))


def test_an_embedding_has_length_1_and_ignores_the_rest_of_the_batch(embedder):
    face = skimage.data.astronaut()[60:220, 160:320]
    assert face.shape == (SIDE, SIDE, 3)
    other = face[::-1].copy()
    found = embedder.embed(np.stack([face, other, face]))
    assert (found.shape, found.dtype) == ((3, 512), np.float32)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert found[0] == pytest.approx(found[2], abs=1e-6)
    assert found[0] == pytest.approx(embedder.embed(face[None])[0], abs=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_facenet_embeddings_use_its_own_network_and_scaling(embedder, weights):
    """Scaled as in its published example: (pixel - 127.5) / 128."""
    face = skimage.data.astronaut()[60:220, 160:320]
    net = InceptionResnetV1(pretrained=None)
    net.load_state_dict({k: v for k, v in torch.load(weights, weights_only=True).items() if "logits" not in k})
    with torch.inference_mode():
        wanted = net.eval()((torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() - 127.5) / 128.0)
    assert embedder.embed(face[None])[0] == pytest.approx(wanted[0].numpy(), abs=1e-6)


def test_the_weights_determine_the_network(embedder, dlib):
    assert (embedder.side, embedder.aligned, embedder.distance) == (160, False, 1.0)
    assert (dlib.side, dlib.aligned, dlib.distance) == (150, True, 0.5)
    chips = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3)).astype(np.uint8)
    found = dlib.embed(chips)
    assert (found.shape, found.dtype) == ((2, 128), np.float32)
    assert found[1] == pytest.approx(dlib.embed(chips[1:])[0], abs=1e-5)


def test_dlib_gets_aligned_faces_and_facenet_gets_face_boxes(small_store, embedder, dlib):
    (record,) = (record for record in small_store.records() if record.video == "real0.mp4")
    face = record.tracklets[0]
    crops, landmarks = load_crops(face, [0, 5]), load_geometry(face)[2][[0, 5]]
    chips = [aligned(crop, five, descriptor.CHIP, 150) for crop, five in zip(crops, landmarks, strict=True)]
    assert dlib.describe(face, [0, 5]) == pytest.approx(dlib.embed(np.stack(chips)), abs=1e-5)
    assert embedder.describe(face, np.array([5])).shape == (1, 512)
    wide = dataclasses.replace(face, margin=0.9)
    with pytest.raises(ValueError, match="wider than the stored"):
        embedder.describe(wide, [0])


def test_foreign_embedding_weights_are_refused(tmp_path):
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
    torch.save({"conv32_down.weight": torch.zeros(32, 3, 7, 7)}, tmp_path / "half.pt")
    with pytest.raises(CheckpointError, match="not weights of dlib's face recognition network: Missing key"):
        Embedder(tmp_path / "half.pt")


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no clips of real people in {CLIPS}")
def test_clips_of_one_person_are_closer_than_clips_of_two(tmp_path):
    """With dlib's own weights, from the registry."""
    try:
        identity_weights(tmp_path / "identity.pt")
    except DfdError as error:
        pytest.skip(f"no weights: {error}")
    videos = [Video(CLIPS / name, name, None) for pair in PEOPLE for name in pair]
    store = build_store(videos, FaceStore.create(tmp_path / "faces", FacesConfig(frames=30)))
    dlib = Embedder(tmp_path / "identity.pt")
    a, b, c, d = (dlib.describe(store.record(video).tracklets[0], [0])[0] for video in videos)
    assert max(np.linalg.norm(a - b), np.linalg.norm(c - d)) < dlib.distance
    assert min(np.linalg.norm(one - other) for one in (a, b) for other in (c, d)) > dlib.distance
