import csv
import hashlib
import json
import subprocess

import pytest

from dfd.errors import SubmissionError
from dfd.scoring.ledger import COLUMNS, record_submission


@pytest.fixture
def made(tmp_path):
    (tmp_path / "bundle").mkdir()
    score = {"balanced_log_loss": 0.5, "balanced_log_loss_interval": [0.4, 0.6]}
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps({"score": score}))
    (tmp_path / "submission.csv").write_text("filename,label\na.mp4,0.5\n")
    return tmp_path


def test_each_submission_gets_a_row(made):
    for _ in range(2):
        record_submission(made / "record.csv", made / "submission.csv", made / "bundle")
    with (made / "record.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2
    assert rows[0]["submission_sha256"] == hashlib.sha256((made / "submission.csv").read_bytes()).hexdigest()
    assert [rows[1][k] for k in COLUMNS[-3:]] == ["0.5", "0.4", "0.6"]


def test_a_row_names_the_commit_and_whether_files_differ_from_it(made, monkeypatch):
    def commit():
        return record_submission(made / "record.csv", made / "submission.csv", made / "bundle")["commit"]

    monkeypatch.chdir(made)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(made.parent))
    assert commit() == ""
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "submission.csv"), (*author, "commit", "-qm", "First")):
        subprocess.run(["git", *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert commit() == head[:12]
    (made / "submission.csv").write_text("filename,label\na.mp4,0.6\n")
    assert commit() == f"{head[:12]}+"


@pytest.mark.parametrize("score", [{}, {"balanced_log_loss": 0.5, "seen_by_weights": 3}])
def test_a_bundle_without_a_held_out_score_leaves_it_empty(made, score):
    (made / "bundle" / "bundle.json").write_text(json.dumps({"score": score}))
    row = record_submission(made / "record.csv", made / "submission.csv", made / "bundle")
    assert row["balanced_log_loss"] == row["interval_low"] == ""


def test_a_file_that_is_not_a_ledger_is_left_unchanged(made):
    (made / "record.csv").write_text("my notes\n")
    with pytest.raises(SubmissionError, match="is not a ledger"):
        record_submission(made / "record.csv", made / "submission.csv", made / "bundle")
    assert (made / "record.csv").read_text() == "my notes\n"


def test_a_missing_bundle_is_an_error(made):
    with pytest.raises(SubmissionError, match=r"bundle\.json cannot be read"):
        record_submission(made / "record.csv", made / "submission.csv", made / "none")
