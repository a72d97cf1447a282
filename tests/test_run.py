"""Predictions that are killed, hurried and resumed; some run as commands in separate processes."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from dfd.cli import main
from dfd.clips.dataset import scored_clips
from dfd.errors import CheckpointError, ConfigError
from dfd.faces.recorder import in_memory
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.budget import SPEEDS
from dfd.inference.bundle import Bundle, load_bundle, write_bundle
from dfd.inference.info import read_info
from dfd.inference.run import Settings, run
from dfd.scoring.submission import read_submission
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.manifest import read_sample, read_videos
from dfd.videos.workers import Limits, Outcome
from tests.conftest import moving_face
from tests.processes import left_running
from tests.test_bundle import checkpoint
from tests.test_cli import dfd

pytestmark = pytest.mark.slow

FACES = FacesConfig(size=64, detect_side=320, segment=0.4)
"""20 frames at 15 per second give three segments."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of two networks that are scored on two segments."""
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder / "bundle", [checkpoint(folder / f"{seed}.ckpt", seed, FACES) for seed in (5, 6)])
    return folder / "bundle"


ONE = Settings(limits=Limits(1))


def made(videos, bundle, out, settings=ONE, **more):
    return run(videos, read_info(bundle), lambda: load_bundle(bundle), out, replace(settings, **more))


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
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.timeout(300)
def test_a_killed_run_resumes_to_the_same_numbers(capsys, tmp_path, videos, bundle):
    whole, out = tmp_path / "whole.csv", tmp_path / "out" / "submission.csv"
    out.parent.mkdir()
    rows = read_videos(videos)
    made(rows, bundle, whole)
    journal = out.with_suffix(".journal.jsonl")
    arguments = ("--workers", "1", "--report", str(out.with_name("report.json")))
    for finished in (0, 3):
        process = start(videos, bundle, out, *arguments)
        while process.poll() is None and (lines(journal) < finished or not out.exists()):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert left_running(process.pid) == []
        assert list(read_submission(out)) == [row.name for row in rows]
        known = lines(journal)
        assert known >= finished
    path = videos / rows[0].name
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))  # a changed file is scored again
    status, text, _ = dfd(capsys, "predict", videos, "--bundle", bundle, "--out", out, *arguments)
    assert status == 0
    assert json.loads(out.with_name("report.json").read_text())["resumed"] == known - 1
    assert f"From an earlier run that was stopped: {known - 1} row" in text
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.json", "submission.csv"]


@pytest.mark.timeout(120)
def test_ctrl_c_prints_one_sentence_and_leaves_nothing_running(tmp_path, videos, bundle):
    """Of so many videos that it cannot be done before the signal arrives, however busy the machine is."""
    out = tmp_path / "s.csv"
    for path in sorted(videos.iterdir()):
        for copy in range(10):
            os.link(path, videos / f"again{copy}-{path.name}")
    process = start(videos, bundle, out, "--workers", "1")
    while process.poll() is None and not lines(out.with_suffix(".journal.jsonl")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert text.splitlines()[1:] == ["dfd: stopped; the same command goes on from here"], (
        text
    )  # after the summary of the input
    assert left_running(process.pid) == []
    assert len(read_submission(out)) == 11 * 12
    assert out.with_suffix(".journal.jsonl").exists()


@pytest.mark.timeout(120)
def test_the_time_limit_is_kept_in_wall_time(tmp_path, small_dataset, bundle):
    """Run in this process, as importing torch is slow on a busy machine and not covered by the limit."""
    seconds = 3.0  # too little for 100 videos
    rows = [Video(small_dataset / "real0.mp4", f"{number}.mp4") for number in range(100)]
    begun = time.monotonic()
    report = made(rows, bundle, tmp_path / "s.csv", Settings(seconds, limits=Limits(1))).report()
    assert report["seconds"] <= time.monotonic() - begun <= seconds + 2  # slack for a busy machine
    assert set(report["statuses"]) <= {"ok", "out_of_budget"}  # the counts depend on the machine
    assert sum(report["statuses"].values()) == 100
    assert len(read_submission(tmp_path / "s.csv")) == 100
    assert alive() == ([], [])


@pytest.fixture
def hasty(monkeypatch):
    """Set all speeds to half of the segments and one member."""
    speed = replace(SPEEDS[-1], segments=0.5)
    for place in ("run", "budget"):
        monkeypatch.setattr(f"dfd.inference.{place}.SPEEDS", (speed,) * len(SPEEDS))
    return speed


def test_hasty_videos_read_fewer_segments_and_are_not_stored(tmp_path, videos, bundle, hasty):
    rows = read_videos(videos)[:2]
    prediction = made(rows, bundle, tmp_path / "s.csv", Settings(limits=Limits(1), faces=tmp_path / "faces"))
    assert [score.status for score in prediction.scores] == ["ok", "ok"]
    assert [[face.segment for face in score.faces] for score in prediction.scores] == [[1], [1]]
    assert [caveat["reason"] for caveat in prediction.report()["caveats"]] == [f"in haste: {hasty.name}"] * 2
    assert FaceStore.open(tmp_path / "faces").records() == []


def test_stored_videos_are_complete_and_score_as_in_a_plain_prediction(tmp_path, videos, bundle):
    rows, out = read_videos(videos)[:3], tmp_path / "out"
    out.mkdir()
    alone = made(rows, bundle, out / "a.csv")
    assert [path.name for path in out.iterdir()] == ["a.csv"]  # the segments read are in memory
    whole = made(rows, bundle, out / "b.csv", Settings(limits=Limits(1), faces=tmp_path / "faces"))
    again = made(rows, bundle, out / "c.csv", Settings(limits=Limits(1), faces=tmp_path / "faces"))
    records = FaceStore.open(tmp_path / "faces").records()
    assert [(record.segments, record.faced) for record in records] == [(3, [0, 1, 2])] * 3
    assert [sum(tracklet.frames for tracklet in record.tracklets) for record in records] == [20] * 3
    for one, *others in zip(alone.scores, whole.scores, again.scores, strict=True):
        assert [face.segment for face in one.faces] == [0, 2]
        assert [(other.faces, other.probability) for other in others] == [(one.faces, one.probability)] * 2


def test_mirrored_clips_have_equal_weight(tmp_path, videos, bundle):
    (row,) = read_videos(videos)[:1]
    mirrored = made([row], bundle, tmp_path / "s.csv", Settings(limits=Limits(1), mirror=True))
    loaded, record = load_bundle(bundle), in_memory(row, FACES)
    assert mirrored.speeds == {"full, and mirrored": 1}
    assert mirrored.report()["caveats"] == []
    assert mirrored.scores[0].faces != loaded.logits([record])[0].faces
    _, clips = scored_clips(record, loaded.members[0][1].clip)
    with torch.inference_mode():
        both = [loaded.members[0][0](images) for images in (clips, clips.flip(-1))]
    (one,) = Bundle(loaded.info, loaded.members[:1]).logits([record], mirror=True)
    assert [face.logit for face in one.faces] == pytest.approx(torch.stack(both).mean(dim=0).tolist())


@pytest.fixture(scope="module")
def dataset(small_dataset, tmp_path_factory):
    """The eight labelled videos and an unreadable one."""
    store = FaceStore.create(tmp_path_factory.mktemp("dataset") / "faces", FACES)
    for video in read_videos(small_dataset):
        store.write(video)
    broken = Video(small_dataset.parent / "broken.mp4", "broken.mp4", 1)
    broken.path.write_bytes(b"not a video")
    store.write_failure(Outcome(broken, "unreadable", "no video file"))
    return store.folder


@pytest.fixture
def faces(dataset, tmp_path):
    """A dataset with all faces: predicting from it starts no worker."""
    return shutil.copytree(dataset, tmp_path / "faces")


@pytest.fixture
def known(small_dataset):
    return [*read_videos(small_dataset), Video(small_dataset.parent / "broken.mp4", "broken.mp4", 1)]


def test_the_report_has_the_keys_that_kernels_read(tmp_path, bundle, known, faces):
    rows = [*known, Video(tmp_path / "gone.mp4", "gone.mp4")]
    report = made(rows, bundle, tmp_path / "s.csv", Settings(limits=Limits(1), faces=faces)).report()
    assert report["videos"] == 10
    assert report["statuses"] == {"ok": 8, "unreadable": 1, "missing": 1}
    assert report["seconds"] > 0
    assert [(row["filename"], row["status"]) for row in report["fell_back"]] == [
        ("broken.mp4", "unreadable"),
        ("gone.mp4", "missing"),
    ]
    assert all(row["reason"] for row in report["fell_back"])
    assert json.loads(json.dumps(report)) == report


def on_record(folder):
    """Label and source of each recorded video, and the contents of all files."""
    labels = {record.video: (record.label, record.source) for record in FaceStore.open(folder).records()}
    return labels, {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_prediction_leaves_the_dataset_unchanged(tmp_path, small_dataset, bundle, known, faces):
    """Even though a sample has no labels and a manifest may have different ones."""
    before = on_record(faces)
    assert before[0]["fake1.mp4"] == (1, "real1.mp4")
    pd.DataFrame({"filename": [video.name for video in known[:-1]], "label": 0.5}).to_csv(
        tmp_path / "sample.csv", index=False
    )
    sample = read_sample(tmp_path / "sample.csv", small_dataset)
    assert {video.label for video in sample} == {None}
    others = [replace(video, label=1 - video.label, source="") for video in known]
    for rows in (known, sample, others):
        prediction = made(rows, bundle, tmp_path / "s.csv", Settings(limits=Limits(1), faces=faces))
        assert prediction.report()["statuses"]["ok"] == 8
        assert on_record(faces) == before


def test_failures_in_a_dataset_are_retried_and_keep_their_label(tmp_path, small_dataset, bundle):
    rows = read_videos(small_dataset)[:1]
    store = FaceStore.create(tmp_path / "faces", FACES)
    store.write_failure(Outcome(rows[0], "timed_out", "killed after 1 s"))
    unknown = [replace(rows[0], label=None, source="")]
    prediction = made(unknown, bundle, tmp_path / "s.csv", Settings(limits=Limits(1), faces=store.folder))
    assert [score.status for score in prediction.scores] == ["ok"]
    (record,) = store.records()
    assert (record.status, record.label, record.source) == ("ok", rows[0].label, rows[0].source)


class Killed(BaseException):
    pass


def stopped(rows, bundle, out, settings, after):
    """A run that is killed after `after` videos."""

    def stop(done, *_):
        if done == after:
            raise Killed

    with pytest.raises(Killed):
        made(rows, bundle, out, settings, progress=stop)


def test_the_same_command_resumes(tmp_path, bundle, known, faces):
    notes, settings = [], Settings(limits=Limits(1), faces=faces)
    whole = made(known, bundle, tmp_path / "whole.csv", settings)
    stopped(known, bundle, tmp_path / "s.csv", settings, 4)
    again = made(known, bundle, tmp_path / "s.csv", settings, tell=notes.append)
    assert (whole.resumed, again.resumed) == (0, 4)
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert notes == []
    assert not (tmp_path / "s.journal.jsonl").exists()


@pytest.mark.parametrize("change", ["mirror", "device", "faces", "bundle"])
def test_another_setting_or_bundle_restarts_with_a_note(tmp_path, bundle, known, faces, change):
    notes, settings = [], Settings(limits=Limits(1), faces=faces)
    stopped(known, bundle, tmp_path / "s.csv", settings, 4)
    if change == "mirror":
        settings = replace(settings, mirror=True)
    elif change == "device":
        settings = replace(settings, device="cuda:0")
    elif change == "faces":
        settings = replace(settings, faces=shutil.copytree(faces, tmp_path / "copy"))
    else:
        bundle = shutil.copytree(bundle, tmp_path / "bundle")
        info = read_info(bundle)
        (bundle / "bundle.json").write_text(info.replace(rule_reason="another").text())
    again = made(known, bundle, tmp_path / "s.csv", settings, tell=notes.append)
    assert again.resumed == 0
    assert notes == [
        f"{tmp_path / 's.journal.jsonl'} is from a run with another {change}: its videos are scored again."
    ]


def test_time_workers_and_limits_change_no_score_and_may_change_on_resume(tmp_path, bundle, known, faces):
    stopped(known, bundle, tmp_path / "s.csv", Settings(limits=Limits(1), faces=faces), 4)
    other = Settings(seconds=3600, limits=Limits(2, timeout=60, memory=1), faces=faces)
    assert made(known, bundle, tmp_path / "s.csv", other).resumed == 4


def test_hasty_scores_are_reused_only_with_the_same_time_limit(tmp_path, bundle, known, faces, monkeypatch):
    """Three rows are hasty for lack of time; the run resumes with the same time limit, or a longer one."""
    known, settings = [known[-1], *known[:-1]], Settings(limits=Limits(1), faces=faces)
    with monkeypatch.context() as patch:
        patch.setattr("dfd.inference.budget.SPEEDS", (SPEEDS[-1],) * len(SPEEDS))
        stopped(known, bundle, tmp_path / "s.csv", settings, 4)
    shutil.copy(tmp_path / "s.journal.jsonl", tmp_path / "t.journal.jsonl")
    same = made(known, bundle, tmp_path / "s.csv", settings)
    more = made(known, bundle, tmp_path / "t.csv", replace(settings, seconds=2 * settings.seconds))
    assert (same.resumed, more.resumed) == (4, 1)  # one of the four is unreadable, hence not hasty
    assert sum("in haste" in score.reason for score in same.scores) == 3
    assert not any("in haste" in score.reason for score in more.scores)


def alive():
    """Worker processes and their threads."""
    return multiprocessing.active_children(), [t for t in threading.enumerate() if t.name == "dfd-videos"]


def test_a_bundle_that_fails_to_load_leaves_no_worker_or_file(tmp_path, videos, bundle):
    begun = []

    def load():
        begun.append(alive())
        raise CheckpointError("no")

    before, rows = sorted(tmp_path.rglob("*")), read_videos(videos)
    with pytest.raises(CheckpointError, match="no") as caught:
        run(rows, read_info(bundle), load, tmp_path / "s.csv", Settings(limits=Limits(2)))
    assert len(begun[0][1]) == 2  # they had begun
    assert (caught.value.args, alive()) == (("no",), ([], []))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_face_limit_applies_and_a_note_mentions_more_faces(tmp_path, bundle, capsys):
    face, path = moving_face(20), tmp_path / "two.mp4"
    write_video(path, np.concatenate([face, face], axis=2), 15, crf=18)
    for more, says in (([], "(2 faces, 2 segments"), (["--faces", "1"], "(1 face, 2 segments")):
        with pytest.raises(SystemExit, match="^0$"):
            main(["predict", str(path), "--bundle", str(bundle), "--workers", "1", *more])
        out = capsys.readouterr().out
        assert says in out
        assert ("Note: more than 1 faces in 2 segments, the smaller ones left out." in out) == bool(more)
    settings = [ONE, replace(ONE, most=1)]
    two, one = (made(read_videos(path), bundle, tmp_path / "s.csv", each).scores[0].faces for each in settings)
    largest = [score for score in two if score.face == 0]
    assert [(s.segment, s.face, s.confidence) for s in one] == [(s.segment, s.face, s.confidence) for s in largest]
    assert [s.logit for s in one] == pytest.approx([s.logit for s in largest], abs=1e-6)  # batches of other sizes
    assert len(two) == 2 * len(one)
    assert settings[0].key() != settings[1].key()  # a stopped run does not resume with another limit


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--faces", "0", "faces is 0: input should be greater than or equal to 1"),
        ("--faces", "51", "faces is 51: input should be less than or equal to 50"),
        ("--hours", "0", "--hours is 0: must be > 0"),
        ("--hours", "-1", "--hours is -1: must be > 0"),
        ("--hours", "nan", "--hours is nan: must be"),
        ("--hours", "inf", "--hours is inf: must be"),
        ("--workers", "-1", "--workers is -1: must be >= 0"),
        ("--timeout", "0", "--timeout is 0: must be > 0"),
        ("--memory", "0", "--memory is 0: must be > 0"),
        ("--device", "banana", "there is no device 'banana'"),
        ("--bundle", "none", "none is not a bundle"),
        ("--sample", "none.csv", "none.csv"),
    ],
)
def test_an_impossible_limit_is_a_one_line_error_and_writes_nothing(
    tmp_path, small_dataset, bundle, capsys, option, value, message
):
    given = {"--bundle": str(bundle), "--out": str(tmp_path / "s.csv"), "--report": str(tmp_path / "r" / "r.json")}
    if option != "--device":  # the networks load while the workers look
        given["--faces"] = str(tmp_path / "faces")
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(small_dataset), *(text for pair in {**given, option: value}.items() for text in pair)])
    out, error = capsys.readouterr()
    assert stop.value.code == 1
    assert message in error
    assert (error.count("\n"), out) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_impossible_settings_are_refused_on_construction():
    for seconds in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="give a number above 0"):
            Settings(seconds=seconds)


def test_a_non_utf8_file_name_gets_a_row(tmp_path, videos, bundle, capsys):
    folder, report = tmp_path / "odd", tmp_path / "r.json"
    folder.mkdir()
    shutil.copy(next(videos.iterdir()), folder / os.fsdecode(b"\xff \xe9.mp4"))
    arguments = ["--out", str(tmp_path / "s.csv"), "--workers", "1", "--report", str(report)]
    with pytest.raises(SystemExit, match="^0$"):
        main(["predict", str(folder), "--bundle", str(bundle), *arguments])
    assert "Next: " in capsys.readouterr().out
    assert list(read_submission(tmp_path / "s.csv")) == ["\\udcff \\udce9.mp4"]
    assert json.loads(report.read_text())["statuses"] == {"ok": 1}
