import json
from dataclasses import replace

import pytest

from dfd.errors import SubmissionError
from dfd.faces.written import file_stamp
from dfd.inference.journal import HASTE, Journal
from dfd.types import UNDONE, FaceLogit, Video, VideoScore


@pytest.fixture
def videos(tmp_path):
    made = []
    for name in ("a.mp4", "b, c.mp4", "ü\n.mp4", "gone.mp4"):
        if name != "gone.mp4":
            (tmp_path / name).write_bytes(b"x" * 10)
        made.append(Video(tmp_path / name, name))
    return made


SCORES = [
    VideoScore("a.mp4", 0.1 + 0.2, "ok", 1.5, "a faint face", (FaceLogit(0, 0, 0.9, 0.1), FaceLogit(3, 1, 0.8, 1 / 3))),
    VideoScore("b, c.mp4", 0.5, "unreadable", 0.1, "no video file"),
    VideoScore("ü\n.mp4", 0.75, "ok", faces=(FaceLogit(0, 0, 1.0, 1.0),)),
    VideoScore("gone.mp4", 0.5, "no_face", reason="no face on 4 frames looked at, of 10"),
]
KEY = {"bundle": "b1", "mirror": False, "faces": None}


class Killed(BaseException):
    pass


def stopped(path, videos, scores, key=KEY, seconds=100.0):
    """A run that stops before it is finished."""
    journal = Journal(path, key, videos, seconds)
    for score in scores:
        journal.add(score)
    journal.__exit__(Killed, None, None)


def found(path, videos, key=KEY, seconds=100.0, tell=None):
    journal = Journal(path, key, videos, seconds, tell)
    journal.__exit__(Killed, None, None)
    return journal.scores


def test_finished_videos_are_restored_to_the_last_digit(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES[:2])
    stopped(path, videos, SCORES[2:])
    assert found(path, videos) == {score.name: score for score in SCORES}


def test_a_truncated_journal_keeps_its_complete_lines_and_continues(tmp_path, videos, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # loading takes seconds; the cut is made by hand
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES[:2])
    data = path.read_bytes()
    first = data.index(b"\n")
    for end in range(len(data)):
        path.write_bytes(data[:end])
        expected = SCORES[: (end >= first) + (end >= len(data) - 1)]
        assert found(path, videos) == {score.name: score for score in expected}
        stopped(path, videos, SCORES[2:3])
        assert found(path, videos) == {score.name: score for score in [*expected, SCORES[2]]}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bundle": "b2"}, "bundle"),
        ({"mirror": True}, "mirror"),
        ({"faces": "/some/faces"}, "faces"),
        ({"mirror": True, "faces": "/some/faces"}, "mirror and faces"),
    ],
)
def test_changed_settings_restart_with_a_note_and_equal_ones_resume(tmp_path, videos, change, named):
    path, notes = tmp_path / "s.journal.jsonl", []
    stopped(path, videos, SCORES)
    assert found(path, videos, tell=notes.append) == {score.name: score for score in SCORES}
    assert notes == []
    assert found(path, videos, {**KEY, **change}, tell=notes.append) == {}
    assert notes == [f"{path} is from a run with another {named}: its videos are scored again."]
    stopped(path, videos, SCORES[:1], {**KEY, **change})
    assert set(found(path, videos, {**KEY, **change})) == {"a.mp4"}
    assert set(found(path, videos)) == {score.name for score in SCORES}  # the first settings: scores still count


def test_a_changed_file_is_scored_again(tmp_path, videos):
    path, notes = tmp_path / "s.journal.jsonl", []
    stopped(path, videos, SCORES)
    (tmp_path / "a.mp4").write_bytes(b"y" * 11)
    (tmp_path / "gone.mp4").write_bytes(b"it came")
    assert set(found(path, videos, tell=notes.append)) == {"b, c.mp4", "ü\n.mp4"}
    assert set(found(path, videos[2:3], tell=notes.append)) == {"ü\n.mp4"}
    assert notes == []


@pytest.mark.parametrize("status", UNDONE)
def test_transient_failures_are_left_to_the_next_run(tmp_path, videos, status):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, [VideoScore("a.mp4", 0.5, status, reason="why"), SCORES[1]])
    assert found(path, videos) == {"b, c.mp4": SCORES[1]}


@pytest.mark.parametrize("reason", [f"{HASTE}: one segment", f"a faint face; {HASTE}: one segment; member 1 left out"])
def test_a_hasty_row_counts_only_for_a_run_with_the_same_time_limit(tmp_path, videos, reason):
    path = tmp_path / "s.journal.jsonl"
    hasty = replace(SCORES[0], reason=reason)
    stopped(path, videos, [hasty, *SCORES[1:]], seconds=100.0)
    assert found(path, videos, seconds=100.0)["a.mp4"] == hasty
    assert set(found(path, videos, seconds=200.0)) == {score.name for score in SCORES[1:]}
    stopped(path, videos, SCORES[:1], seconds=200.0)
    for seconds in (100.0, 200.0):
        assert found(path, videos, seconds=seconds)["a.mp4"] == SCORES[0]


def test_a_journal_of_an_earlier_version_is_ignored(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    score = {"name": "a.mp4", "probability": 0.3, "status": "ok", "tracks": [[0.1]], "confidences": [0.9]}
    path.write_text(json.dumps({"bundle": "b1", "file": file_stamp(videos[0].path), "score": score}) + "\n")
    assert found(path, videos) == {}


def test_the_journal_is_removed_when_the_run_ends(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    with Journal(path, KEY, videos) as journal:
        journal.add(SCORES[0])
        assert json.loads(path.read_text())["score"]["name"] == "a.mp4"
    assert not path.exists()


def test_an_empty_journal_is_removed(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, [])
    assert not path.exists()
    stopped(path, videos, SCORES[:1])
    stopped(path, videos, [])
    assert set(found(path, videos)) == {"a.mp4"}


def test_invalid_journal_lines_are_ignored(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES[:1])
    good = path.read_text()
    bad = ["[]", "3", "null", "\udcff", "{}", '{"score": 1}', good.strip().replace("0.30000000000000004", "7"), "\x00"]
    path.write_text("\n".join(bad) + "\n", errors="surrogateescape")
    assert found(path, videos) == {}
    path.write_text("\n".join(bad) + "\n" + good, errors="surrogateescape")
    assert found(path, videos) == {"a.mp4": SCORES[0]}


def test_two_runs_cannot_write_one_submission(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    with Journal(path, KEY, videos), pytest.raises(SubmissionError, match="another run writes"):
        Journal(path, KEY, videos)
    (tmp_path / "file").touch()
    with pytest.raises(SubmissionError, match="folder .*file cannot be written"):
        Journal(tmp_path / "file" / "s.journal.jsonl", KEY, videos)
