"""The summary of a folder that is printed before any work."""

import pytest

from dfd.report.understood import understood
from dfd.videos.manifest import read_asked, read_folder
from tests.test_manifest import describe, lay


def lines(folder, **how):
    return [line.replace(str(folder), "IN") for line in understood(folder, read_folder(folder), **how)]


def test_a_data_set_with_its_people(tmp_path):
    lay(tmp_path, *(f"original/{n:03}.mp4" for n in range(4)), "Deepfakes/000_001.mp4", "FaceSwap/001_000.mp4")
    assert lines(tmp_path) == [
        "IN: FaceForensics++: 4 real, 2 fake of 2 methods, 3 groups of people.",
        "Labels are from the folders Deepfakes (1 fake), FaceSwap (1 fake), original (4 real).",
    ]


def test_omitted_files_are_counted(tmp_path):
    lay(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    describe(tmp_path, {"a.mp4": {"label": "FAKE", "original": "b.mp4"}, "b.mp4": {"label": "REAL"}, "c.mp4": {}})
    assert lines(tmp_path) == [
        "IN: DFDC's form: 1 real, 1 fake, 1 without a label, 2 groups of one source.",
        "Labels are from metadata.json.",
        "2 videos are not in metadata.json and are left out; --unlisted includes them.",
    ]


@pytest.mark.parametrize(("labels", "mentioned"), [(True, True), (False, False)])
def test_missing_labels_are_mentioned_if_needed(tmp_path, labels, mentioned):
    lay(tmp_path, "a.mp4", "b.mp4", "c.jpg")
    first, *middle, last = lines(tmp_path, labels=labels)
    assert first == "IN: a folder of videos: 2 videos."
    assert any("No video has a label, and training needs them" in line for line in middle) == mentioned
    assert last == "1 picture is among videos and is left out; --unlisted includes it."


def test_a_missing_class_is_mentioned(tmp_path):
    assert lines(lay(tmp_path, "fake/a.mp4"))[2].startswith("None is real: cross-validation needs real videos")


def test_a_sample_and_a_single_file_are_described(tmp_path):
    (tmp_path / "sample.csv").write_text("filename,label\na.mp4,0.5\ngone.mp4,0.5\n")
    folder = lay(tmp_path / "in", "a.mp4", "b.mp4")
    summary = understood(folder, read_asked(tmp_path / "sample.csv", folder), labels=False)
    assert summary == [
        f"{folder}: what sample.csv asks for: 2 videos, 1 of them not there.",
        "1 video is not in sample.csv and is left out; --unlisted includes it.",
    ]
    assert understood(folder / "a.mp4", read_folder(folder / "a.mp4")) == []
