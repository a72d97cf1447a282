from dataclasses import replace

import pytest
import torch

from dfd.errors import ConfigError
from dfd.inference.bundle import load_bundle, load_member
from dfd.inference.info import read_info
from dfd.inference.judge import judge_sets, narrowed
from dfd.inference.pack import pack_runs
from dfd.inference.predict import score_videos
from dfd.scoring.aggregate import Aggregation, aggregate
from dfd.training.fit import CHECKPOINT, train


@pytest.fixture(scope="module")
def halves(small_store):
    """The dataset's videos in two halves that split no source."""
    records = [record for record in small_store.records() if record.label is not None and record.tracklets]
    sources = sorted({record.source or record.video for record in records})
    first = set(sources[: len(sources) // 2])
    return [[r for r in records if ((r.source or r.video) in first) == inside] for inside in (True, False)]


@pytest.fixture(scope="module")
def runs(halves, small_store, small_recipe, tmp_path_factory):
    """Two runs on the first half: one on its fakes, one on self-blended ones."""
    folder = tmp_path_factory.mktemp("judged")
    short = small_recipe.replace(train=small_recipe.train.replace(epochs=1))
    blends = short.replace(train=short.train.replace(self_blend=1.0))
    for name, recipe in (("fakes", short), ("blends", blends)):
        train(halves[0], small_store, recipe, folder / name)
    return [folder / "fakes", folder / "blends"]


def judged(runs, sets):
    return judge_sets([[run / CHECKPOINT] for run in runs], sets)


def test_videos_that_a_run_has_seen_are_left_out(halves, runs):
    (found,) = judged(runs, {"all": [*halves[0], *halves[1]]})
    assert len(found.labels) == len(halves[1])
    assert found.logits.shape == (len(halves[1]), 2)
    assert set(found.groups) == {record.source or record.video for record in halves[1]}


def test_a_fully_seen_set_is_refused(halves, runs):
    with pytest.raises(ConfigError, match="known has nothing to judge by: of .* were trained on all of them"):
        judged(runs, {"known": halves[0]})


def test_real_only_sets_are_evaluated_with_their_self_blends(halves, runs):
    reals = [record for record in halves[1] if record.label == 0]
    (found,) = judged(runs, {"reals": reals})
    assert found.labels.tolist() == [0] * len(reals) + [1] * len(reals)
    with pytest.raises(ConfigError, match="reals has no fakes, and no run was trained on self-blended ones"):
        judged(runs[:1], {"reals": reals})


def test_a_run_knows_the_kind_of_fakes_that_it_was_trained_on(halves, runs):
    reals = [record for record in halves[1] if record.label == 0]
    found, made = judged(runs, {"found": halves[1], "made": reals})
    assert (found.known, made.known) == ((True, False), (False, True))


def test_a_bundle_predicts_the_fitted_blend(halves, runs, tmp_path):
    """The bundle's logit is the weighted sum of the runs' logits; the fitted temperature gives its probability."""
    reals = [replace(record, dataset="reals") for record in halves[1] if record.label == 0]
    sets = {"both": halves[1], "reals": reals}
    info = pack_runs(runs, tmp_path / "bundle", sets=sets)
    assert read_info(tmp_path / "bundle").sets == info.sets
    assert set(info.sets.sets) == {"both", "reals"}
    (of,) = judged(runs, {"both": halves[1]})
    (score,) = score_videos(halves[1][:1], load_bundle(tmp_path / "bundle"))
    wanted = float(of.logits[0] @ info.sets.weights)
    assert aggregate(score.faces, Aggregation()) == pytest.approx(wanted, abs=1e-4)
    assert score.probability == pytest.approx(info.sets.calibration.probability(wanted), abs=1e-5)


def test_a_single_set_is_refused_before_scoring(halves, runs, tmp_path):
    """Scoring would fail later, as all of its videos have been seen."""
    with pytest.raises(ConfigError, match="a set can only be left out of two or more"):
        pack_runs(runs, tmp_path / "bundle", sets={"known": halves[0]})


def test_a_set_of_narrower_crops_is_scored_on_its_crops(halves, runs, small_store):
    """Pictures cut tightly around the face: a network with a wider margin used to raise a traceback."""
    tight = [replace(r, tracklets=tuple(replace(t, margin=1.0) for t in r.tracklets)) for r in halves[1]]
    (found,) = judged(runs, {"tight": tight})
    assert len(found.labels) == len(halves[1])
    model, header = load_member(runs[0] / CHECKPOINT, torch.device("cpu"))
    assert header.clip.margin > 1
    assert narrowed([(model, header)], tight)[0][1].clip == header.clip.replace(margin=1.0)
    assert narrowed([(model, header)], halves[1])[0][1] == header
