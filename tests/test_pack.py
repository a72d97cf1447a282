import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.inference.bundle import Bundle, load_bundle
from dfd.inference.info import read_seen
from dfd.inference.oof import read_oof, write_scores
from dfd.inference.pack import pack_runs
from dfd.inference.predict import predict
from dfd.scoring.metrics import balanced_log_loss
from dfd.scoring.submission import read_submission
from dfd.training.crossval import crossval

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(small_store, small_recipe, tmp_path_factory):
    """Two cross-validations over the same three folds."""
    folder = tmp_path_factory.mktemp("runs")
    other = small_recipe.replace(train=small_recipe.train.replace(epochs=1))
    for name, recipe in (("a", small_recipe), ("b", other)):
        crossval(small_store, recipe, 3, folder / name)
    return folder


@pytest.fixture
def runs(finished, tmp_path):
    return [shutil.copytree(finished / name, tmp_path / name) for name in "ab"]


def alter(run, change):
    """Replace a run's out-of-fold logits by change(score, label)."""
    oof = read_oof(run)
    write_scores(run / "oof.json", [change(s, label) for s, label in zip(oof.scores, oof.folds["label"], strict=True)])


def separating(logit):
    def change(score, label):
        return replace(score, faces=tuple(face._replace(logit=logit * (2 * label - 1)) for face in score.faces))

    return change


def logits_of(bundle, record):
    """The logits of a readable video."""
    (made,) = bundle.logits([record])
    assert not isinstance(made, Exception)
    return made


def faced(store):
    return next(record for record in store.records() if record.tracklets)


def test_a_single_run_keeps_its_rule_and_score(runs, tmp_path):
    info = pack_runs(runs[:1], tmp_path / "bundle")
    saved = json.loads((runs[0] / "score.json").read_text())
    assert info.score == saved["score"]
    assert info.rule.model_dump(mode="json") == saved["decision"]["rule"]
    assert info.blend is None


def test_equal_weights_predict_the_mean_of_both_runs(runs, tmp_path, small_store):
    """Both runs have equal out-of-fold logits, so no fitted weights can be better."""
    for run in runs:
        alter(run, separating(1.0))
    info = pack_runs(runs, tmp_path / "both")
    assert info.blend.weights == (0.5, 0.5)
    assert [entry.weight for entry in info.members] == pytest.approx([1 / 6] * 6)
    record, singles = faced(small_store), []
    for run in runs:
        pack_runs([run], tmp_path / run.name / "bundle")
        singles.append([face.logit for face in logits_of(load_bundle(tmp_path / run.name / "bundle"), record).faces])
    found = [face.logit for face in logits_of(load_bundle(tmp_path / "both"), record).faces]
    assert found == pytest.approx(np.mean(singles, axis=0), abs=1e-6)


def test_fitted_weights_are_used_in_prediction(runs, tmp_path, small_store):
    def half_right(score, label):
        """Correct logits, except for two videos that only the other run gets right."""
        right = score.name not in ("real0.mp4", "fake1.mp4")
        return separating(2.0 if right else -1.0)(score, label)

    alter(runs[0], separating(2.0))
    alter(runs[1], half_right)
    info = pack_runs(runs, tmp_path / "both")
    assert info.blend.weights == (1.0, 0.0)
    assert info.blend.fitted < info.blend.equal
    assert len(info.members) == 3
    alone, both = tmp_path / "alone", load_bundle(tmp_path / "both")
    pack_runs(runs[:1], alone)
    record = faced(small_store)
    found, wanted = ([face.logit for face in logits_of(b, record).faces] for b in (both, load_bundle(alone)))
    assert found == pytest.approx(wanted, abs=1e-12)


def test_the_score_is_that_of_the_blended_predictions(runs, tmp_path, small_store):
    info = pack_runs(runs, tmp_path / "both")
    rows = read_submission(tmp_path / "both" / "oof.csv")
    labels = {record.video: record.label for record in small_store.records()}
    assert set(rows) == set(labels)
    assert rows["broken.mp4"] == 0.5
    expected = balanced_log_loss([labels[name] for name in rows], list(rows.values()))
    assert info.score["balanced_log_loss"] == pytest.approx(expected, abs=1e-12)
    assert info.blend.equal is not None
    assert read_seen(tmp_path / "both") == tuple(sorted(set(labels) - {"broken.mp4"}))
    assert info.score["seen_by_weights"] == 0


def test_a_score_of_seen_videos_says_so_in_the_bundle(runs, tmp_path):
    for run, again in zip(runs, (4, 2), strict=True):
        saved = json.loads((run / "score.json").read_text())
        (run / "score.json").write_text(json.dumps({**saved, "score": {**saved["score"], "seen_by_weights": again}}))
    assert pack_runs(runs[1:], tmp_path / "one").score["seen_by_weights"] == 2
    assert pack_runs(runs, tmp_path / "both").score["seen_by_weights"] == 4


def test_a_member_that_fails_leaves_the_others_weights_in_proportion(runs, tmp_path, small_store):
    pack_runs(runs, tmp_path / "both")
    bundle = load_bundle(tmp_path / "both")
    record = faced(small_store)
    each = [logits_of(Bundle(bundle.info, (m,)), record).faces[0].logit for m in bundle.members[:3]]

    def fails(_):
        raise RuntimeError("no")

    members = list(bundle.members[:3])
    broken = type(members[1][0]).__new__(type(members[1][0]))
    broken.__dict__ = {**members[1][0].__dict__, "forward": fails}
    members[1] = (broken, members[1][1])
    made = logits_of(Bundle(bundle.info, tuple(members), (0.6, 0.3, 0.1)), record)
    assert [face.logit for face in made.faces] == pytest.approx([(0.6 * each[0] + 0.1 * each[2]) / 0.7], abs=1e-6)
    assert len(made.left_out) == 1


def test_different_folds_are_refused(runs, tmp_path, small_store):
    frame = pd.read_csv(runs[1] / "folds.csv")
    frame.assign(fold=(frame["fold"] + 1) % 3).to_csv(runs[1] / "folds.csv", index=False)
    with pytest.raises(ConfigError, match=r"b have different folds: 'broken\.mp4' has fold . in the first and"):
        pack_runs(runs, tmp_path / "both")
    frame[frame["filename"] != "broken.mp4"].to_csv(runs[1] / "folds.csv", index=False)
    with pytest.raises(ConfigError, match=r"have different videos: 'broken\.mp4' is in one of them only"):
        pack_runs(runs, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def with_faces(run, *more):
    """Give each video in a run's oof.json the same logit for additional tracklets."""
    alter(run, lambda score, _: replace(score, faces=tuple(s._replace(**m) for s in score.faces for m in ({}, *more))))


def test_different_faces_in_the_same_segment_are_refused(runs, tmp_path):
    with_faces(runs[1], {"face": 1})
    with pytest.raises(
        ConfigError, match=r"'fake0\.mp4' shows 1 faces in the first and 2 in the second, in the same segments"
    ):
        pack_runs(runs, tmp_path / "both")


def test_runs_scoring_different_segments_can_be_packed(runs, tmp_path):
    with_faces(runs[1], {"segment": 3}, {"segment": 3, "face": 1})
    info = pack_runs(runs, tmp_path / "both")
    assert info.blend.equal is not None
    assert len(read_submission(tmp_path / "both" / "oof.csv")) == 9


def test_a_stopped_run_is_refused(runs, tmp_path):
    (runs[1] / "oof.json").unlink()
    for chosen in (runs, runs[1:]):
        with pytest.raises(ConfigError, match="b is a cross-validation that was stopped"):
            pack_runs(chosen, tmp_path / "both")
    (runs[1] / "oof.json").write_text("[{]")
    with pytest.raises(ConfigError, match=r"oof\.json is not what dfd crossval wrote"):
        pack_runs(runs, tmp_path / "both")


def test_with_a_plain_training_run_all_models_have_equal_weight(runs, tmp_path, small_store):
    info = pack_runs([runs[0], runs[1] / "fold-0"], tmp_path / "both")
    assert [entry.weight for entry in info.members] == [1.0] * 4
    assert info.blend is None
    assert "no out-of-fold predictions" in info.rule_reason
    records = [r for r in small_store.records() if r.tracklets]
    made = predict([r.video for r in records], [records], load_bundle(tmp_path / "both"), tmp_path / "s.csv")
    assert {score.status for score in made.scores} == {"ok"}
