import json
import time

import pytest

from dfd.clips.distort import DISTORTIONS
from dfd.errors import ConfigError, OutOfTimeError
from dfd.faces.store import FaceStore
from dfd.inference.oof import read_scores
from dfd.scoring.metrics import balanced_log_loss
from dfd.scoring.submission import read_submission
from dfd.training.clock import Runtime
from dfd.training.crossval import crossval
from dfd.training.robustness import CLEAN, distort

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(small_store, small_recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "cv"
    made = crossval(small_store, small_recipe, 2, run)
    weights = {path: path.stat().st_mtime_ns for path in run.rglob("last.ckpt")}
    return made, distort(small_store, run), weights


def test_every_distortion_is_scored_along_with_the_clean_videos(finished):
    made, found, _ = finished
    assert list(found) == [CLEAN, *DISTORTIONS]
    assert found[CLEAN]["balanced_log_loss"] == made.score["balanced_log_loss"]
    assert json.loads((made.out / "distort.json").read_text()) == found


def test_nothing_is_retrained(finished):
    made, _, weights = finished
    assert {path: path.stat().st_mtime_ns for path in made.out.rglob("last.ckpt")} == weights


@pytest.mark.parametrize("name", DISTORTIONS)
def test_scored_predictions_are_saved_as_submissions(finished, small_store, name):
    made, found, _ = finished
    rows = read_submission(made.out / "distort" / f"{name}.csv")
    assert list(rows) == list(read_submission(made.out / "oof.csv"))
    labels = {record.video: record.label for record in small_store.records()}
    loss = balanced_log_loss([labels[video] for video in rows], list(rows.values()))
    assert found[name]["balanced_log_loss"] == pytest.approx(loss, abs=1e-12)
    gap = found[name]["balanced_log_loss"] - found[CLEAN]["balanced_log_loss"]
    assert found[name]["against"]["balanced_log_loss"] == pytest.approx(gap, abs=1e-12)


def test_distorted_clips_differ_and_are_scored_out_of_fold(finished):
    made, _, _ = finished
    clean = {score.name: score for score in made.scores}
    for fold, rows in made.folds.groupby("fold"):
        scores = read_scores(made.out / f"fold-{fold}" / "distort" / "h264.json")
        assert {score.name for score in scores} == set(rows["filename"])
        assert any(score.faces != clean[score.name].faces for score in scores if score.faces)
    assert clean["broken.mp4"].probability == read_submission(made.out / "distort" / "h264.csv")["broken.mp4"]


def test_a_second_run_is_identical_and_reuses_results(finished, small_store):
    made, found, _ = finished
    times = {path: path.stat().st_mtime_ns for path in made.out.glob("fold-*/distort/*")}
    steps = []
    assert distort(small_store, made.out, Runtime(lambda *step: steps.append(step))) == found
    assert {path: path.stat().st_mtime_ns for path in made.out.glob("fold-*/distort/*")} == times
    assert steps == []


def test_progress_counts_every_video_of_every_distortion(finished, small_store):
    made, _, _ = finished
    for path in made.out.glob("fold-*/distort/*"):
        path.unlink()
    steps = []
    distort(small_store, made.out, Runtime(lambda *step: steps.append(step)))
    assert [done for done, _, _ in steps] == list(range(1, 37))
    assert {total for _, total, _ in steps} == {36}
    assert steps[-1][2].startswith("flip, ")


def test_a_cross_validation_of_other_videos_is_refused(finished, small_store, tmp_path):
    made, _, _ = finished
    with pytest.raises(ConfigError, match="is no cross-validation"):
        distort(small_store, tmp_path)
    other = FaceStore.create(tmp_path / "faces", small_store.config)
    with pytest.raises(ConfigError, match=r"has no 'broken\.mp4'"):
        distort(other, made.out)


def test_distort_stops_in_time_and_resumes(finished, small_store):
    made, found, _ = finished
    for path in made.out.glob("fold-*/distort/*"):
        path.unlink()
    with pytest.raises(OutOfTimeError):
        distort(small_store, made.out, runtime=Runtime(until=time.monotonic()))
    assert distort(small_store, made.out) == found
