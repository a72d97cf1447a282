import re
import resource
import shutil
import time

import pytest
import torch

from dfd.errors import OutOfTimeError, StoreError, TrainingError
from dfd.faces.store import FaceStore
from dfd.models import ModelConfig
from dfd.models.checkpoint import read_checkpoint
from dfd.training.clock import Runtime
from dfd.training.fit import CHECKPOINT, train
from dfd.training.loop import seeded_model

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(small_store):
    return small_store.records()


def weights(path):
    return read_checkpoint(path)[1]


def test_frozen_layers_stay_unchanged(videos, small_store, small_recipe, tmp_path):
    """This includes batch statistics, which belong to the weights."""
    frozen = ModelConfig(name="frame", freeze="stem", dropout=0, drop_path=0, backbone="efficientnet_lite0")
    recipe = small_recipe.replace(model=frozen)
    start = seeded_model(recipe).state_dict()
    after = weights(train(videos, small_store, recipe, tmp_path / "run"))
    moved = {name for name in start if not torch.equal(start[name], after[name])}
    assert not any(name.startswith(("backbone.conv_stem", "backbone.bn1", "backbone.blocks.0")) for name in moved)
    assert {"backbone.blocks.6.0.bn3.running_mean", "head.weight"} <= moved


@pytest.mark.parametrize("loaders", [0, 2])
def test_an_unreadable_film_stops_the_run_and_is_named(small_store, small_recipe, tmp_path, loaders):
    store = FaceStore.open(shutil.copytree(small_store.folder, tmp_path / "faces"))
    film = next(record for record in store.records() if record.tracklets).tracklets[0].film
    film.write_bytes(b"not a video")
    recipe = small_recipe.replace(train=small_recipe.train.replace(loaders=loaders))
    with pytest.raises(StoreError, match=re.escape(str(film))) as caught:
        train(store.records(), store, recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_a_one_line_error_and_the_last_checkpoint_loads(
    videos, small_store, small_recipe, tmp_path, monkeypatch
):
    """A file-size limit simulates a full disk: writing fails midway."""
    with pytest.raises(OutOfTimeError):
        train(videos, small_store, small_recipe, tmp_path / "run", runtime=Runtime(until=time.monotonic()))
    before = weights(tmp_path / "run" / CHECKPOINT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(TrainingError, match="the disk is full.*last.ckpt is as it was: the same command goes on"):
            train(videos, small_store, small_recipe, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = weights(tmp_path / "run" / CHECKPOINT)
    assert all(torch.equal(before[name], after[name]) for name in before)
    train(videos, small_store, small_recipe, tmp_path / "run")
    assert (tmp_path / "run" / "done").exists()
