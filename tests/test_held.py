import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from dfd.inference.oof import read_scores
from dfd.models.checkpoint import load_model
from dfd.scoring.metrics import evaluate
from dfd.training.clock import Runtime
from dfd.training.crossval import score_held
from dfd.training.fit import train
from dfd.training.held import ON_CURVE, HeldVideos


@pytest.fixture(scope="module")
def run(small_store, small_recipe, tmp_path_factory):
    """Train with an EMA and without the videos of two people; return checkpoint, held-out videos and progress."""
    names = {"real0.mp4", "fake0.mp4", "real1.mp4", "fake1.mp4", "broken.mp4"}
    held = [r for r in small_store.records() if r.video in names]
    seen = [r for r in small_store.records() if r.video not in names]
    recipe = small_recipe.replace(train=small_recipe.train.replace(ema=0.9))
    progress = []
    path = train(
        seen,
        small_store,
        recipe,
        tmp_path_factory.mktemp("held") / "run",
        runtime=Runtime(lambda *args: progress.append(args)),
        held=held,
    )
    return path, held, progress


def test_the_curve_ends_with_the_held_out_fold_score(run, tmp_path):
    """The score is that of the EMA weights, which are kept and scored."""
    path, held, _ = run
    curve = pd.read_csv(path.parent.parent / "metrics.csv")
    assert curve["held_loss"].between(0.3, 3).all()
    assert len(held) == 5
    score_held(held, path, tmp_path / "oof")
    labels = {record.video: record.label for record in held}
    scores = read_scores(tmp_path / "oof.json")
    wanted = evaluate([labels[s.name] for s in scores], [s.probability for s in scores], rounds=0)
    last = curve.iloc[-1]
    assert (last["held_loss"], last["held_auc"]) == pytest.approx(
        (wanted["balanced_log_loss"], wanted["auc"]), abs=1e-4
    )


def test_measuring_reports_progress(run):
    assert any(last.endswith("fold kept aside, 5 of 5") for _, _, last in run[2])


def test_measuring_does_not_change_training_state(run):
    path, held, _ = run
    model, header = load_model(path)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    first = HeldVideos(tuple(held), header).measure(model)
    assert torch.equal(torch.rand(4), wanted)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert HeldVideos(tuple(held), header).measure(model) == first


def test_a_fold_of_one_class_gives_nan_measures(run):
    path, held, _ = run
    model, header = load_model(path)
    measures = HeldVideos(tuple(r for r in held if r.label == 0), header).measure(model)
    assert math.isnan(measures["held_loss"])
    assert math.isnan(measures["held_auc"])


def test_a_diverged_network_gives_nan_and_not_the_chance_level(run):
    path, held, _ = run
    model, header = load_model(path)
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    assert math.isnan(HeldVideos(tuple(held), header).measure(model)["held_loss"])


def test_a_point_of_the_curve_is_measured_on_a_sample_of_many_videos(run):
    """The sample is evenly spread, has both classes and is deterministic."""
    path, held, _ = run
    _, header = load_model(path)
    many = [replace(record, video=f"{number}.mp4") for number, record in enumerate(held * 500)]
    sampled = HeldVideos.sampled(many, header)
    assert [record.video for record in sampled.records[:3]] == ["0.mp4", "3.mp4", "6.mp4"]
    assert 2 * len(sampled.records) > ON_CURVE >= len(sampled.records)
    assert set(sampled.labels().values()) == {0, 1}
    assert HeldVideos.sampled(held, header).records == tuple(held)
    assert HeldVideos.sampled([], header) is None
