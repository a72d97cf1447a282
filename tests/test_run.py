"""Predictions that are killed, hurried and resumed, as commands in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from dfd.clips.dataset import scored_clips
from dfd.faces.store import FaceStore
from dfd.inference import run as module
from dfd.inference.bundle import Bundle, load_bundle, write_bundle
from dfd.inference.run import Settings, run
from dfd.scoring.submission import read_submission
from dfd.videos.manifest import read_videos
from tests.processes import left_running
from tests.test_bundle import checkpoint


@pytest.fixture
def bundle(tmp_path, small_store):
    write_bundle(
        tmp_path / "bundle", [checkpoint(tmp_path / f"{seed}.ckpt", seed, small_store.config) for seed in (5, 6)]
    )
    return tmp_path / "bundle"


@pytest.fixture
def videos(tmp_path, small_dataset):
    """Twelve copies: four times as many as are read at a time."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for copy in range(3):
        for path in sorted(small_dataset.glob("real*.mp4")):
            shutil.copy(path, folder / f"{copy}-{path.name}")
    return folder


def start(videos, bundle, out, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "dfd", "predict", str(videos), "--bundle", str(bundle), "--out", str(out), *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.timeout(300)
def test_a_killed_run_goes_on_and_ends_with_the_numbers_of_an_uninterrupted_one(tmp_path, videos, bundle):
    whole, out = tmp_path / "whole.csv", tmp_path / "out" / "submission.csv"
    out.parent.mkdir()
    rows = read_videos(videos)
    run(rows, load_bundle(bundle), whole, Settings(workers=1))
    journal = out.with_suffix(".journal.jsonl")
    arguments = ("--workers", "1", "--report", str(out.with_name("report.json")))
    for finished in (0, 2, 7):
        process = start(videos, bundle, out, *arguments)
        while process.poll() is None and (lines(journal) < finished or not out.exists()):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert left_running(process.pid, patience=2.0) == []
        assert list(read_submission(out)) == [row.name for row in rows]
        known = lines(journal)
        assert known >= finished
    path = videos / rows[0].name
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))  # a changed file is scored anew
    text, _ = start(videos, bundle, out, *arguments).communicate()
    assert json.loads(out.with_name("report.json").read_text())["resumed"] == known - 1
    assert f"{known - 1} rows are of an earlier run" in text
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.json", "submission.csv"]


@pytest.mark.timeout(120)
def test_ctrl_c_is_one_sentence_and_leaves_nothing_running(tmp_path, videos, bundle):
    out = tmp_path / "s.csv"
    process = start(videos, bundle, out, "--workers", "1")
    while process.poll() is None and not lines(out.with_suffix(".journal.jsonl")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130
    assert text == "dfd: stopped; the same command goes on from here\n"
    assert left_running(process.pid) == []
    assert len(read_submission(out)) == 12
    assert out.with_suffix(".journal.jsonl").exists()


@pytest.mark.timeout(120)
def test_hours_are_kept_for_real(tmp_path, videos, bundle):
    hours = 0.0015  # too little for twelve videos
    process = start(
        videos,
        bundle,
        tmp_path / "s.csv",
        "--hours",
        str(hours),
        "--workers",
        "1",
        "--report",
        str(tmp_path / "r.json"),
    )
    while not (tmp_path / "s.csv").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert time.monotonic() - begun < 3600 * hours + 3
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["seconds"] <= 3600 * hours
    assert set(report["statuses"]) <= {"ok", "out_of_budget"}  # how many of each hangs on the machine
    assert sum(report["statuses"].values()) == 12
    assert len(read_submission(tmp_path / "s.csv")) == 12
    assert left_running(process.pid) == []


@pytest.fixture
def only(monkeypatch):
    """Make all tiers one."""

    def set_tiers(tier):
        tiers = (tier,) * len(module.TIERS)
        monkeypatch.setattr("dfd.inference.run.TIERS", tiers)
        monkeypatch.setattr("dfd.inference.budget.TIERS", tiers)
        return tiers

    return set_tiers


def test_a_lesser_tier_looks_at_fewer_frames_and_keeps_them_out_of_the_scratch_folder(tmp_path, videos, bundle, only):
    (hasty, *_) = only(replace(module.TIERS[-1], clips=0.5))
    rows = read_videos(videos)[:2]
    made = run(rows, load_bundle(bundle), tmp_path / "s.csv", Settings(workers=1))
    assert [score.status for score in made.scores] == ["ok", "ok"]
    assert [len(score.tracks[0]) for score in made.scores] == [1, 1]
    assert [caveat["reason"] for caveat in made.report()["caveats"]] == [f"in haste: {hasty.name}"] * 2
    assert not (tmp_path / ".s.csv.faces").exists()


def test_a_dataset_gets_whole_tracks_and_they_score_as_clips_alone_do(tmp_path, videos, bundle):
    rows, loaded = read_videos(videos)[:3], load_bundle(bundle)
    clips = run(rows, loaded, tmp_path / "a.csv", Settings(workers=1))
    whole = run(rows, loaded, tmp_path / "b.csv", Settings(workers=1, faces=tmp_path / "faces"))
    again = run(rows, loaded, tmp_path / "c.csv", Settings(workers=1, faces=tmp_path / "faces"))
    assert whole.scores[0].tracks == again.scores[0].tracks
    records = FaceStore.open(tmp_path / "faces").records()
    assert [[track.frames for track in record.tracks] for record in records] == [[20]] * 3
    for one, other in zip(clips.scores, whole.scores, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=0.01)
        assert [len(logits) for logits in one.tracks] == [len(logits) for logits in other.tracks]


def test_mirrored_clips_count_as_much(tmp_path, videos, bundle, small_store):
    rows, loaded = read_videos(videos)[:1], load_bundle(bundle)
    made = run(rows, loaded, tmp_path / "s.csv", Settings(workers=1, mirror=True))
    plain = run(rows, loaded, tmp_path / "s.csv", Settings(workers=1))
    assert made.tiers == {"full, and mirrored": 1}
    assert plain.tiers == {"full": 1}
    assert made.report()["caveats"] == []
    assert made.scores[0].tracks != plain.scores[0].tracks
    (track,) = small_store.records()[1].tracks
    clips = scored_clips(track, loaded.members[0][1].clip)
    with torch.inference_mode():
        both = [loaded.members[0][0](images) for images in (clips, clips.flip(-1))]
    one = Bundle(loaded.info, loaded.members[:1])
    assert one.video_logits([track], mirror=True).tracks[0] == pytest.approx(torch.stack(both).mean(dim=0).tolist())


def test_a_file_name_that_is_no_utf8_gets_a_row(tmp_path, videos, bundle):
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(next(videos.iterdir()), folder / os.fsdecode(b"\xff \xe9.mp4"))
    report = tmp_path / "r.json"
    process = start(folder, bundle, tmp_path / "s.csv", "--workers", "1", "--report", str(report))
    text, _ = process.communicate(timeout=100)
    assert process.returncode == 0, text
    assert list(read_submission(tmp_path / "s.csv")) == ["\\udcff \\udce9.mp4"]
    assert json.loads(report.read_text())["statuses"] == {"ok": 1}
