import json

import numpy as np
import pytest

from dfd.errors import ConfigError, StoreError, SubmissionError
from dfd.faces.records import VideoRecord
from dfd.report.run_facts import is_run, read_run
from tests.runs import add_distortions, made_up, write_run

pytestmark = pytest.mark.slow

HOSTILE = '<script>alert("1")</script>.mp4'


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", made_up(8, fakes=2))


def test_each_video_has_the_values_of_its_files(run):
    facts = read_run(run)
    said = json.loads((run / "oof.json").read_text())
    videos = facts.videos.set_index("filename")
    assert len(videos) == len(said) == 24
    for row in said:
        video = videos.loc[row["name"]]
        truth = row["probability"] if video["label"] else 1 - row["probability"]
        assert video["probability"] == row["probability"]
        assert video["loss"] == pytest.approx(-np.log(truth))
        assert video["status"] == "ok"
    assert sorted(facts.videos["fold"].unique()) == [0, 1, 2]
    assert [len(fold) for fold in facts.folds] == facts.videos["fold"].value_counts(sort=False).sort_index().tolist()
    assert facts.score["videos"] == 24
    assert facts.name == "run"


def test_calibrated_probabilities_belong_to_the_right_videos(run):
    videos = made_up(8)
    broken = [v if n else VideoRecord(v.video, v.label, v.source, "unreadable", "cut") for n, v in enumerate(videos)]
    facts = read_run(write_run(run.parent / "broken", broken))
    after = facts.decision["probabilities"]
    assert len(after) == 15  # the unscored video is not calibrated either
    table = facts.videos.set_index("filename")
    assert table.loc[[v.video for v in broken[1:]], "after"].tolist() == after
    first = table.loc[broken[0].video]
    assert np.isnan(first["after"])
    assert (first["status"], first["reason"], first["probability"]) == ("unreadable", "cut", 0.5)


def test_sets_methods_and_compression_are_parsed_from_names(tmp_path):
    prefix = "original_sequences/youtube/c23/videos/"
    videos = made_up(6, 0, prefix)
    fakes = [
        VideoRecord(f"manipulated_sequences/Deepfakes/c40/videos/f{n}.mp4", 1, v.video, "ok")
        for n, v in enumerate(videos)
    ]
    table = read_run(write_run(tmp_path / "run", [*videos, *fakes])).videos.set_index("filename")
    assert set(table["set"]) == {"FaceForensics++"}
    assert table.loc[fakes[0].video, ["method", "compression"]].tolist() == ["Deepfakes", "c40"]
    assert table.loc[videos[0].video, ["method", "compression"]].tolist() == ["", "c23"]


def test_faces_are_found_at_the_path_recorded_by_the_run(small_store, tmp_path):
    run = write_run(tmp_path / "run", small_store.records()[1:], folds=2, faces=small_store.folder)
    facts = read_run(run)
    assert [store.folder for store in facts.stores] == [small_store.folder]
    assert facts.lacks == ()
    assert (facts.videos["side"] > 30).all()
    gone = write_run(tmp_path / "gone", small_store.records()[1:], folds=2, faces=tmp_path / "nowhere")
    assert "nowhere" in read_run(gone).lacks[0]
    assert "--faces" in read_run(gone).lacks[0]
    assert read_run(gone, [small_store.folder]).lacks == ()
    with pytest.raises(StoreError, match="nowhere"):
        read_run(gone, [tmp_path / "nowhere"])


def test_a_held_out_fold_takes_its_labels_from_the_dataset(small_store, tmp_path):
    run = write_run(tmp_path / "run", small_store.records()[1:], folds=2)
    (run / "folds.csv").unlink()
    assert "labels" in read_run(run).lacks[-1]
    facts = read_run(run, [small_store.folder])
    labels = dict(zip(facts.videos["filename"], facts.videos["label"], strict=True))
    assert labels == {record.video: record.label for record in small_store.records()[1:]}
    groups = facts.videos.set_index("filename")["group"]
    assert groups["real1.mp4"] == groups["fake1.mp4"]
    assert facts.folds == []


def test_a_self_blend_is_a_fake_of_its_real_video(small_store, tmp_path):
    reals = [record for record in small_store.records() if record.label == 0]
    made = [VideoRecord(f"blend of {record.video}", 1, record.video, "ok") for record in reals]
    run = write_run(tmp_path / "run", [*reals, *made], folds=2)
    (run / "folds.csv").unlink()
    table = read_run(run, [small_store.folder]).videos.set_index("filename")
    assert table.loc["blend of real0.mp4", ["label", "method"]].tolist() == [1, "self-blended"]
    assert table.loc["blend of real0.mp4", "side"] == table.loc["real0.mp4", "side"]


def test_a_plain_training_and_a_stopped_run_state_what_is_missing(run):
    (run / "oof.csv").unlink()
    assert "stopped" in read_run(run).lacks[-1]
    (run / "folds.csv").unlink()
    (run / "score.json").unlink()
    facts = read_run(run)
    assert "kept aside" in facts.lacks[-1]
    assert facts.videos.empty
    assert len(facts.curve) == 9


def test_the_curves_of_a_stopped_cross_validation_are_those_of_its_folds(run):
    for fold in ("fold-0", "fold-1"):
        (run / fold).mkdir()
        (run / fold / "metrics.csv").write_text("step,loss,accuracy\n1,0.7,0.5\n2,0.6,0.6\n")
    (run / "metrics.csv").unlink()
    assert read_run(run).curve["fold"].tolist() == ["0", "0", "1", "1"]


def test_distortion_and_starting_weight_scores_are_read(run):
    add_distortions(run)
    (run / "zero-shot").mkdir()
    (run / "zero-shot" / "score.json").write_text('{"score": {"auc": 0.5}}')
    facts = read_run(run)
    assert next(iter(facts.distortions)) == "as it is"
    assert facts.start == {"auc": 0.5}


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("score.json", "{", "score.json is not JSON"),
        ("score.json", '{"score": {"auc": 0.5}}', "score.json holds no measures"),
        ("config.json", "[]", "config.json holds no JSON object"),
        ("score.json", "[" * 100_000, "score.json is not JSON"),
        ("oof.json", "[1]", "oof.json is not what dfd crossval wrote"),
        ("oof.json", "[" * 100_000, "oof.json is not what dfd crossval wrote"),
        ("oof.csv", "filename,label\n", "oof.csv has no row for"),
        ("metrics.csv", "step\n1\n", "metrics.csv is no curve"),
        ("metrics.csv", "", "metrics.csv is no curve"),
        ("folds.csv", "filename\na\n", "folds.csv: folds have no column"),
    ],
)
def test_a_damaged_file_is_named(run, name, text, error):
    (run / name).write_text(text)
    with pytest.raises((ConfigError, SubmissionError), match=error):
        read_run(run)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(ConfigError, match="is no run"):
        read_run(tmp_path)
