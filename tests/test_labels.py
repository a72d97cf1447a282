"""Label files, as written by people and datasets."""

import json

import pytest

from dfd.errors import ManifestError
from dfd.videos.labels import read_known, read_labels, read_sources, read_truth


def table(tmp_path, *lines, name="labels.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("fake", "real"),
    [("FAKE", "REAL"), ("fake", "real"), ("Fake", " Real "), ("1", "0"), ("1.0", "0.0"), ("true", "False")],
)
def test_labels_are_read_in_any_case_and_as_numbers(tmp_path, fake, real):
    path = table(tmp_path, "filename,label", f"a.mp4,{fake}", f"b.mp4,{real}", "c.mp4,")
    assert read_labels(path) == {"a.mp4": 1, "b.mp4": 0}


@pytest.mark.parametrize("header", ["filename,label", "File Path,class", "Video,is_fake", "name,target", "file,Label"])
def test_columns_are_found_by_any_of_their_names(tmp_path, header):
    assert read_labels(table(tmp_path, header, "a.mp4,1", "b.mp4,0")) == {"a.mp4": 1, "b.mp4": 0}


def test_a_column_that_marks_real_videos_is_inverted(tmp_path):
    assert read_labels(table(tmp_path, "video,is_real", "a.mp4,1", "b.mp4,FALSE")) == {"a.mp4": 0, "b.mp4": 1}


def test_every_form_of_dfdc_metadata_is_read(tmp_path):
    path = tmp_path / "metadata.json"
    entries = {
        "a.mp4": {"is_fake": 1, "augmentations": []},
        "b.mp4": {"is_fake": 0},
        "c.mp4": {"label": "fake", "set": "train", "target_id": "1", "swapped_id": "2"},
        "d.mp4": {"Label": True, "original": ["b.mp4", "e.mp4"]},
        "e.mp4": {"label": None},
    }
    path.write_text(json.dumps(entries))
    assert read_labels(path) == {"a.mp4": 1, "b.mp4": 0, "c.mp4": 1, "d.mp4": 1}
    assert read_known(path)["c.mp4"].people == ("preview/1", "preview/2")
    assert read_sources(path) == {"d.mp4": "b.mp4", **{name: name for name in ("a.mp4", "b.mp4", "c.mp4", "e.mp4")}}


def test_celeb_dfs_list_marks_real_videos_with_1(tmp_path):
    path = table(
        tmp_path,
        "1 YouTube-real/00170.mp4",
        "",
        "0 Celeb-synthesis/id0_id1_0000.mp4",
        name="List_of_testing_videos.txt",
    )
    assert read_labels(path) == {"YouTube-real/00170.mp4": 0, "Celeb-synthesis/id0_id1_0000.mp4": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1 Celeb-synthesis/id0_id1_0000.mp4",
            "says that Celeb-synthesis/id0_id1_0000.mp4 is real: in this list",
        ),
        ("a.mp4 FAKE", "'a.mp4 FAKE' is no line of Celeb-DF's list"),
    ],
)
def test_an_unknown_list_is_refused(tmp_path, line, message):
    with pytest.raises(ManifestError, match=message):
        read_labels(table(tmp_path, line, name="list.txt"))


def test_an_unknown_label_is_named_with_its_column_and_file(tmp_path):
    with pytest.raises(ManifestError, match=r"labels\.csv: target of b\.mp4 is 'maybe': give 1 \(fake\) or 0 \(real\)"):
        read_labels(table(tmp_path, "name,target", "a.mp4,1", "b.mp4,maybe"))


def test_labels_are_matched_to_the_scored_names(tmp_path):
    path = table(tmp_path, "video,label,source", "a,FAKE,B", "B,REAL,", "gone,0,")
    labels, sources = read_truth(path, ["part_0/a.mp4", "b.MP4", "c.mp4"])
    assert labels == {"part_0/a.mp4": 1, "b.MP4": 0, "gone": 0}
    assert sources == {"part_0/a.mp4": "b.MP4", "b.MP4": "b.MP4", "gone": "gone"}


def test_labels_are_matched_for_moved_files(tmp_path):
    path = table(tmp_path, "path,label", r"D:\sets\x\a.mp4,1", r"D:\sets\b.mp4,0")
    assert read_truth(path, ["x/a.mp4", "b.mp4"])[0] == {"x/a.mp4": 1, "b.mp4": 0}


def test_one_video_under_two_names_is_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"names a\.mp4 twice, as a and as A\.mp4: give it one row"):
        read_truth(table(tmp_path, "filename,label", "a,1", "A.mp4,0"), ["a.mp4"])
