import hashlib
import json
import os
import shutil
import time
from dataclasses import replace

import pytest

from dfd.errors import StoreError
from dfd.faces.build import stored
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import video_tracklets
from dfd.inference.budget import FULL, MIRRORED, SPEEDS, Budget
from dfd.inference.bundle import Bundle, load_bundle, write_bundle
from dfd.inference.predict import PRIOR, hasty, predict, score_videos
from dfd.models.checkpoint import read_checkpoint, write_checkpoint
from dfd.scoring.board import public_test_labels
from dfd.scoring.submission import read_submission
from dfd.types import Video
from dfd.videos.workers import Limits
from tests.test_bundle import Failing, checkpoint


@pytest.fixture
def bundle(tmp_path, small_store):
    path = checkpoint(tmp_path / "m.ckpt", 5, small_store.config)
    write_bundle(tmp_path / "bundle", [path])
    return load_bundle(tmp_path / "bundle")


def test_the_submission_is_complete_at_every_moment(small_store, bundle, tmp_path, monkeypatch):
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


def test_a_videos_score_does_not_depend_on_other_videos(small_store, bundle, tmp_path):
    records = small_store.records()
    names = [record.video for record in records]
    forward = predict(names, [records], bundle, tmp_path / "a.csv")
    backward = predict(names, [records[::-1]], bundle, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    (alone,) = score_videos(records[2:3], bundle)
    assert alone.probability == {s.name: s.probability for s in forward.scores}[alone.name]
    assert len(backward.scores) == len(names)


def test_an_unrequested_record_is_left_out(small_store, bundle, tmp_path):
    made = predict(["real0.mp4"], [small_store.records()], bundle, tmp_path / "s.csv")
    assert [score.name for score in made.scores] == ["real0.mp4"]


def test_a_damaged_film_affects_only_its_video(small_store, bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(small_store.folder, copy)
    store = FaceStore.open(copy)
    (film,) = copy.glob("tracklets/*/real1*.mjpeg")
    film.write_bytes(b"")
    made = predict([r.video for r in store.records()], [store.records()], bundle, tmp_path / "s.csv")
    status = {score.name: score.status for score in made.scores}
    assert status["real1.mp4"] == "error"
    assert status["real0.mp4"] == "ok"
    (row,) = [row for row in made.report()["fell_back"] if row["filename"] == "real1.mp4"]
    assert str(film) in row["reason"]


def test_the_report_counts_every_row_and_is_json(small_store, bundle, tmp_path):
    records = small_store.records()
    report = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv").report()
    assert report["videos"] == sum(report["statuses"].values()) == 9
    assert json.loads(json.dumps(report)) == report


def test_the_report_names_the_bundle_and_the_videos_it_saw(small_store, tmp_path):
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


def test_the_report_names_libraries_whose_version_differs_from_the_bundles(small_store, tmp_path):
    info = write_bundle(tmp_path / "b", [checkpoint(tmp_path / "m.ckpt", 5, small_store.config)])
    older = {**info.versions, "numpy": "1.26.4"}
    (tmp_path / "b" / "bundle.json").write_text(info.replace(versions=older).text())
    report = predict(["gone.mp4"], [], load_bundle(tmp_path / "b"), tmp_path / "s.csv").report()
    assert report["bundle"]["drifted"] == [f"numpy 1.26.4 (here {info.versions['numpy']})"]


ONE = Limits(workers=1)


def test_stored_faces_are_not_detected_again(small_store, small_dataset, tmp_path):
    videos = [Video(small_dataset / "real0.mp4", "real0.mp4", 0), Video(tmp_path / "gone.mp4", "gone.mp4")]
    store = FaceStore.create(tmp_path / "faces", small_store.config)
    first = {record.video: record for come in stored(videos, store, ONE) for record in come}
    assert {name: record.status for name, record in first.items()} == {"real0.mp4": "ok", "gone.mp4": "missing"}
    before = os.times().children_user
    ((again,),) = stored(videos[:1], store, ONE)
    assert os.times().children_user == before  # no worker has run
    assert again.tracklets[0].film == first["real0.mp4"].tracklets[0].film
    assert store.record(videos[1]) is None  # the file may exist by now: the next run looks for it


def test_unfinished_videos_are_out_of_budget_and_done_by_a_later_run(small_store, small_dataset, tmp_path):
    videos = [Video(small_dataset / "real0.mp4", "real0.mp4", 0)]
    store = FaceStore.create(tmp_path / "faces", small_store.config)
    ((late,),) = stored(videos, store, Limits(workers=1, until=time.monotonic()))
    assert late.status == "out_of_budget"
    ((done,),) = stored(videos, store, ONE)
    assert done.status == "ok"


def test_a_file_that_changes_while_it_is_read_is_not_scored(small_store, small_dataset, tmp_path, monkeypatch):
    path = tmp_path / "real0.mp4"
    path.write_bytes((small_dataset / "real0.mp4").read_bytes())
    video = Video(path, "real0.mp4")
    store = FaceStore.create(tmp_path / "faces", small_store.config)

    def tracklets(*arguments):
        yield from video_tracklets(*arguments)
        path.write_bytes(path.read_bytes() + b"more")

    monkeypatch.setattr("dfd.faces.recorder.video_tracklets", tracklets)
    with pytest.raises(StoreError, match=r"real0\.mp4 changed while it was read"):
        store.write(video)
    assert store.record(video) is None


def test_after_the_deadline_nothing_is_scored_and_failures_keep_their_reason(small_store, bundle, tmp_path):
    records = small_store.records()
    made = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv", budget=Budget(9, -1.0))
    assert {score.status for score in made.scores if score.name != "broken.mp4"} == {"out_of_budget"}
    assert {score.name: score.status for score in made.scores}["broken.mp4"] == "unreadable"
    assert {score.probability for score in made.scores} == {PRIOR}


def test_the_report_lists_rows_with_a_caveat(small_store, bundle, tmp_path):
    records = [replace(record, reason="a faint face") for record in small_store.records() if record.tracklets]
    report = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv").report()
    assert report["caveats"] == [{"filename": r.video, "reason": "a faint face"} for r in records]
    assert report["fell_back"] == []
    assert len(report["slowest"]) == 5
    times = [row["seconds"] for row in report["slowest"]]
    assert times == sorted(times, reverse=True)


def test_the_report_counts_each_speed_and_the_time_per_row(small_store, bundle, tmp_path):
    records = [replace(record, seconds=float(number)) for number, record in enumerate(small_store.records())]
    budget = Budget(9, 3600)
    report = predict([r.video for r in records], [records], bundle, tmp_path / "s.csv", budget=budget).report()
    assert report["speeds"] == {"full": 9}
    assert (report["speed_changes"], report["resumed"]) == ([], 0)
    assert report["slowest"][0]["filename"] == records[-1].video
    assert report["slowest"][0]["seconds"] >= 8
    assert report["seconds_a_video"] == pytest.approx(report["seconds"] / 9, abs=1e-3)


def test_a_hasty_row_has_that_caveat_among_others(small_store, bundle):
    record = next(record for record in small_store.records() if record.tracklets)
    other = bundle.members[0]
    broken = Bundle(bundle.info, (other, (Failing(lambda _: 1 / 0), other[1])))
    for speed in SPEEDS:
        (plain,) = score_videos([record], bundle, speed)
        assert hasty(speed) == (speed not in (SPEEDS[MIRRORED], SPEEDS[FULL]))
        assert plain.reason == (f"in haste: {speed.name}" if hasty(speed) else "")
    (odd,) = score_videos([replace(record, reason="a faint face")], broken, replace(SPEEDS[-1], members=1.0))
    left_out = "member 1 left out: ZeroDivisionError: division by zero"
    assert odd.reason == f"a faint face; in haste: {SPEEDS[-1].name}; {left_out}"
    assert odd.status == "ok"


def test_face_logits_are_stored_and_the_rule_gives_the_probability(small_store, bundle):
    record = next(record for record in small_store.records() if record.tracklets)
    (score,) = score_videos([record], bundle)
    (face,) = score.faces
    assert (face.segment, face.face, face.confidence) == (0, 0, record.tracklets[0].confidence)
    assert score.probability == bundle.info.rule.probability(score.faces)
