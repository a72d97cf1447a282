"""Two processes on a CPU in place of two GPUs: the code differs only in how gradients are exchanged."""

import re
import shutil

import pandas as pd
import pytest
import torch

from dfd.errors import ConfigError, OutOfTimeError, StoreError
from dfd.faces.store import FaceStore
from dfd.models import ModelConfig
from dfd.models.checkpoint import read_checkpoint
from dfd.training import devices
from dfd.training.clock import Runtime
from dfd.training.fit import train
from dfd.training.loop import seeded_model

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(small_store):
    return small_store.records()


def weights(path):
    return read_checkpoint(path)[1]


def test_two_processes_train_the_same_weights_as_one(videos, small_store, small_recipe, tmp_path):
    """Gradients are averaged over both; with frozen batch statistics the final weights are equal."""
    still = small_recipe.replace(
        model=ModelConfig(name="frame", freeze="all", dropout=0, drop_path=0, backbone="test_efficientnet"),
        train=small_recipe.train.replace(batch=8, per_load=2, optimizer="sgd", lr=0.1, ema=0.5),
    )
    one = weights(train(videos, small_store, still, tmp_path / "one"))
    progress = []
    path = train(
        videos,
        small_store,
        still,
        tmp_path / "two",
        runtime=Runtime(lambda *args: progress.append(args), devices=2),
    )
    two = weights(path)
    assert all(torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-6) for name in one)
    start = seeded_model(still).state_dict()["head.weight"]
    assert not torch.allclose(two["head.weight"], start)
    assert progress[-1][0] == progress[-1][1]
    curves = [pd.read_csv(tmp_path / name / "metrics.csv")["loss"] for name in ("one", "two")]
    assert curves[1].tolist() == pytest.approx(curves[0].tolist(), rel=1e-4)


def test_an_error_on_one_of_several_devices_is_reported(videos, small_store, small_recipe, tmp_path):
    copied = shutil.copytree(small_store.folder, tmp_path / "faces")
    store = FaceStore.open(copied)
    film = next(record for record in store.records() if record.tracklets).tracklets[0].film
    film.write_bytes(b"not a video")
    with pytest.raises(StoreError, match=re.escape(str(film))):
        train(
            store.records(),
            store,
            small_recipe.replace(train=small_recipe.train.replace(batch=8)),
            tmp_path / "run",
            runtime=Runtime(devices=2),
        )


def test_a_batch_that_devices_cannot_share_is_refused(videos, small_store, small_recipe, tmp_path):
    for batch, message in ((4, "batch is 4, less than the 4 clips .* on each of 2 devices"), (12, "multiple of 8")):
        recipe = small_recipe.replace(train=small_recipe.train.replace(batch=batch))
        with pytest.raises(ConfigError, match=message):
            train(videos, small_store, recipe, tmp_path / "run", runtime=Runtime(devices=2))
    assert not (tmp_path / "run").exists()


def test_no_process_is_started_once_the_time_is_up(videos, small_store, small_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "start_processes", None)
    recipe = small_recipe.replace(train=small_recipe.train.replace(batch=8))
    with pytest.raises(OutOfTimeError, match="the time was up before 2 processes were started"):
        train(videos, small_store, recipe, tmp_path / "run", runtime=Runtime(until=0.0, devices=2))
    assert (tmp_path / "run" / "config.json").is_file()  # where the next session goes on
