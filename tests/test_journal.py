import json

import pytest

from dfd.errors import SubmissionError
from dfd.inference.journal import Journal
from dfd.types import Video, VideoScore


@pytest.fixture
def videos(tmp_path):
    made = []
    for name in ("a.mp4", "b, c.mp4", "ü\n.mp4", "gone.mp4"):
        if name != "gone.mp4":
            (tmp_path / name).write_bytes(b"x" * 10)
        made.append(Video(tmp_path / name, name))
    return made


SCORES = [
    VideoScore("a.mp4", 0.1 + 0.2, "ok", 1.5, "a faint face", ((0.1, 1 / 3), (2.0,)), (0.9, 0.8)),
    VideoScore("b, c.mp4", 0.5, "timed_out", 120.0, "killed after 120 s"),
    VideoScore("ü\n.mp4", 0.75, "ok", tracks=((1.0,),), confidences=(1.0,)),
    VideoScore("gone.mp4", 0.5, "missing", reason="no such file"),
]


class Killed(BaseException):
    pass


def stopped(path, videos, scores, bundle="b1"):
    """A run that ends before it is done."""
    journal = Journal(path, bundle, videos)
    for score in scores:
        journal.add(score)
    journal.__exit__(Killed, None, None)


def found(path, videos, bundle="b1"):
    journal = Journal(path, bundle, videos)
    journal.__exit__(Killed, None, None)
    return journal.scores


def test_what_was_finished_is_known_to_the_next_run_to_the_last_digit(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES[:2])
    stopped(path, videos, SCORES[2:])
    assert found(path, videos) == {score.name: score for score in SCORES}


def test_a_journal_that_is_cut_anywhere_gives_its_whole_lines_and_goes_on(tmp_path, videos):
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


def test_another_bundle_or_another_file_is_scored_anew(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES)
    assert found(path, videos, "b2") == {}
    (tmp_path / "a.mp4").write_bytes(b"y" * 11)
    (tmp_path / "gone.mp4").write_bytes(b"it came")
    assert set(found(path, videos)) == {"b, c.mp4", "ü\n.mp4"}
    assert set(found(path, videos[2:3])) == {"ü\n.mp4"}


def test_what_the_time_was_too_short_for_is_left_to_the_next_run(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, [VideoScore("a.mp4", 0.5, "out_of_budget")])
    assert path.read_text() == ""


def test_it_is_gone_when_the_run_has_ended(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    with Journal(path, "b1", videos) as journal:
        journal.add(SCORES[0])
        assert json.loads(path.read_text())["score"]["name"] == "a.mp4"
    assert not path.exists()


def test_nonsense_in_it_is_passed_over(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    stopped(path, videos, SCORES[:1])
    good = path.read_text()
    bad = ["[]", "3", "null", "\udcff", "{}", '{"score": 1}', good.strip().replace("0.30000000000000004", "7"), "\x00"]
    path.write_text("\n".join(bad) + "\n", errors="surrogateescape")
    assert found(path, videos) == {}
    path.write_text("\n".join(bad) + "\n" + good, errors="surrogateescape")
    assert found(path, videos) == {"a.mp4": SCORES[0]}


def test_two_runs_do_not_write_the_same_submission(tmp_path, videos):
    path = tmp_path / "s.journal.jsonl"
    with Journal(path, "b1", videos), pytest.raises(SubmissionError, match="another run writes"):
        Journal(path, "b1", videos)
    with pytest.raises(SubmissionError, match="cannot be written"):
        Journal(tmp_path / "none" / "s.journal.jsonl", "b1", videos)
