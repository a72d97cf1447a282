import hashlib
import json
import time
from dataclasses import replace

import pytest

from dfd.faces.build import store_videos
from dfd.faces.extract import Extraction, extract_tracks
from dfd.faces.store import FaceStore
from dfd.inference.budget import Budget
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.predict import PRIOR, faces_of, predict, score_videos
from dfd.models.checkpoint import read_checkpoint, write_checkpoint
from dfd.scoring.board import public_test_labels
from dfd.scoring.submission import read_submission
from dfd.types import Video
from tests.test_bundle import checkpoint


@pytest.fixture
def bundle(tmp_path, small_store):
    path = checkpoint(tmp_path / "m.ckpt", 5, small_store.config)
    write_bundle(tmp_path / "bundle", [path])
    return load_bundle(tmp_path / "bundle")


def test_the_file_is_whole_before_the_first_video_and_at_every_moment(small_store, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("dfd.inference.predict.WRITE_EVERY", 0.0)
    out = tmp_path / "submission.csv"
    records = small_store.records()
    names = [*(record.video for record in records), "not, there.mp4"]
    seen = []

    def watched():
        for record in records:
            seen.append(read_submission(out))
            yield [record]

    made = predict(names, watched(), bundle, out)
    assert [list(rows) for rows in seen] == [names] * len(records)
    assert set(seen[0].values()) == {PRIOR}
    assert [sum(p != PRIOR for p in rows.values()) for rows in seen] == sorted(
        sum(p != PRIOR for p in r.values()) for r in seen
    )
    final = read_submission(out)
    assert final == {score.name: score.probability for score in made.scores}
    assert {s.name: s.status for s in made.scores if s.status != "ok"} == {
        "broken.mp4": "unreadable",
        "not, there.mp4": "missing",
    }
    assert final["broken.mp4"] == final["not, there.mp4"] == PRIOR
    assert out.read_text().splitlines()[0] == "filename,label"


def test_a_video_has_the_same_score_whoever_stands_beside_it(small_store, bundle, tmp_path):
    records = small_store.records()
    names = [record.video for record in records]
    forward = predict(names, [records], bundle, tmp_path / "a.csv")
    backward = predict(names, [records[::-1]], bundle, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    (alone,) = score_videos(records[2:3], bundle)
    assert alone.probability == {s.name: s.probability for s in forward.scores}[alone.name]
    assert len(backward.scores) == len(names)


def test_a_record_that_no_row_asks_for_is_left_out(small_store, bundle, tmp_path):
    made = predict(["real0.mp4"], [small_store.records()], bundle, tmp_path / "s.csv")
    assert [score.name for score in made.scores] == ["real0.mp4"]


def test_a_damaged_track_costs_its_video_only(small_store, bundle, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(small_store.folder, copy)
    store = FaceStore.open(copy)
    next(copy.glob("tracks/real1*/0.mp4")).write_bytes(b"")
    made = predict([r.video for r in store.records()], [store.records()], bundle, tmp_path / "s.csv")
    status = {score.name: score.status for score in made.scores}
    assert status["real1.mp4"] == "error"
    assert status["real0.mp4"] == "ok"
    (row,) = [row for row in made.report()["fell_back"] if row["filename"] == "real1.mp4"]
    assert "0.mp4" in row["reason"]


def test_the_report_counts_every_row_and_is_json(small_store, bundle, tmp_path):
    records = small_store.records()
    report = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv").report()
    assert report["videos"] == sum(report["statuses"].values()) == 9
    assert json.loads(json.dumps(report)) == report


def test_the_report_says_which_bundle_made_it_and_what_that_had_seen(small_store, tmp_path):
    name = next(iter(public_test_labels()))
    path = checkpoint(tmp_path / "m.ckpt", 5, small_store.config)
    header, weights = read_checkpoint(path)
    write_checkpoint(path, header.replace(videos=(f"dfdc_train_part_1/{name}", "a.mp4")), weights)
    write_bundle(tmp_path / "b", [path])
    made = predict(["gone.mp4"], [], load_bundle(tmp_path / "b"), tmp_path / "s.csv")
    assert made.report()["bundle"] == {
        "drifted": [],
        "sha256": hashlib.sha256((tmp_path / "b" / "bundle.json").read_bytes()).hexdigest(),
        "public_test_seen": {"videos": [name], "parts": [1]},
    }


def test_the_report_names_libraries_that_have_another_version_than_where_the_bundle_was_made(small_store, tmp_path):
    info = write_bundle(tmp_path / "b", [checkpoint(tmp_path / "m.ckpt", 5, small_store.config)])
    older = {**info.versions, "numpy": "1.26.4"}
    (tmp_path / "b" / "bundle.json").write_text(info.replace(versions=older).text())
    report = predict(["gone.mp4"], [], load_bundle(tmp_path / "b"), tmp_path / "s.csv").report()
    assert report["bundle"]["drifted"] == [f"numpy 1.26.4 (here {info.versions['numpy']})"]


def test_faces_on_record_are_not_looked_for_again(small_store, small_dataset, tmp_path):
    videos = [Video(small_dataset / "real0.mp4", "real0.mp4", 0), Video(tmp_path / "gone.mp4", "gone.mp4")]
    store = FaceStore.create(tmp_path / "faces", small_store.config)
    first = {record.video: record for come in faces_of(videos, store, workers=1) for record in come}
    assert {name: record.status for name, record in first.items()} == {"real0.mp4": "ok", "gone.mp4": "missing"}
    start = time.monotonic()
    again = {record.video: record for come in faces_of(videos, store, workers=1) for record in come}
    assert time.monotonic() - start < 0.5
    assert again == first


def test_what_is_not_done_in_time_is_out_of_budget_and_done_by_a_later_run(small_store, small_dataset, tmp_path):
    videos = [Video(small_dataset / "real0.mp4", "real0.mp4", 0)]
    store = FaceStore.create(tmp_path / "faces", small_store.config)
    ((late,),) = store_videos(store, videos, workers=1, until=time.monotonic())
    assert late.status == "out_of_budget"
    nothing_known, (done,) = faces_of(videos, store, workers=1)
    assert nothing_known == []
    assert done.status == "ok"


def test_a_file_that_changes_while_it_is_read_is_not_scored(small_store, small_dataset, tmp_path):
    path = tmp_path / "real0.mp4"
    path.write_bytes((small_dataset / "real0.mp4").read_bytes())
    video = Video(path, "real0.mp4")
    store = FaceStore.create(tmp_path / "faces", small_store.config)

    def tracks():
        yield from extract_tracks(video, store.config)
        path.write_bytes(path.read_bytes() + b"more")

    store.write(video, tracks(), Extraction())
    assert store.record(video) is None


def test_when_the_time_is_up_what_has_faces_is_not_scored_and_what_failed_says_why(small_store, bundle, tmp_path):
    records = small_store.records()
    made = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv", budget=Budget(9, -1.0))
    assert {score.status for score in made.scores if score.name != "broken.mp4"} == {"out_of_budget"}
    assert {score.name: score.status for score in made.scores}["broken.mp4"] == "unreadable"
    assert {score.probability for score in made.scores} == {PRIOR}


def test_the_report_says_which_rows_have_a_caveat(small_store, bundle, tmp_path):
    records = [replace(record, reason="a faint face") for record in small_store.records() if record.tracks]
    report = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv").report()
    assert report["caveats"] == [{"filename": r.video, "reason": "a faint face"} for r in records]
    assert report["fell_back"] == []
    assert len(report["slowest"]) == 5
    times = [row["seconds"] for row in report["slowest"]]
    assert times == sorted(times, reverse=True)
