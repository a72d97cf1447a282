"""Datasets' folders as released, with empty files: a manifest does not open files with a video suffix."""

import json

import pytest

from dfd.errors import ManifestError
from dfd.types import Video
from dfd.videos.layouts import LAYOUTS, described
from dfd.videos.manifest import read_asked, read_folder
from tests.test_manifest import brief, describe, lay


def table(folder, *lines, name="labels.csv"):
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def people(found):
    return {video.name: video.people for video in found.videos}


def test_help_names_every_layout():
    assert [line.split(":")[0][2:] for line in described().splitlines()] == [layout.name for layout in LAYOUTS]


def test_dfdc_parts_as_nested_in_their_zips(tmp_path):
    entries = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}
    first, second = (f"dfdc_train_part_0{part}/dfdc_train_part_{part}/" for part in (0, 1))
    for part in (first, second):
        describe(lay(tmp_path / part, "a.mp4", "b.mp4", "c.mp4"), entries)
    lay(tmp_path, "test_videos/d.mp4")
    found = read_folder(tmp_path)
    assert brief(found.videos) == [
        (f"{first}a.mp4", 0, f"{first}a.mp4"),
        (f"{first}b.mp4", 1, f"{first}a.mp4"),
        (f"{second}a.mp4", 0, f"{second}a.mp4"),
        (f"{second}b.mp4", 1, f"{second}a.mp4"),
    ]
    assert (found.layout, found.by) == ("DFDC's form, 2 parts", "2 files metadata.json")
    assert [video.name for video in found.left_out] == [f"{first}c.mp4", f"{second}c.mp4", "test_videos/d.mp4"]


def test_dfdc_s_test_set(tmp_path):
    describe(lay(tmp_path, "videos/a.mp4", "videos/b.mp4"), {"a.mp4": {"is_fake": 0}, "b.mp4": {"is_fake": "1"}})
    found = read_folder(tmp_path)
    assert brief(found.videos) == [("a.mp4", 0, "a.mp4"), ("b.mp4", 1, "b.mp4")]
    assert found.videos[0].path == tmp_path / "videos" / "a.mp4"


@pytest.mark.parametrize("called", ["dataset.json", "metadata.json", "Dataset.JSON"])
def test_dfdc_s_preview(tmp_path, called):
    lay(tmp_path, "original_videos/1/1_A.mp4", "method_A/1/2_1_A.mp4", "original_videos/3/3_A.mp4")
    entries = {
        "original_videos/1/1_A.mp4": {"label": "real", "set": "train"},
        "method_A/1/2_1_A.mp4": {"label": "fake", "set": "train", "target_id": "1", "swapped_id": "2"},
    }
    (tmp_path / called).write_text(json.dumps(entries))
    found = read_folder(tmp_path)
    original = "original_videos/1/1_A.mp4"
    assert brief(found.videos) == [("method_A/1/2_1_A.mp4", 1, original), (original, 0, original)]
    assert people(found) == {"method_A/1/2_1_A.mp4": ("preview/1", "preview/2"), original: ("preview/1",)}
    assert (found.layout, found.by, found.why) == ("DFDC's preview set", called, f"not in {called}")
    assert [video.name for video in found.left_out] == ["original_videos/3/3_A.mp4"]


def test_a_face_dataset_next_to_the_videos_is_not_a_preview(tmp_path):
    lay(tmp_path, "a.mp4")
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 4, "faces": {"size": 224}}))
    assert brief(read_folder(tmp_path).videos) == [("a.mp4", None, "a.mp4")]


def test_faceforensics_as_it_is_released(tmp_path):
    lay(
        tmp_path,
        "original_sequences/youtube/c23/videos/000.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
        "manipulated_sequences/FaceShifter/c23/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
        "extras/trailer.mp4",
    )
    found = read_folder(tmp_path)
    assert (found.layout, found.methods, [video.label for video in found.videos]) == (
        "FaceForensics++ c23",
        2,
        [1, 1, 0],
    )
    assert {video.source for video in found.videos} == {"original_sequences/youtube/c23/videos/000.mp4"}
    assert [video.name for video in found.left_out] == ["extras/trailer.mp4"]
    assert found.by == "the folders Deepfakes (1 fake), FaceShifter (1 fake), original_sequences (1 real)"


@pytest.mark.parametrize("prefix", ["", "FaceForensics++_C23/", "archive/FF/"])
def test_faceforensics_mirrors(tmp_path, prefix):
    names = (
        "original/000.mp4",
        "original/003.MP4",
        "Deepfakes/000_003.mp4",
        "Face2Face/003_000.mp4",
        "NeuralTextures/003_000.mp4",
    )
    actor = "DeepFakeDetection/01_02__talking_against_wall__9TDCEK1Q.mp4"
    lay(tmp_path, *(prefix + name for name in (*names, actor)), f"{prefix}csv/FF++_Metadata.csv")
    found = read_folder(tmp_path)
    assert {
        video.name.removeprefix(prefix): (video.label, video.source.removeprefix(prefix)) for video in found.videos
    } == {
        "original/000.mp4": (0, "original/000.mp4"),
        "original/003.MP4": (0, "original/003.MP4"),
        "Deepfakes/000_003.mp4": (1, "original/000.mp4"),
        "Face2Face/003_000.mp4": (1, "original/003.MP4"),
        "NeuralTextures/003_000.mp4": (1, "original/003.MP4"),
        actor: (1, "original/01__talking_against_wall.mp4"),
    }
    assert people(found)[f"{prefix}Deepfakes/000_003.mp4"] == ("youtube/000", "youtube/003")
    assert people(found)[prefix + actor] == ("actors/01", "actors/02")
    assert (found.layout, found.methods) == ("FaceForensics++" + " c23" * ("C23" in prefix), 4)


def test_deepfakedetection_s_mirror(tmp_path):
    lay(
        tmp_path,
        "DFD_original sequences/01__a.mp4",
        "DFD_manipulated_sequences/DFD_manipulated_sequences/01_02__a__X1.mp4",
    )
    found = read_folder(tmp_path)
    assert [(video.label, video.source) for video in found.videos] == [
        (1, "DFD_original sequences/01__a.mp4"),
        (0, "DFD_original sequences/01__a.mp4"),
    ]
    assert (found.layout, found.methods) == ("DeepFakeDetection", 1)


def test_the_actors_alone_are_deepfakedetection(tmp_path):
    lay(
        tmp_path,
        "original_sequences/actors/c40/videos/01__a.mp4",
        "manipulated_sequences/DeepFakeDetection/c40/videos/01_02__a__X1.mp4",
    )
    found = read_folder(tmp_path)
    assert (found.layout, found.methods) == ("DeepFakeDetection c40", 1)
    assert {video.source for video in found.videos} == {"original_sequences/actors/c40/videos/01__a.mp4"}


@pytest.mark.parametrize("prefix", ["", "Celeb-DF-v2/"])
def test_celeb_df_with_its_list_of_test_videos(tmp_path, prefix):
    names = ("Celeb-real/id0_0000.mp4", "YouTube-real/00170.mp4", "Celeb-synthesis/id0_id1_0000.mp4")
    lay(tmp_path, *(prefix + name for name in (*names, "Celeb-synthesis/id1_id0_0000.mp4")))
    listed = tmp_path / prefix / "List_of_testing_videos.txt"
    listed.write_text(
        "".join(f"{label} {name}\n" for label, name in zip("110", names, strict=True)) + "1 YouTube-real/9.mp4\n"
    )
    found = read_folder(tmp_path)
    assert {video.name.removeprefix(prefix): video.label for video in found.videos} == {
        **dict.fromkeys(names[:2], 0), names[2]: 1, "Celeb-synthesis/id1_id0_0000.mp4": 1,
    }  # fmt: skip
    assert found.notes == (
        f"3 of the 4 in List_of_testing_videos.txt are among them: dfd predict --sample {listed} scores these alone.",
    )
    asked = read_asked(listed, tmp_path / prefix)
    assert [video.name for video in asked.videos] == [*names, "YouTube-real/9.mp4"]
    assert [video.name for video in asked.left_out] == ["Celeb-synthesis/id1_id0_0000.mp4"]


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("real", "fake"),
        ("REAL", "Fake"),
        ("train/real", "val/fake"),
        ("0_real", "1_fake"),
        ("Real Videos", "Fake_Videos"),
    ],
)
def test_folders_by_label(tmp_path, real, fake):
    lay(tmp_path, f"{real}/a.mp4", f"{fake}/x/b.MTS", "c.mp4")
    found = read_folder(tmp_path)
    assert {(video.name, video.label) for video in found.videos} == {(f"{real}/a.mp4", 0), (f"{fake}/x/b.MTS", 1)}
    assert (found.layout, [video.name for video in found.left_out]) == ("folders by label", ["c.mp4"])


def test_ambiguous_folder_names_alone_are_not_labels(tmp_path):
    lay(tmp_path, "holiday/original/a.mp4", "holiday/cut/b.mp4")
    assert [video.label for video in read_folder(tmp_path).videos] == [None, None]


@pytest.mark.parametrize(
    ("place", "name"),
    [("", "labels.csv"), ("", "Labels.CSV"), ("", "train.csv"), ("..", "labels.csv"), ("..", "flat.csv")],
)
def test_a_table_inside_or_next_to_a_flat_folder_is_read(tmp_path, place, name):
    folder = lay(tmp_path / "flat", "a.mp4", "b.mp4", "c.mp4", "notes.csv")
    table(folder / place, "video,target,source", "a,FAKE,b", "flat/b.mp4,0,", "gone.mp4,1,", name=name)
    found = read_folder(folder)
    assert brief(found.videos) == [("a.mp4", 1, "b.mp4"), ("b.mp4", 0, "b.mp4")]
    assert (found.by, [video.name for video in found.left_out]) == (name, ["c.mp4"])
    assert found.notes == (f"1 file that {name} names is not there: first gone.mp4.",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("./a.mp4", "./x/b.mp4"),
        (r"videos\a.mp4", r"videos\x\b.mp4"),
        (r"C:\data\dfdc\a.mp4", r"C:\data\dfdc\x\b.mp4"),
        ("/data/dfdc/A.MP4", "/data/dfdc/x/b"),
        ("../a.mp4", "../x/b.mp4"),
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv"])
def test_a_table_of_moved_files_is_matched(tmp_path, first, second, name):
    lay(tmp_path, "a.mp4", "x/b.mp4", "y/b.mp4")
    mark = "\t" if name.endswith("tsv") else ","
    table(tmp_path, f"path{mark}label", f"{first}{mark}0", f"{second}{mark}1", name=name)
    found = read_folder(tmp_path)
    assert brief(found.videos) == [("a.mp4", 0, "a.mp4"), ("x/b.mp4", 1, "x/b.mp4")]
    assert (found.by, found.notes) == (name, ())


def test_a_table_of_another_folder_labels_nothing(tmp_path):
    lay(tmp_path / "test", "1.mp4", "2.mp4")
    table(tmp_path, "filename,label", "train/1.mp4,1", "train/2.mp4,0")
    found = read_folder(tmp_path / "test")
    assert [video.label for video in found.videos] == [None, None]
    assert found.notes == ("labels.csv is not read: none of the files that it names is here, as train/1.mp4 is not.",)


def test_names_match_in_either_unicode_normalization(tmp_path):
    lay(tmp_path, "cafe\u0301.mp4")
    table(tmp_path, "filename,label", "caf\u00e9.mp4,1")
    assert [video.label for video in read_folder(tmp_path).videos] == [1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_metadata_and_lists_saved_by_windows_are_read(tmp_path, encoding):
    lay(tmp_path / "dfdc", "a.mp4")
    (tmp_path / "dfdc" / "metadata.json").write_text('{"a.mp4": {"label": "FAKE"}}', encoding=encoding)
    assert [video.label for video in read_folder(tmp_path / "dfdc").videos] == [1]
    lay(tmp_path / "celeb", "Celeb-real/id0_0000.mp4")
    listed = tmp_path / "celeb" / "List_of_testing_videos.txt"
    listed.write_text("1 Celeb-real/id0_0000.mp4\r\n", encoding=encoding)
    assert [video.name for video in read_asked(listed, tmp_path / "celeb").videos] == ["Celeb-real/id0_0000.mp4"]


@pytest.mark.parametrize("lines", [("filename,label", "a.mp4,0.5"), ("filename,label", "a.mp4,0.98", "b.mp4,1")])
def test_a_submission_among_the_videos_is_not_a_label_table(tmp_path, lines):
    table(lay(tmp_path, "a.mp4", "b.mp4"), *lines, name="scores.csv")
    assert [video.label for video in read_folder(tmp_path).videos] == [None, None]


def test_two_conflicting_tables_are_refused(tmp_path):
    table(lay(tmp_path, "a.mp4"), "filename,label", "a.mp4,1", name="1.csv")
    table(tmp_path, "filename,label", "a.mp4,0", name="2.csv")
    with pytest.raises(ManifestError, match=r"2\.csv and .*1\.csv have two labels of a\.mp4: give it one"):
        read_folder(tmp_path)


def test_a_table_with_an_invalid_label_is_refused(tmp_path):
    table(lay(tmp_path, "a.mp4"), "filename,label", "a.mp4,perhaps")
    with pytest.raises(ManifestError, match=r"labels\.csv: label of a\.mp4 is 'perhaps': give 1"):
        read_folder(tmp_path)


def test_a_table_next_to_label_folders_is_ignored_with_a_note(tmp_path):
    table(lay(tmp_path, "real/a.mp4", "fake/b.mp4"), "filename,label", "a.mp4,1")
    found = read_folder(tmp_path)
    assert [video.label for video in found.videos] == [1, 0]
    assert found.notes == ("labels.csv is not read: the folders say what is real.",)


def test_picture_folders_and_mixed_folders_are_read(tmp_path):
    lay(tmp_path, "b.PNG", "a/c.jpeg", "notes.txt")
    found = read_folder(tmp_path)
    assert ([video.name for video in found.videos], found.layout) == (["a/c.jpeg", "b.PNG"], "a folder of pictures")
    lay(tmp_path, "d.mp4")
    found = read_folder(tmp_path)
    assert ([video.name for video in found.videos], found.why) == (["d.mp4"], "among videos")
    assert [video.name for video in found.left_out] == ["a/c.jpeg", "b.PNG"]


def test_skipped_pictures_are_counted(tmp_path):
    lay(tmp_path, "a.heic", "b.HEIC", "c.dng")
    with pytest.raises(
        ManifestError, match=r"3 pictures are not read, first a\.heic: convert DNG, HEIC to JPEG or PNG"
    ):
        read_folder(tmp_path)
    lay(tmp_path, "d.bmp", "e.TIFF", "f.gif")
    found = read_folder(tmp_path)
    assert [video.name for video in found.videos] == ["d.bmp", "e.TIFF"]
    assert found.notes == ("4 pictures are not read, first a.heic: convert DNG, GIF, HEIC to JPEG or PNG.",)


def test_animations_are_videos_if_there_are_no_pictures(tmp_path):
    found = read_folder(lay(tmp_path, "a.gif", "b.mp4"))
    assert [(video.name, video.still) for video in found.videos] == [("a.gif", False), ("b.mp4", False)]


def test_pictures_in_folders_by_label(tmp_path):
    found = read_folder(lay(tmp_path, "real/a.jpg", "fake/b.jpg"))
    assert [(video.name, video.label) for video in found.videos] == [("fake/b.jpg", 1), ("real/a.jpg", 0)]


def test_unlisted_videos_are_included_without_a_label(tmp_path):
    describe(lay(tmp_path, "a.mp4", "b.mp4", "sub/c.ts"), {"a.mp4": {"label": "FAKE", "original": "b.mp4"}})
    assert [video.name for video in read_folder(tmp_path).left_out] == ["b.mp4", "sub/c.ts"]
    found = read_folder(tmp_path, unlisted=True)
    assert brief(found.videos) == [("a.mp4", 1, "b.mp4"), ("b.mp4", None, "b.mp4"), ("sub/c.ts", None, "sub/c.ts")]
    assert found.left_out == ()


def test_a_sample_keeps_its_order_and_its_names(tmp_path):
    folder = lay(tmp_path / "videos", "B.MP4", "a.mp4", "c.mp4")
    sample = tmp_path / "sample.csv"
    sample.write_text("filename,label\nb.mp4,0.5\ngone.mp4,0.5\n")
    found = read_asked(sample, folder)
    assert found.videos == (Video(folder / "B.MP4", "b.mp4"), Video(folder / "gone.mp4", "gone.mp4"))
    assert ([video.name for video in found.left_out], found.why) == (["a.mp4", "c.mp4"], "not in sample.csv")
    assert [video.name for video in read_asked(sample, folder, True).videos] == ["b.mp4", "gone.mp4", "a.mp4", "c.mp4"]


def test_names_match_regardless_of_case(tmp_path):
    lay(tmp_path, "a.MP4", "B.mp4", "c.mov")
    describe(
        tmp_path, {"a.mp4": {"label": "FAKE", "original": "B.MP4"}, "b.mp4": {"label": "REAL"}, "c": {"label": "Real"}}
    )
    found = read_folder(tmp_path)
    assert brief(found.videos) == [("a.mp4", 1, "b.mp4"), ("b.mp4", 0, "b.mp4"), ("c", 0, "c")]
    assert [video.path.name for video in found.videos] == ["a.MP4", "B.mp4", "c.mov"]
    assert found.left_out == ()


def test_one_file_under_two_names_is_refused(tmp_path):
    describe(lay(tmp_path, "a.mp4"), {"a.mp4": {"label": "FAKE"}, "A.MP4": {"label": "REAL"}})
    with pytest.raises(ManifestError, match=r"names a\.mp4 twice, also as A\.MP4: give each file one entry"):
        read_folder(tmp_path)
