import re
import time

import pandas as pd
import pytest
import torch

from dfd.errors import OutOfTimeError
from dfd.models.checkpoint import read_checkpoint
from dfd.training import clock
from dfd.training.clock import ALONE, Means
from dfd.training.fit import CHECKPOINT, train


@pytest.fixture
def videos(small_store):
    return small_store.records()


def weights(path):
    return read_checkpoint(path)[1]


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"loaders": 2, "self_blend": 0.5}, {"accumulate": 2, "batch": 4}])
def test_a_run_that_stops_after_every_step_ends_as_an_uninterrupted_one(
    videos, small_store, small_recipe, tmp_path, settings
):
    """Stopped by the clock in the middle of epochs, again and again: the same weights, the same curve."""
    dropping = small_recipe.model.replace(name="factorized", size="tiny")  # draws dropout and skipped blocks
    recipe = small_recipe.replace(model=dropping, train=small_recipe.train.replace(**settings))
    whole = weights(train(videos, small_store.config, recipe, tmp_path / "whole"))
    stops = 0
    while not (tmp_path / "halting" / "done").exists():
        try:
            train(videos, small_store.config, recipe, tmp_path / "halting", means=Means(until=time.monotonic()))
        except OutOfTimeError as stopped:
            assert re.match(r"the time was up at step \d+ of \d+, in epoch [12]$", str(stopped))  # noqa: PT017
            stops += 1
    assert stops >= 2
    halting = weights(tmp_path / "halting" / CHECKPOINT)
    assert all(torch.equal(whole[name], halting[name]) for name in whole)
    curves = [pd.read_csv(tmp_path / name / "metrics.csv").drop(columns="seconds") for name in ("whole", "halting")]
    assert curves[0]["epoch"].tolist() == [0, 1]
    pd.testing.assert_frame_equal(*curves)


def test_a_killed_run_goes_on_from_its_last_checkpoint_within_an_epoch(
    videos, small_store, small_recipe, tmp_path, monkeypatch
):
    """Saved after each step here, every ten minutes otherwise; whatever kills it, those steps are done."""
    monkeypatch.setattr(clock, "SAVE_EVERY", 0.0)
    recipe = small_recipe.replace(train=small_recipe.train.replace(epochs=1, slices=2))

    def kill(done, total, _):
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(videos, small_store.config, recipe, tmp_path / "run", progress=kill)
    told = []
    train(videos, small_store.config, recipe, tmp_path / "run", progress=lambda *args: told.append(args[0]))
    assert told[0] >= 6  # of 8
    assert told[-1] == 8


def test_hours_run_from_now_on():
    ALONE.check()
    Means.of(None).check()
    soon = Means.of(0.01, devices=2)
    assert soon.devices == 2
    assert 35 < soon.until - time.monotonic() <= 36
    soon.check()
    with pytest.raises(OutOfTimeError, match="the time was up"):
        Means(until=time.monotonic()).check()
