"""`dfd predict` and `dfd faces` on all broken files of tests/hostile, each command in its own process."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import write_bundle
from dfd.scoring.submission import read_submission, validate_submission
from tests.hostile import DAMAGED, MEMORY, NO_TEXT, REFUSED, Expected, write_hostile
from tests.processes import left_running
from tests.test_bundle import checkpoint

pytestmark = pytest.mark.slow

FACES = FacesConfig(size=64, detect_side=320)
LIMITS = ["--workers", "2", "--timeout", "200", "--memory", str(MEMORY)]


@dataclass(frozen=True)
class Run:
    """A finished command. before, after: listings of the video folder. alive: processes left running."""

    place: Path
    expected: Expected
    status: int
    text: str
    before: list[str]
    after: list[str]
    alive: list[str]

    @property
    def rows(self) -> list[dict[str, str]]:
        report = json.loads((self.place / "report.json").read_text())
        return list(report["fell_back"])


def listing(folder: Path) -> list[str]:
    return sorted(f"{p.relative_to(folder)} {p.lstat().st_mode}" for p in folder.rglob("*"))


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `dfd` in a new session, with its temporary files in `place`/tmp."""
    (place / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "dfd", *arguments],
        cwd=place,
        env={**os.environ, "TMPDIR": str(place / "tmp"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Expected]:
    folder = tmp_path_factory.mktemp("hostile") / "videos"
    return folder, write_hostile(folder)


@pytest.fixture(scope="module")
def predicted(videos: tuple[Path, Expected], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run `dfd predict` on all files; meanwhile delete one file and replace another."""
    folder, expected = videos
    expected = {name: statuses for name, statuses in expected.items() if name != NO_TEXT}  # a sample CSV cannot name it
    place = tmp_path_factory.mktemp("predicted")
    write_bundle(place / "bundle", [checkpoint(place / "m.ckpt", 5, FACES)])
    whole = (folder / "whole.mp4").read_bytes()
    late: Expected = {"vanishes.mp4": ("missing",), "replaced.mp4": REFUSED}
    for name in late:
        (folder / name).write_bytes(whole)
    rows = [*expected, "gone.mp4", *late]
    pd.DataFrame({"filename": rows, "label": 0.5}).to_csv(place / "sample.csv", index=False)
    before = listing(folder)
    arguments = ["--bundle", "bundle", "--sample", "sample.csv", "--out", "submission.csv", "--report", "report.json"]
    process = start(place, "predict", str(folder), *arguments, *LIMITS)
    while process.poll() is None and lines(place / "submission.journal.jsonl") < 20:
        time.sleep(0.05)
    assert process.poll() is None
    assert list(read_submission(place / "submission.csv")) == rows
    (folder / "vanishes.mp4").unlink()
    (folder / "replaced.mp4").write_bytes(b"something else")
    text, _ = process.communicate(timeout=400)
    alive = left_running(process.pid)
    before.remove(next(line for line in before if line.startswith("vanishes.mp4")))
    expected = {**expected, "gone.mp4": ("missing",), **late}
    yield Run(place, expected, process.returncode, text, before, listing(folder), alive)
    (folder / "replaced.mp4").unlink()


def wrong(expected: Expected, statuses: dict[str, str]) -> dict[str, str]:
    return {name: statuses.get(name, "no row") for name, fine in expected.items() if statuses.get(name) not in fine}


@pytest.mark.timeout(600)
def test_predict_writes_a_row_and_a_status_per_video(predicted: Run) -> None:
    assert predicted.status == 0, predicted.text
    assert "Traceback" not in predicted.text
    fell_back = {row["filename"]: row["status"] for row in predicted.rows}
    statuses = {name: fell_back.get(name, "ok") for name in read_submission(predicted.place / "submission.csv")}
    assert wrong(predicted.expected, statuses) == {}
    assert list(statuses) == list(predicted.expected)
    assert all(row["reason"] for row in predicted.rows)
    validate_submission(predicted.place / "submission.csv", predicted.place / "sample.csv")


def test_predict_leaves_no_file_or_process(predicted: Run) -> None:
    assert predicted.alive == []
    assert predicted.after == predicted.before  # no file name was executed by a shell
    assert listing(predicted.place / "tmp") == []
    left = {path.name for path in predicted.place.iterdir()}
    assert left == {"bundle", "m.ckpt", "sample.csv", "submission.csv", "report.json", "tmp"}


def test_predict_gives_the_reason_for_each_failure(predicted: Run) -> None:
    reasons = {row["filename"]: row["reason"] for row in predicted.rows}
    assert reasons["gigapixels.mov"] == "it asks for more memory than there is"
    assert reasons["pipe.mp4"] == reasons["socket.mp4"] == "not a regular file"
    assert reasons["folder.mp4"] == "a folder, not a video file"
    assert reasons["empty.mp4"] == "the file is empty"
    assert reasons["concat.mp4"].startswith("no video file")
    assert reasons["audio.mp4"] == "no video stream"
    assert "could not be scored and say 0.5" in predicted.text


@pytest.mark.timeout(600)
def test_faces_records_every_video_and_leaves_no_other_file(
    videos: tuple[Path, Expected], tmp_path: Path, predicted: Run
) -> None:
    folder, expected = videos
    expected = {**expected, "replaced.mp4": REFUSED}  # as the fixture left it
    before = listing(folder)
    process = start(tmp_path, "faces", str(folder), "--out", "faces", *LIMITS, "--size", "64", "--detect-side", "320")
    text, _ = process.communicate(timeout=400)
    assert process.returncode == 0, text
    assert "Traceback" not in text
    with (tmp_path / "faces" / "videos.csv").open(newline="", encoding="utf-8") as file:
        statuses = {row["video"]: row["status"] for row in csv.DictReader(file)}
    assert wrong(expected, statuses) == {}
    assert set(statuses) == set(expected)
    assert left_running(process.pid) == []
    assert listing(folder) == before
    assert listing(tmp_path / "tmp") == []
    assert not [path for path in (tmp_path / "faces").rglob("*") if "partial" in path.name]


def test_the_files_cover_every_status(videos: tuple[Path, Expected]) -> None:
    kinds: Sequence[tuple[str, ...]] = list(videos[1].values())
    assert {kind for each in kinds if each is not DAMAGED for kind in each} == {"ok", "no_face", "unreadable"}
