import math
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfd.errors import SubmissionError
from dfd.scoring.board import public_test_labels
from dfd.scoring.metrics import evaluate
from dfd.scoring.submission import (
    compare_submissions,
    loss_by_status,
    read_submission,
    score_submission,
    validate_submission,
    write_submission,
)
from tests.test_tables import PLAIN, SAVED

ODD = {
    "a,b.mp4": 0.1, 'say "hi".mp4': 0.2, "two\nlines.mp4": 0.3, "bare\rreturn.mp4": 0.4, "crlf\r\n.mp4": 0.45,
    "视频/видео.mp4": 0.5, "NA": 0.6, "001": 0.7, " space ": 0.8, "nan": 0.9, "'": 0.95, '"': 0.97, "=1+1": 1.0,
}  # fmt: skip
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def write(path, *rows, header="filename,label"):
    """Write a file of these lines, each ended by a newline."""
    path.write_text("".join(f"{line}\n" for line in (header, *rows)), encoding="utf-8", newline="")
    return path


class TestWriteAndRead:
    def test_the_written_bytes(self, tmp_path):
        write_submission(tmp_path / "s.csv", {"b.mp4": 0.25, "a.mp4": 1, "c,d.mp4": np.float64(0.5)})
        assert (tmp_path / "s.csv").read_bytes() == b'filename,label\nb.mp4,0.25\na.mp4,1.0\n"c,d.mp4",0.5\n'

    @settings(deadline=None, max_examples=60)
    @given(st.dictionaries(NAMES, st.floats(0, 1), max_size=8))
    def test_names_and_float_bits_round_trip_in_order(self, tmp_path_factory, probabilities):
        path = tmp_path_factory.mktemp("s") / "s.csv"
        write_submission(path, probabilities)
        assert list(read_submission(path).items()) == list(probabilities.items())

    def test_odd_names_round_trip_here_and_in_pandas(self, tmp_path):
        write_submission(tmp_path / "s.csv", ODD)
        assert read_submission(tmp_path / "s.csv") == ODD
        table = pd.read_csv(tmp_path / "s.csv", dtype={"filename": str}, keep_default_na=False)
        assert dict(zip(table["filename"], table["label"], strict=True)) == ODD

    def test_windows_line_ends_are_read(self, tmp_path):
        (tmp_path / "s.csv").write_bytes(b"filename,label\r\na.mp4,0.5\r\n")
        assert read_submission(tmp_path / "s.csv") == {"a.mp4": 0.5}

    def test_a_failed_write_leaves_the_old_file_and_no_other(self, tmp_path, monkeypatch):
        path = tmp_path / "s.csv"
        write_submission(path, {"a.mp4": 0.5})
        before = path.read_bytes()
        monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
        with pytest.raises(SubmissionError, match="cannot be written: No space left on device"):
            write_submission(path, {"a.mp4": 0.9})
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_an_impossible_path_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        for place in (tmp_path / "file" / "s.csv", tmp_path):
            with pytest.raises(SubmissionError, match="cannot be written"):
                write_submission(place, {"a.mp4": 0.5})

    @pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
    def test_a_label_outside_0_to_1_is_not_written(self, tmp_path, value):
        with pytest.raises(SubmissionError, match=r"cannot hold .* for 'b.mp4'; a label is a number from 0 to 1"):
            write_submission(tmp_path / "s.csv", {"a.mp4": 0.5, "b.mp4": value})
        assert not list(tmp_path.iterdir())

    def test_a_name_that_is_not_text_is_not_written(self, tmp_path):
        with pytest.raises(SubmissionError, match="a filename that is not text"):
            write_submission(tmp_path / "s.csv", {os.fsdecode(b"\xff.mp4"): 0.5})
        assert not list(tmp_path.iterdir())


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "begins with '', not with 'filename,label'"),
            (b"name,label\na,0.5\n", "begins with 'name,label', not with 'filename,label'"),
            (b"a,0.5\n", "begins with 'a,0.5'"),
            (b"filename,label\na,0.5,1\n", "line 2 has 3 columns; the header has 2, a name with a comma is quoted"),
            (b"filename,label\na,0.5\nb,\n", "line 3 has '' for 'b'; a label is a number from 0 to 1"),
            (b"filename,label\na,FAKE\n", "line 2 has 'FAKE' for 'a'"),
            (b"filename,label\na,nan\n", "line 2 has 'nan'"),
            (b"filename,label\na,inf\n", "line 2 has 'inf'"),
            (b"filename,label\na,-0.001\n", "line 2 has '-0.001'"),
            (b"filename,label\na,1.001\n", "line 2 has '1.001'"),
            (b"filename,label\na,0_1\n", "line 2 has '0_1'"),
            ("filename,label\na,٠\n".encode(), "line 2 has '٠'"),
            (b"filename,label\na,0.5\nb,0.5\na,0.6\n", "has twice 'a' on lines 2 and 4; give each file one row"),
            (b"filename,label\n\xff,0.5\n", "not UTF-8 at byte 15"),
            (b'filename,label\n"a,0.5\n', "is not CSV at line"),
            (b"filename,label\n,0.5\n", "line 2: no file name"),
            (b"filename,label,note\na,0.5,x\n", "begins with 'filename,label,note', not with 'filename,label'"),
            (b"filename,label,Label\na,0.5,0.5\n", "has 2 column label"),
        ],
    )
    def test_the_first_bad_row_is_named(self, tmp_path, content, message):
        (tmp_path / "s.csv").write_bytes(content)
        sample = write(tmp_path / "sample.csv", "a,0.5")
        for refuse in (
            lambda path: read_submission(path),
            lambda path: validate_submission(path, sample),
            lambda path: score_submission(path, {"a": 1}),
        ):
            with pytest.raises(SubmissionError, match=message) as error:
                refuse(tmp_path / "s.csv")
            assert "s.csv" in str(error.value)
            assert "\n" not in str(error.value)

    def test_three_bad_rows_are_named_and_the_rest_counted(self, tmp_path):
        path = write(tmp_path / "s.csv", *(f"{name},2" for name in "abcde"))
        with pytest.raises(SubmissionError, match=r"line 2 has '2' for 'a', .* for 'c' and 2 more; a label"):
            read_submission(path)

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(SubmissionError, match=r"none.csv cannot be read: No such file"):
            read_submission(tmp_path / "none.csv")
        with pytest.raises(SubmissionError, match=r"none.csv cannot be read"):
            validate_submission(write(tmp_path / "s.csv", "a,0.5"), tmp_path / "none.csv")


class TestValidate:
    def sample(self, tmp_path, names="abcd"):
        return write(tmp_path / "sample.csv", *(f"{name},0.5" for name in names))

    def test_a_submission_kaggle_would_accept_passes_in_any_order(self, tmp_path):
        path = write(tmp_path / "s.csv", "d,0.9", "a,0.1", "c,0.4", "b,0.6")
        assert validate_submission(path, self.sample(tmp_path)) == []

    def test_the_samples_labels_do_not_matter(self, tmp_path):
        path = write(tmp_path / "s.csv", "a,0.1", "b,0.6")
        assert validate_submission(path, write(tmp_path / "sample.csv", "b,", "a,FAKE")) == []

    def test_odd_names_are_compared_exactly(self, tmp_path):
        write_submission(tmp_path / "s.csv", ODD)
        write_submission(tmp_path / "sample.csv", dict.fromkeys(ODD, 0.5))
        assert len(validate_submission(tmp_path / "s.csv", tmp_path / "sample.csv")) == 1  # the label of exactly 1

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (["a,0.1", "b,0.6"], r"s.csv has no row for 'c', 'd'; .*sample.csv has one for each"),
            ([], r"has no row for 'a', 'b', 'c' and 1 more"),
            (["a,0", "b,1", "c,0", "d,1", "D,0"], r"has rows for 'D'; .*sample.csv has none for them"),
        ],
    )
    def test_missing_and_extra_rows_are_named(self, tmp_path, rows, message):
        with pytest.raises(SubmissionError, match=message):
            validate_submission(write(tmp_path / "s.csv", *rows), self.sample(tmp_path))

    def test_a_truncated_file_is_refused(self, tmp_path):
        path = write(tmp_path / "s.csv", "d,0.9", "a,0.1", "c,0.4", "b,0.6789")
        path.write_bytes(path.read_bytes()[:-3])  # 0.67 is still a number
        with pytest.raises(SubmissionError, match="has no newline at its end, as if it had been cut off: "):
            validate_submission(path, self.sample(tmp_path))

    @pytest.mark.parametrize("form", SAVED)
    def test_a_spreadsheet_export_is_read_refused_and_repaired(self, tmp_path, form):
        path, sample = tmp_path / "s.csv", write(tmp_path / "sample.csv", "b.mp4,0.5", "a.mp4,0.5")
        path.write_bytes(SAVED[form])
        assert read_submission(path) == {"a.mp4": 0.25, "b.mp4": 0.75}
        plain, clean = form in PLAIN, tmp_path / "clean.csv"
        if plain:
            assert validate_submission(path, sample) == []
        else:
            with pytest.raises(SubmissionError, match=r"s.csv has .*: Kaggle wants plain CSV, and --fix OUT writes it"):
                validate_submission(path, sample)
        assert path.read_bytes() == SAVED[form]
        found = validate_submission(path, sample, clean)
        assert clean.read_bytes() == b"filename,label\nb.mp4,0.75\na.mp4,0.25\n"
        assert all(text.startswith(f"{path} has ") and text.endswith(f"; {clean} has not") for text in found)
        assert bool(found) != plain
        assert validate_submission(clean, tmp_path / "s.csv") == []  # a sample may be saved the same way

    def test_nothing_is_repaired_if_rows_are_invalid(self, tmp_path):
        sample = self.sample(tmp_path, "ab")
        for rows in (["a,0.5"], ["a,0.5", "b,0.5", "c,0.5"], ["a,0.5", "b,1.5"], ["a,0.5", "b,nan"]):
            with pytest.raises(SubmissionError):
                validate_submission(write(tmp_path / "s.csv", *rows), sample, tmp_path / "clean.csv")
        assert not (tmp_path / "clean.csv").exists()

    @pytest.mark.parametrize(
        ("labels", "warnings"),
        [
            ([0.1, 0.4, 0.6, 0.9], []),
            ([0.7] * 4, ["every label is 0.7: a constant"]),
            ([0.5] * 4, ["every label is 0.5: a constant"]),
            ([0.5, 0.5, 0.5, 0.9], ["3 of 4 labels are exactly 0.5", "no label is below 0.5"]),
            ([0.5, 0.5, 0.1, 0.9], []),
            ([0.6, 0.7, 0.8, 0.9], ["no label is below 0.5"]),
            ([0.1, 0.2, 0.3, 0.4], ["no label is above 0.5"]),
            ([0, 0.2, 0.8, 1], ["2 labels are exactly 0 or 1: each costs 34.5"]),
        ],
    )
    def test_suspicious_submissions_give_warnings(self, tmp_path, labels, warnings):
        write_submission(tmp_path / "s.csv", dict(zip("abcd", labels, strict=True)))
        found = validate_submission(tmp_path / "s.csv", self.sample(tmp_path))
        assert len(found) == len(warnings)
        assert all(text.startswith(start) for text, start in zip(found, warnings, strict=True))

    def test_an_empty_submission_and_sample_give_a_warning(self, tmp_path):
        assert validate_submission(write(tmp_path / "s.csv"), self.sample(tmp_path, "")) == [
            "there is not a single row"
        ]


class TestScore:
    def test_equals_evaluate_on_the_file(self, tmp_path):
        path = write(tmp_path / "s.csv", "a,0.1", "b,0.6", "c,0.4", "d,0.9")
        labels = {"d": 1, "c": 1, "b": 0, "a": 0}
        groups = {"a": "1", "b": "2", "c": "1", "d": "2", "x": "3"}
        measures = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
        assert score_submission(path, labels) == {**measures, "unlabelled": 0, "missing": 0}
        grouped = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], ["1", "2", "1", "2"], rounds=50)
        assert score_submission(path, labels, groups, 50) == {**grouped, "unlabelled": 0, "missing": 0}

    def test_unmatched_rows_are_counted_and_left_out(self, tmp_path):
        path = write(tmp_path / "s.csv", "a,0.5", "b,0.5", "extra,0.99")
        result = score_submission(path, {"a": 0, "b": 1, "lost": 1, "gone": 0})
        assert (result["videos"], result["unlabelled"], result["missing"]) == (2, 1, 2)
        assert result["log_loss"] == pytest.approx(math.log(2))

    def test_no_overlap_is_refused(self, tmp_path):
        with pytest.raises(SubmissionError, match="no row with a label: 1 rows and 2 labels share no filename"):
            score_submission(write(tmp_path / "s.csv", "a.mp4,0.5"), {"a": 0, "b": 1})

    def test_a_row_without_a_group_is_refused(self, tmp_path):
        path = write(tmp_path / "s.csv", "a,0.5", "b,0.5")
        with pytest.raises(SubmissionError, match="no group for 'b'; each labelled row takes one"):
            score_submission(path, {"a": 0, "b": 1}, {"a": "a"})


class TestStatuses:
    def test_loss_per_status_by_hand(self, tmp_path):
        path = write(tmp_path / "s.csv", "a,0.5", "b,0.25", "c,0.75", "d,0.9")
        found = loss_by_status(path, {"a": 1, "b": 0, "c": 0}, {"a": "no_face"})
        assert found["no_face"] == {"videos": 1, "log_loss": pytest.approx(math.log(2))}
        assert found["ok"] == {"videos": 2, "log_loss": pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)}


class TestComparison:
    def test_the_better_of_two_by_hand(self, tmp_path):
        a = write(tmp_path / "a.csv", "x,0.5", "y,0.5", "only_a,0.1")
        b = write(tmp_path / "b.csv", "y,0.8", "x,0.2")
        labels = {"x": 0, "y": 1, "only_a": 0}
        found = compare_submissions(a, b, labels, {name: name for name in labels})
        assert found["balanced_log_loss"] == pytest.approx(math.log(0.5) - math.log(0.8))
        assert found["sentence"].startswith("b is better than a by 0.470")

    def test_nothing_shared_is_an_error(self, tmp_path):
        a, b = write(tmp_path / "a.csv", "x,0.5"), write(tmp_path / "b.csv", "y,0.5")
        with pytest.raises(SubmissionError, match="share no row with a label"):
            compare_submissions(a, b, {"x": 1, "y": 0}, {"x": "x", "y": "y"})


class TestPublicTest:
    """The two files that an outsider would try first, each against a separate computation."""

    def test_a_half_in_every_row(self, tmp_path):
        path = write(tmp_path / "s.csv", *(f"{name},0.5" for name in public_test_labels()))
        assert score_submission(path, public_test_labels())["log_loss"] == pytest.approx(math.log(2), abs=1e-12)

    def test_the_truth_with_every_tenth_label_flipped(self, tmp_path):
        labels = public_test_labels()
        rows = [f"{name},{0.9 if (y == 1) != (i % 10 == 0) else 0.1}" for i, (name, y) in enumerate(labels.items())]
        found = score_submission(write(tmp_path / "s.csv", *rows), labels)
        assert found["log_loss"] == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1), abs=1e-12)
        assert found["accuracy"] == pytest.approx(0.9)
