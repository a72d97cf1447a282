import os
import re
import signal
import time
from multiprocessing import active_children
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from dfd.errors import OutOfTimeError
from dfd.models.checkpoint import read_checkpoint
from dfd.training import clock
from dfd.training.clock import Runtime
from dfd.training.fit import CHECKPOINT, train

pytestmark = pytest.mark.slow


@pytest.fixture
def videos(small_store):
    return small_store.records()


def weights(path):
    return read_checkpoint(path)[1]


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"loaders": 2, "self_blend": 0.5}, {"accumulate": 2, "batch": 4}])
def test_a_run_stopped_after_every_step_equals_an_uninterrupted_one(
    videos, small_store, small_recipe, tmp_path, settings
):
    """Stopped repeatedly by the clock within epochs, a run gives the same weights and the same curve.

    Held-out videos are measured on the way, except in the first of the three runs.
    """
    dropping = small_recipe.model.replace(name="factorized", size="tiny")  # uses random dropout and drop path
    recipe = small_recipe.replace(model=dropping, train=small_recipe.train.replace(**settings))
    held = [video for video in videos if video.video in ("real3.mp4", "fake3.mp4")]
    videos = [video for video in videos if video not in held]
    plain = weights(train(videos, small_store, recipe, tmp_path / "plain"))
    whole = weights(train(videos, small_store, recipe, tmp_path / "whole", held=held))
    assert all(torch.equal(whole[name], plain[name]) for name in whole)
    stops = 0
    while not (tmp_path / "halting" / "done").exists():
        try:
            now = Runtime(until=time.monotonic())
            train(videos, small_store, recipe, tmp_path / "halting", runtime=now, held=held)
        except OutOfTimeError as stopped:
            assert re.match(r"the time was up at step \d+ of \d+, in epoch [12]$", str(stopped))  # noqa: PT017
            stops += 1
    assert stops >= 2
    halting = weights(tmp_path / "halting" / CHECKPOINT)
    assert all(torch.equal(whole[name], halting[name]) for name in whole)
    curves = [pd.read_csv(tmp_path / name / "metrics.csv").drop(columns="seconds") for name in ("whole", "halting")]
    assert curves[0]["epoch"].tolist() == [0, 1]
    assert curves[0]["held_auc"].notna().all()
    pd.testing.assert_frame_equal(*curves)


def test_long_epochs_are_measured_midway(videos, small_store, small_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(clock, "RESTS", 0)
    train(videos, small_store, small_recipe, tmp_path / "run", held=videos)
    curve = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert curve["step"].tolist() == list(range(1, 9))
    assert curve["epoch"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert curve.notna().all(axis=None)
    monkeypatch.setattr(clock, "RESTS", 10_000)  # slow measuring happens at epoch ends only
    train(videos, small_store, small_recipe, tmp_path / "rare", held=videos)
    assert 2 <= len(pd.read_csv(tmp_path / "rare" / "metrics.csv")) < 8


def test_a_killed_run_resumes_within_an_epoch(videos, small_store, small_recipe, tmp_path, monkeypatch):
    """Here each step is saved, normally every ten minutes; saved steps survive any kind of kill."""
    monkeypatch.setattr(clock, "SAVE_EVERY", 0.0)
    recipe = small_recipe.replace(train=small_recipe.train.replace(epochs=1, slices=2))

    def kill(done, total, _):
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(videos, small_store, recipe, tmp_path / "run", runtime=Runtime(kill))
    steps = []
    train(videos, small_store, recipe, tmp_path / "run", runtime=Runtime(lambda *args: steps.append(args[0])))
    assert steps[0] >= 6  # of 8
    assert steps[-1] == 8


def test_a_time_limit_holds_with_one_batch_per_epoch(videos, small_store, small_recipe, tmp_path, monkeypatch):
    """On a clock of one second per step, a limit of ten keeps two seconds in reserve for the next step."""
    recipe = small_recipe.replace(train=small_recipe.train.replace(epochs=60, batch=16))
    seconds = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def step(*_):
        seconds[0] += 1

    with pytest.raises(OutOfTimeError, match=r"the time was up at step \d+ of 60, in epoch \d+"):
        train(videos, small_store, recipe, tmp_path / "run", runtime=Runtime(step, until=10.0))
    rows = len(pd.read_csv(tmp_path / "run" / "metrics.csv"))
    assert torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["global_step"] == rows
    assert 6 <= rows < 10


@pytest.mark.parametrize(("batch", "epochs", "settings"), [(4, 2, {"loaders": 2}), (16, 4, {}), (8, 500, {})])
def test_training_stopped_by_a_signal_resumes_to_the_same_result(
    videos, small_store, small_recipe, tmp_path, batch, epochs, settings
):
    """SIGTERM to all processes: within an epoch, between epochs of one batch, and on two devices."""
    devices = 2 if batch == 8 else 1
    recipe = small_recipe.replace(train=small_recipe.train.replace(batch=batch, epochs=epochs, **settings))
    out, before = tmp_path / "stopped", signal.getsignal(signal.SIGTERM)

    def terminate(done, *_):
        if done == 1:
            assert signal.getsignal(signal.SIGTERM) != before  # else this test would end the others
            for process in (os.getpid(), *(child.pid for child in active_children())):
                os.kill(process, signal.SIGTERM)

    with pytest.raises(OutOfTimeError, match=r"^SIGTERM came at step \d+ of \d+, in epoch \d+$"):
        train(videos, small_store, recipe, out, Runtime(terminate, devices=devices))
    assert signal.getsignal(signal.SIGTERM) == before
    assert torch.load(out / CHECKPOINT, weights_only=True)["global_step"] <= (2 if devices == 1 else 100)
    assert not (out / "done").exists()
    if devices == 1:
        whole = weights(train(videos, small_store, recipe, tmp_path / "whole"))
        resumed = weights(train(videos, small_store, recipe, out))
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_hours_are_counted_from_now():
    assert Runtime.deadline(None) is None
    soon = Runtime.deadline(0.01)
    assert 35 < soon - time.monotonic() <= 36
    steps = []
    for until in (None, soon):
        Runtime(lambda *step: steps.append(step), until, what="here").report(1, 4, "a.mp4")
    assert steps == [(1, 4, "here, a.mp4")] * 2
    with pytest.raises(OutOfTimeError, match="the time was up"):
        Runtime(until=time.monotonic()).report(1, 4, "")


def test_progress_of_a_part_is_scaled_to_the_whole():
    steps = []
    part = Runtime(lambda *step: steps.append(step)).part(1, 3, "fold 2 of 3")
    part.report(2, 4, "a.mp4")
    assert steps == [(6, 12, "fold 2 of 3, a.mp4")]
    assert Runtime().part(1, 3, "fold 2 of 3").progress is None
