"""dfd validate and dfd score as command lines."""

import csv
import hashlib
import json
import math

import numpy as np
import pytest

from dfd.faces.tracklets import FacesConfig
from dfd.inference.info import BundleInfo
from dfd.scoring.board import public_test_labels
from tests.test_cli import dfd


def write(path, rows, end="\n"):
    path.write_text("\n".join(["filename,label", *(f"{name},{label}" for name, label in rows)]) + end)
    return path


def write_bundle(folder, seen=(), score=None):
    folder.mkdir()
    (folder / "seen.json").write_text(json.dumps(seen))
    (folder / "bundle.json").write_text(BundleInfo(faces=FacesConfig(), members=(), score=score or {}).text())
    return folder, hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()


@pytest.fixture
def halves(tmp_path):
    return write(tmp_path / "halves.csv", [(name, 0.5) for name in public_test_labels()])


class TestThePublicTest:
    def test_a_constant_half_is_compared_with_the_leaderboard(self, capsys, halves):
        status, text, _ = dfd(capsys, "score", halves)
        assert status == 0
        assert "400 videos: 200 fake, 200 real." in text
        lines = text.splitlines()
        ours = next(line for line in lines if line.startswith("this submission, here"))
        assert "0.6931" in ours
        assert any("1st" in line and "0.4280" in line for line in lines)
        assert "lost about 0.2" in text
        assert "parts 0, 1 and 2" in text
        assert "Warning" not in text

    def test_the_truth_with_every_tenth_label_flipped(self, capsys, tmp_path):
        """Forty confident errors in 400 rows, each clipped at 1e-15; computed here from the file alone."""
        truth = public_test_labels()
        turned = set(list(truth)[::10])
        path = write(tmp_path / "s.csv", [(n, 1 - y if n in turned else y) for n, y in truth.items()])
        status, text, _ = dfd(capsys, "score", path, "--json")
        found = json.loads(text)
        with path.open() as file:
            rows = [(truth[row["filename"]], float(row["label"])) for row in csv.DictReader(file)]
        y, p = np.array(rows).T
        p = np.clip(p, 1e-15, 1 - 1e-15)
        wanted = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        assert status == 0
        assert found["log_loss"] == pytest.approx(wanted, abs=1e-12)
        assert found["log_loss"] == pytest.approx(0.1 * -math.log(1e-15), rel=1e-4)  # 1 - 1e-15 is no float64
        wrong = [sum(1 for n in turned if truth[n] == label) / 200 for label in (0, 1)]
        assert (1 - found["real_accuracy"], 1 - found["fake_accuracy"]) == pytest.approx(wrong)
        assert found["quantized_average_error"] == 0.1
        assert found["auc"] == pytest.approx(1 - sum(wrong) / 2)
        assert found["brier"] == 0.1


class TestAPart:
    def test_two_missing_rows_of_400_are_not_scored_as_complete(self, capsys, tmp_path):
        names = list(public_test_labels())
        path = write(tmp_path / "s.csv", [(name, 0.5) for name in names[2:]])
        words = f"{path} has 398 of 400 labelled videos: no row for {names[0]!r}, {names[1]!r}"
        status, text, error = dfd(capsys, "score", path)
        assert (status, error.count("\n")) == (1, 1)
        assert f"dfd: {words}; this score leaves those out; give --partial if that is intended" in error
        assert "398 videos" in text
        assert f"Warning: {words}." in " ".join(text.split())
        status, text, error = dfd(capsys, "score", path, "--json")
        assert (status, "398 of 400" in error) == (1, True)
        found = json.loads(text)
        assert (found["videos"], found["missing"], found["warnings"]) == (398, 2, [words])
        status, text, error = dfd(capsys, "score", path, "--json", "--partial")
        assert (status, error, json.loads(text)["warnings"]) == (0, "", [words])

    def test_extra_rows_are_named_and_the_other_submission_must_be_complete(self, capsys, tmp_path):
        labels = write(tmp_path / "labels.csv", [("a", 0), ("b", 1)])
        path = write(tmp_path / "s.csv", [("a", 0.2), ("b", 0.9), ("c", 0.9)])
        status, text, _ = dfd(capsys, "score", path, "--labels", labels, "--json")
        assert (status, json.loads(text)["warnings"]) == (0, [f"1 rows of {path} have no label and are left out: 'c'"])
        other = write(tmp_path / "o.csv", [("a", 0.2)])
        status, _, error = dfd(capsys, "score", path, "--labels", labels, "--against", other)
        assert (status, f"{other} has 1 of 2 labelled videos: no row for 'b'" in error) == (1, True)

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("a,0.5\nb,0.5\na,0.6\n", "has twice 'a' on lines 2 and 4"),
            ("a,nan\nb,0.5\n", "line 2 has 'nan' for 'a'; a label is a number from 0 to 1"),
            ("a,0.5\nb,1.5\n", "line 3 has '1.5' for 'b'"),
        ],
    )
    def test_invalid_rows_are_a_one_line_error(self, capsys, tmp_path, rows, message):
        labels = write(tmp_path / "labels.csv", [("a", 0), ("b", 1)])
        (tmp_path / "s.csv").write_text(f"filename,label\n{rows}")
        status, text, error = dfd(capsys, "score", tmp_path / "s.csv", "--labels", labels)
        assert (status, text, error.count("\n"), message in error) == (1, "", 1, True)


class TestWhatTheBundleHasSeen:
    def test_training_videos_in_the_public_test_give_a_warning(self, capsys, halves, tmp_path):
        name = next(iter(public_test_labels()))
        for place, videos, warning in (
            (
                "a",
                [f"dfdc_train_part_1/{name}"],
                "1 of the 400 videos of the public test were in the training of the bundle or of its starting weights",
            ),
            ("b", ["dfdc_train_part_0/zzz.mp4"], "has seen videos of part 0, where the public test is from"),
            ("c", ["dfdc_train_part_9/zzz.mp4"], ""),
            ("d", [], "does not say what it was trained on"),
        ):
            bundle, _ = write_bundle(tmp_path / place, videos)
            status, text, _ = dfd(capsys, "score", halves, "--bundle", bundle)
            assert status == 0
            assert warning in text
            assert ("Warning" in text) == bool(warning)

    def test_the_report_suffices_without_the_bundle(self, capsys, halves, tmp_path):
        name = next(iter(public_test_labels()))
        seen = {"sha256": "0" * 64, "public_test_seen": {"videos": [name], "parts": [0]}}
        report = tmp_path / "report.json"
        report.write_text(json.dumps({"bundle": seen, "fell_back": []}))
        _, text, _ = dfd(capsys, "score", halves, "--report", report, "--json")
        assert json.loads(text)["warnings"][0].startswith("1 of the 400 videos")
        report.write_text(json.dumps({"fell_back": []}))  # a report of an older version
        _, text, _ = dfd(capsys, "score", halves, "--report", report, "--json")
        assert json.loads(text)["warnings"] == []

    def test_a_report_of_the_shipped_bundle_suffices(self, capsys, tmp_path, monkeypatch):
        bundle, sha256 = write_bundle(tmp_path / "shipped", ["b.mp4"])
        monkeypatch.setattr("dfd.inference.info.SHIPPED", bundle)
        labels = write(tmp_path / "labels.csv", [("a.mp4", 0), ("b.mp4", 1)])
        path, report = write(tmp_path / "s.csv", [("a.mp4", 0.2), ("b.mp4", 0.9)]), tmp_path / "report.json"
        for maker, warned in ((sha256, True), ("1" * 64, False)):
            seen = {"sha256": maker, "public_test_seen": {"videos": [], "parts": []}}
            report.write_text(json.dumps({"bundle": seen, "fell_back": []}))
            status, text, _ = dfd(capsys, "score", path, "--labels", labels, "--report", report)
            assert status == 0
            assert ("Warning: 1 of the 2 labelled videos" in text) == warned

    def test_another_bundle_than_the_report_names_is_refused(self, capsys, halves, tmp_path):
        bundle, sha256 = write_bundle(tmp_path / "b", ["a.mp4"])
        report = tmp_path / "report.json"
        for named, wanted in ((sha256, 0), ("1" * 64, 1)):
            seen = {"sha256": named, "public_test_seen": {"videos": [], "parts": []}}
            report.write_text(json.dumps({"bundle": seen, "fell_back": []}))
            status, _, error = dfd(capsys, "score", halves, "--report", report, "--bundle", bundle)
            assert status == wanted
        assert f"names bundle 111111111111…, and {bundle} is {sha256[:12]}…" in error

    def test_own_labels_of_training_videos_are_flagged(self, capsys, tmp_path):
        labels = write(tmp_path / "labels.csv", [("a.mp4", 0), ("b.mp4", 1)])
        bundle, _ = write_bundle(tmp_path / "b", ["part/a.mp4", "c.mp4"])
        path = write(tmp_path / "s.csv", [("a.mp4", 0.2), ("b.mp4", 0.9)])
        _, text, _ = dfd(capsys, "score", path, "--labels", labels, "--bundle", bundle)
        assert "Warning: 1 of the 2 labelled videos, or their sources, were in the training of the bundle or of" in text
        assert "began from: 'a.mp4'." in text

    def test_own_labels_of_fakes_of_training_sources_are_flagged(self, capsys, tmp_path):
        metadata = {"a.mp4": {"label": "FAKE", "original": "r.mp4"}, "b.mp4": {"label": "REAL"}}
        labels = tmp_path / "metadata.json"
        labels.write_text(json.dumps(metadata))
        path = write(tmp_path / "s.csv", [("a.mp4", 0.9), ("b.mp4", 0.1)])
        for place, seen, again in (("b", ["r.mp4"], ["'a.mp4'"]), ("c", ["other.mp4"], [])):
            bundle, _ = write_bundle(tmp_path / place, seen)
            _, text, _ = dfd(capsys, "score", path, "--labels", labels, "--bundle", bundle, "--json")
            assert [warning.rpartition(": ")[2] for warning in json.loads(text)["warnings"]] == again

    def test_an_old_bundle_is_refused(self, capsys, halves, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "bundle.json").write_text(json.dumps({"format": 2, "videos": ["a.mp4"]}))
        status, _, error = dfd(capsys, "score", halves, "--bundle", tmp_path / "b")
        assert (status, "is not of format 3" in error) == (1, True)


def test_every_metric_is_printed_and_each_loss_states_its_class_mix(capsys, tmp_path):
    labels = write(tmp_path / "labels.csv", [("a", 0), ("b", 1), ("c", 1)])
    path = write(tmp_path / "s.csv", [("a", 0.2), ("b", 0.9), ("c", 0.4)])
    _, text, _ = dfd(capsys, "score", path, "--labels", labels)
    for measure in (
        "balanced log loss", "log loss", "of the real", "of the fakes", "AUC", "average precision", "equal error rate",
        "Brier score", "calibration error", "average error", "quantized average error", "accuracy",
    ):  # fmt: skip
        assert measure in text
    assert "1 as real, 0 as fake" in text
    assert "1 as real, 1 as fake" in text
    assert "this mix, 2 fake of 3" in text
    assert "half fakes, as the test was" in text


def test_loss_per_status_and_the_better_of_two_are_printed(capsys, tmp_path):
    labels = write(tmp_path / "labels.csv", [("a", 0), ("b", 1), ("c", 1), ("d", 0)])
    path = write(tmp_path / "s.csv", [("a", 0.2), ("b", 0.8), ("c", 0.5), ("d", 0.5)])
    other = write(tmp_path / "o.csv", [("a", 0.4), ("b", 0.6), ("c", 0.45), ("d", 0.55)])
    report = tmp_path / "report.json"
    rows = [{"filename": "c", "status": "no_face"}, {"filename": "d", "status": "unreadable"}]
    report.write_text(json.dumps({"fell_back": rows}))
    arguments = ("--labels", labels, "--report", report, "--against", other)
    status, text, _ = dfd(capsys, "score", path, *arguments)
    table = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()[1:2] in (["1"], ["2"])}
    assert status == 0
    assert table["no_face"] == table["unreadable"] == ["1", f"{math.log(2):.4f}"]
    assert table["ok"] == ["2", f"{-math.log(0.8):.4f}"]
    assert "b is better than a by 0.197 of balanced log loss" in text


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_an_unusable_report_is_one_line(capsys, halves, tmp_path, text):
    report = tmp_path / "report.json"
    report.write_text(text)
    status, _, error = dfd(capsys, "score", halves, "--report", report)
    assert (status, error.count("\n")) == (1, 1)
    assert error.endswith(": give what dfd predict --report wrote\n")


class TestValidate:
    @pytest.fixture
    def sample(self, tmp_path):
        return write(tmp_path / "sample.csv", [(name, 0.5) for name in ("a.mp4", "b.mp4", "c.mp4")])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,label\na.mp4,0.1\n", "begins with 'name,label', not with 'filename,label'"),
            ("filename,label\na.mp4,0.1\nb.mp4,0.2\n", "no row for 'c.mp4'"),
            ("filename,label\na.mp4,0.1\nb.mp4,0.2\nc.mp4,0.3\nd.mp4,0.3\n", "rows for 'd.mp4'"),
            ("filename,label\na.mp4,0.1\nb.mp4,0.2\nb.mp4,0.2\nc.mp4,0.3\n", "twice 'b.mp4' on lines 3 and 4"),
            ("filename,label\na.mp4,nan\nb.mp4,0.2\nc.mp4,0.3\n", "line 2 has 'nan' for 'a.mp4'"),
            ("filename,label\na.mp4,inf\nb.mp4,1.2\nc.mp4,-1\n", "line 2 has 'inf' for 'a.mp4', line 3 has '1.2'"),
            ("filename,label\na.mp4,0.1\nb.mp4,0.2\nc.mp4,0.3", "has no newline at its end"),
        ],
    )
    def test_a_submission_kaggle_would_refuse_names_its_first_bad_rows(self, capsys, tmp_path, sample, text, message):
        path = tmp_path / "s.csv"
        path.write_text(text)
        status, _, error = dfd(capsys, "validate", path, "--sample", sample)
        assert status == 1
        assert message in error

    def test_a_spreadsheet_export_is_repaired_into_another_file(self, capsys, tmp_path, sample):
        path, clean = tmp_path / "s.csv", tmp_path / "new" / "clean.csv"
        path.write_bytes(b"\xef\xbb\xbffilename;label\r\na.mp4;0,1\r\nb.mp4;0,2\r\nc.mp4;0,9\r\n;\r\n")
        sample.write_bytes(b"\xef\xbb\xbf" + sample.read_bytes().replace(b"\n", b"\r\n"))
        before = path.read_bytes()
        status, _, error = dfd(capsys, "validate", path, "--sample", sample)
        assert (status, error.count("\n")) == (1, 1)
        assert "has a byte order mark at its beginning, 'filename;label' for its first line" in error
        assert "3 labels with a decimal comma: Kaggle wants plain CSV, and --fix OUT writes it" in error
        assert [file.name for file in tmp_path.iterdir() if file.suffix == ".csv"] == [sample.name, path.name]
        status, text, error = dfd(capsys, "validate", path, "--sample", sample, "--fix", clean)
        assert (status, error) == (0, "")
        assert f"{clean} is a valid submission." in text
        assert (path.read_bytes(), clean.read_text()) == (before, "filename,label\na.mp4,0.1\nb.mp4,0.2\nc.mp4,0.9\n")
        assert dfd(capsys, "validate", clean, "--sample", sample)[0] == 0

    def test_a_valid_submission_is_recorded_with_its_bundle(self, capsys, tmp_path, sample):
        path = write(tmp_path / "s.csv", [("a.mp4", 0.1), ("b.mp4", 0.2), ("c.mp4", 0.9)])
        score = {"balanced_log_loss": 0.5, "balanced_log_loss_interval": [0.4, 0.6]}
        bundle, sha256 = write_bundle(tmp_path / "b", score=score)
        ledger = tmp_path / "record.csv"
        status, text, _ = dfd(capsys, "validate", path, "--sample", sample, "--record", ledger, "--bundle", bundle)
        assert (status, "is a valid submission" in text) == (0, True)
        with ledger.open() as file:
            (row,) = csv.DictReader(file)
        assert row["bundle_sha256"] == sha256
        assert [row[k] for k in ("balanced_log_loss", "interval_low", "interval_high")] == ["0.5", "0.4", "0.6"]
        assert len(row["date"]) == 25
