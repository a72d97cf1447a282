"""Scores of the starting weights, compared with those after training."""

import json

import pandas as pd
import pytest
import torch

from dfd.errors import ConfigError
from dfd.inference.bundle import Bundle, load_member
from dfd.inference.info import BundleInfo
from dfd.inference.predict import score_videos
from dfd.models.checkpoint import Header, read_checkpoint, write_checkpoint
from dfd.training.clock import Runtime
from dfd.training.crossval import crossval
from dfd.training.datasets import labelled
from dfd.training.fit import CHECKPOINT, train
from dfd.training.groups import split
from dfd.training.zero_shot import compare_with_start, zero_shot
from tests.test_lineage import SMALL, begun_from

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stranger(small_store, tmp_path_factory):
    """A model whose lineage contains none of the videos."""
    folder = tmp_path_factory.mktemp("stranger")
    header, weights = read_checkpoint(train(labelled(small_store), small_store, SMALL, folder / "run"))
    path = folder / "stranger.ckpt"
    write_checkpoint(path, Header(**{**dict(header), "videos": ("elsewhere.mp4",)}), weights)
    return path


def test_starting_weights_score_every_video_on_the_same_folds(small_store, stranger, tmp_path):
    out = tmp_path / "zero"
    found = zero_shot(small_store, begun_from(stranger), 2, out)
    assert json.loads((out / "score.json").read_text())["score"] == found
    frame = pd.read_csv(out / "folds.csv")
    assert frame["fold"].tolist() == split(labelled(small_store), 2, 0)["fold"].tolist()
    made = pd.read_csv(out / "oof.csv", index_col="filename")["label"].to_dict()
    member = load_member(stranger, torch.device("cpu"))
    alone = Bundle(BundleInfo(faces=member[1].faces, members=()), (member,))
    record = next(r for r in labelled(small_store) if r.video == "real1.mp4")
    (score,) = score_videos([record], alone)
    assert made["real1.mp4"] == pytest.approx(score.probability, abs=1e-6)
    assert (found["videos"], found["seen_by_weights"]) == (9, 0)


def test_a_cross_validation_is_compared_with_its_start(small_store, stranger, tmp_path):
    made = crossval(small_store, begun_from(stranger), 2, tmp_path / "cv")
    start = compare_with_start(small_store, stranger, tmp_path / "cv")
    lost = made.score["balanced_log_loss"] - start["balanced_log_loss"]
    assert start["against"]["balanced_log_loss"] == pytest.approx(lost, abs=1e-9)
    assert compare_with_start(small_store, stranger, tmp_path / "cv") == start  # reused, not scored again
    assert compare_with_start(small_store, None, tmp_path / "cv") is None


def test_a_model_that_is_invalid_or_has_seen_the_videos_is_refused(small_store, stranger, tmp_path):
    with pytest.raises(ConfigError, match="give --model.weights a checkpoint of dfd, not None"):
        zero_shot(small_store, SMALL, 2, tmp_path / "a")
    train(labelled(small_store), small_store, SMALL, tmp_path / "run")
    trained = begun_from(tmp_path / "run" / CHECKPOINT)
    with pytest.raises(ConfigError, match="was trained on 8 of the 9 videos"):
        zero_shot(small_store, trained, 2, tmp_path / "b")
    assert zero_shot(small_store, trained, 2, tmp_path / "b", Runtime(allow_seen=True))["seen_by_weights"]
    with pytest.raises(ConfigError, match="is of other weights than"):
        zero_shot(small_store, begun_from(stranger), 2, tmp_path / "b")
