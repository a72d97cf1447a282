import time

import pandas as pd
import pytest
import torch

from dfd.clips.augment import NOTHING
from dfd.errors import ConfigError, OutOfTimeError
from dfd.models.checkpoint import load_model, read_checkpoint
from dfd.training import fit, patience
from dfd.training import held as aside
from dfd.training.clock import Runtime
from dfd.training.config import TrainConfig
from dfd.training.fit import CHECKPOINT, train
from dfd.training.held import HeldVideos
from dfd.training.patience import judges

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def two_parts(monkeypatch):
    """The small dataset has four people: two of them are held out."""
    monkeypatch.setattr(patience, "INNER", 2)


@pytest.fixture
def videos(small_store):
    return [record for record in small_store.records() if record.tracklets]


@pytest.fixture
def wild(small_recipe):
    """A learning rate so high that the loss rises."""
    settings = {"epochs": 12, "lr": 0.3, "warmup": 0.0, "ema": 0.5, "patience": 2}
    return small_recipe.replace(augment=NOTHING, train=small_recipe.train.replace(**settings))


def curve(run):
    return pd.read_csv(run / "metrics.csv").drop(columns="seconds")


def test_groups_stay_whole_and_nothing_is_held_out_without_patience(videos):
    rows = [(video.video, video.label, video.source) for video in videos]
    kept = judges(rows, TrainConfig(patience=1))
    assert len(kept) == 4
    assert {name.replace("fake", "real") for name in kept} == {name for name in kept if "real" in name}
    joined = [(name, label, "real0.mp4" if name in ("real1.mp4", "fake1.mp4") else s) for name, label, s in rows]
    assert len({"real0.mp4", "real1.mp4"} & judges(joined, TrainConfig(patience=1))) in (0, 2)
    assert judges(rows, TrainConfig()) == set()
    with pytest.raises(ConfigError, match="--train.patience takes one of 2 parts to judge by: "):
        judges([row for row in rows if row[1] == 0], TrainConfig(patience=1))


def test_early_stopping_keeps_the_best_weights(videos, small_store, wild, tmp_path):
    path = train(videos, small_store, wild, tmp_path / "run")
    losses = curve(tmp_path / "run")["inner_loss"]
    best = int(losses.idxmin())
    assert len(losses) == best + 3 < 12
    model, header = load_model(path)
    kept = judges([(v.video, v.label, v.source) for v in videos], wild.train)
    judged = HeldVideos(tuple(v for v in videos if v.video in kept), header)
    assert judged.measure(model)["held_loss"] == pytest.approx(losses[best], abs=1e-4)
    assert set(header.videos) == {video.video for video in videos}  # held-out videos count as seen, too


def test_validation_videos_are_neither_trained_on_nor_scored(videos, small_store, wild, tmp_path, monkeypatch):
    learned, judged = set(), set()
    held = [video for video in videos if video.video in ("real3.mp4", "fake3.mp4")]
    seen = [video for video in videos if video not in held]
    made, labels = fit.training_clips, aside.HeldVideos.labels
    monkeypatch.setattr(fit, "training_clips", lambda v, *more: learned.update(x.video for x in v) or made(v, *more))
    monkeypatch.setattr(aside.HeldVideos, "labels", lambda self: judged.update(labels(self)) or labels(self))
    monkeypatch.setattr(patience, "INNER", 3)
    train(seen, small_store, wild, tmp_path / "run")
    assert not learned & judged
    assert learned | judged == {video.video for video in seen}


def test_a_repeatedly_stopped_run_equals_an_uninterrupted_one(videos, small_store, wild, tmp_path):
    whole = read_checkpoint(train(videos, small_store, wild, tmp_path / "whole"))[1]
    while not (tmp_path / "halting" / "done").exists():
        try:
            train(videos, small_store, wild, tmp_path / "halting", runtime=Runtime(until=time.monotonic()))
        except OutOfTimeError:
            continue
    (tmp_path / "halting" / "done").unlink()  # killed just before it was written
    train(videos, small_store, wild, tmp_path / "halting")
    halting = read_checkpoint(tmp_path / "halting" / CHECKPOINT)[1]
    assert all(torch.equal(whole[name], halting[name]) for name in whole)
    pd.testing.assert_frame_equal(curve(tmp_path / "whole"), curve(tmp_path / "halting"))
