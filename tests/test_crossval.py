import json
from dataclasses import replace

import pandas as pd
import pytest

from dfd.errors import ConfigError
from dfd.faces.store import FaceStore
from dfd.inference.oof import read_scores
from dfd.models.checkpoint import read_checkpoint
from dfd.scoring.metrics import balanced_log_loss, log_loss
from dfd.scoring.submission import read_submission
from dfd.training.crossval import Fold, crossval, train_fold
from dfd.training.datasets import labelled

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(small_store, small_recipe, tmp_path_factory):
    return crossval(small_store, small_recipe, 2, tmp_path_factory.mktemp("run") / "cv")


def test_no_model_is_scored_on_its_training_videos(made):
    frame = pd.read_csv(made.out / "folds.csv")
    for fold in range(2):
        header, _ = read_checkpoint(made.out / f"fold-{fold}" / "checkpoints" / "last.ckpt")
        held = frame[frame["fold"] == fold]
        assert not set(header.videos) & set(held["filename"])
        seen = frame[frame["filename"].isin(header.videos)]
        assert not set(seen["group"]) & set(held["group"])
        assert set(read_submission(made.out / f"fold-{fold}" / "oof.csv")) == set(held["filename"])


def test_every_labelled_video_has_one_row_even_if_unreadable(made, small_store):
    rows = read_submission(made.out / "oof.csv")
    assert set(rows) == {record.video for record in small_store.records()}
    assert rows["broken.mp4"] == 0.5
    assert {s.name: s.status for s in read_scores(made.out / "oof.json")}["broken.mp4"] == "unreadable"


def test_the_score_matches_the_file(made, small_store):
    rows = read_submission(made.out / "oof.csv")
    labels = [int(record.label) for record in small_store.records()]
    probabilities = [rows[record.video] for record in small_store.records()]
    assert made.score["log_loss"] == pytest.approx(log_loss(labels, probabilities), abs=1e-12)
    assert made.score["balanced_log_loss"] == pytest.approx(balanced_log_loss(labels, probabilities), abs=1e-12)
    assert json.loads((made.out / "score.json").read_text())["score"]["videos"] == 9


def test_the_logits_of_the_faces_are_kept(made, small_store):
    records = {record.video: record for record in small_store.records()}
    for score in read_scores(made.out / "oof.json"):
        shown = [(t.segment, t.face, t.confidence) for t in records[score.name].tracklets]
        assert [face[:3] for face in score.faces] == shown
        assert len(shown) == (score.name != "broken.mp4")


def test_a_second_run_reuses_the_first(made, small_store, small_recipe):
    times = {path: path.stat().st_mtime_ns for path in made.out.rglob("last.ckpt")}
    again = crossval(small_store, small_recipe, 2, made.out)
    assert {path: path.stat().st_mtime_ns for path in made.out.rglob("last.ckpt")} == times
    assert again.scores == made.scores


def test_folds_trained_on_other_machines_are_gathered(made, small_store, small_recipe, tmp_path):
    for fold in range(2):
        train_fold(small_store, small_recipe, Fold(fold, 2), tmp_path / f"fold-{fold}")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.ckpt")}
    gathered = crossval(small_store, small_recipe, 2, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.ckpt")} == times
    assert [(score.name, score.probability) for score in gathered.scores] == [
        (score.name, score.probability) for score in made.scores
    ]


def test_other_settings_need_another_folder(made, small_store, small_recipe):
    other = small_recipe.replace(train=small_recipe.train.replace(epochs=3))
    with pytest.raises(ConfigError, match="recipe.train.epochs: 2, now 3"):
        crossval(small_store, other, 2, made.out)


def test_other_crops_of_the_same_videos_need_another_folder(made, small_store, small_recipe, monkeypatch):
    *others, last = small_store.records()
    films = tuple(replace(t, film=t.film.with_name("real3.mp4.0123456789abcdef.mjpeg")) for t in last.tracklets)
    monkeypatch.setattr(FaceStore, "records", lambda _: [*others, replace(last, tracklets=films)])
    with pytest.raises(ConfigError, match=r"other settings or data \(content: "):
        crossval(small_store, small_recipe, 2, made.out)


def test_more_folds_than_real_groups_are_refused(small_store, small_recipe, tmp_path):
    with pytest.raises(ConfigError, match="fold"):
        crossval(small_store, small_recipe, 8, tmp_path / "cv")
    assert not (tmp_path / "cv").exists()


def test_a_dataset_without_labels_is_refused(tmp_path, small_store):
    store = FaceStore.create(tmp_path / "faces", small_store.config)
    with pytest.raises(ConfigError, match="no video with a label"):
        labelled(store)
