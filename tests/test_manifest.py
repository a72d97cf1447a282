import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.errors import ManifestError, VideoReadError
from dfd.types import Label, Video
from dfd.videos.decode import probe
from dfd.videos.encode import write_video
from dfd.videos.labels import read_labels
from dfd.videos.manifest import read_folder, read_sample, read_videos
from dfd.videos.workers import Limits, each_video


def lay(folder: Path, *names: str) -> Path:
    """Create empty files: a manifest opens no video."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def describe(folder: Path, entries: Any) -> Path:
    (folder / "metadata.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return folder


def brief(videos: list[Video]) -> list[tuple[str, int | None, str]]:
    return [(video.name, video.label, video.source) for video in videos]


def test_a_single_file_is_described(tmp_path: Path) -> None:
    path = lay(tmp_path, "a b.mp4") / "a b.mp4"
    assert read_videos(path) == [Video(path, "a b.mp4")]
    assert read_videos(path)[0].source == "a b.mp4"


def test_a_folder_lists_videos_at_any_depth_and_nothing_else(tmp_path: Path) -> None:
    lay(tmp_path, "b.mp4", "A.MOV", "c.webm", "d.mkv", "e.m4v", "f.avi", "._b.mp4", "notes.txt", "sub/g.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "nowhere.mp4").symlink_to("gone")
    found = read_videos(str(tmp_path))
    names = ["A.MOV", "b.mp4", "c.webm", "d.mkv", "e.m4v", "f.avi", "folder.mp4", "nowhere.mp4", "sub/g.mp4"]
    assert [video.name for video in found] == names  # unreadable files are recorded later
    assert all(video.label is None and video.path == tmp_path / video.name for video in found)


def test_dfdc_metadata(tmp_path: Path) -> None:
    lay(tmp_path, "b.mp4", "a.mp4", "c.mp4", "d.mp4", "not listed.mp4")
    describe(
        tmp_path,
        {
            "b.mp4": {"label": "FAKE", "split": "train", "original": "elsewhere.mp4"},
            "a.mp4": {"label": "REAL", "split": "train", "original": None},
            "c.mp4": {"split": "test"},
            "d.mp4": {"label": "FAKE", "original": "a.mp4"},
        },
    )
    assert brief(read_videos(tmp_path)) == [
        ("a.mp4", 0, "a.mp4"),
        ("b.mp4", 1, "elsewhere.mp4"),
        ("c.mp4", None, "c.mp4"),
        ("d.mp4", 1, "a.mp4"),
    ]


def test_dfdc_parts_keep_equal_names_apart(tmp_path: Path) -> None:
    for part in ("dfdc_train_part_0", "dfdc_train_part_1"):
        lay(tmp_path / part, "x.mp4", "y.mp4")
        entries = {"x.mp4": {"label": "FAKE", "original": "y.mp4"}, "y.mp4": {"label": "REAL"}}
        describe(tmp_path / part, entries)
    found = read_videos(tmp_path)
    assert brief(found) == [
        ("dfdc_train_part_0/x.mp4", 1, "dfdc_train_part_0/y.mp4"),
        ("dfdc_train_part_0/y.mp4", 0, "dfdc_train_part_0/y.mp4"),
        ("dfdc_train_part_1/x.mp4", 1, "dfdc_train_part_1/y.mp4"),
        ("dfdc_train_part_1/y.mp4", 0, "dfdc_train_part_1/y.mp4"),
    ]
    assert found[2].path == tmp_path / "dfdc_train_part_1" / "x.mp4"


def test_faceforensics_layout(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "original_sequences/youtube/c23/videos/000.mp4",
        "original_sequences/youtube/c40/videos/000.mp4",
        "original_sequences/actors/c23/videos/01__talking_against_wall.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
        "manipulated_sequences/Face2Face/c40/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__talking_against_wall__9TDCEK1Q.mp4",
    )
    actor = "original_sequences/actors/c23/videos/01__talking_against_wall.mp4"
    assert brief(read_videos(tmp_path)) == [
        ("manipulated_sequences/DeepFakeDetection/c23/videos/01_02__talking_against_wall__9TDCEK1Q.mp4", 1, actor),
        (
            "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
            1,
            "original_sequences/youtube/c23/videos/000.mp4",
        ),
        (
            "manipulated_sequences/Face2Face/c40/videos/000_003.mp4",
            1,
            "original_sequences/youtube/c40/videos/000.mp4",
        ),
        (actor, 0, actor),
        *[(name, 0, name) for name in (f"original_sequences/youtube/{c}/videos/000.mp4" for c in ("c23", "c40"))],
    ]


def test_layouts_name_the_people_of_a_video(tmp_path: Path) -> None:
    lay(
        tmp_path / "forensics",
        "original_sequences/youtube/c23/videos/003.mp4",
        "original_sequences/actors/c23/videos/01__talking_against_wall.mp4",
        "manipulated_sequences/Deepfakes/c40/videos/000_003.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__talking_against_wall__9TDCEK1Q.mp4",
    )
    lay(tmp_path / "celeb", "Celeb-real/id0_0000.mp4", "YouTube-real/00000.mp4", "Celeb-synthesis/id0_id16_0009.mp4")
    named = {v.path.name: v.people for part in ("forensics", "celeb") for v in read_videos(tmp_path / part)}
    assert named == {
        "003.mp4": ("youtube/003",),
        "01__talking_against_wall.mp4": ("actors/01",),
        "000_003.mp4": ("youtube/000", "youtube/003"),
        "01_02__talking_against_wall__9TDCEK1Q.mp4": ("actors/01", "actors/02"),
        "id0_0000.mp4": ("id0",),
        "00000.mp4": (),
        "id0_id16_0009.mp4": ("id0", "id16"),
    }


def test_metadata_names_people_and_several_originals(tmp_path: Path) -> None:
    lay(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    entries = {
        "a.mp4": {"label": "REAL", "person": "Ada"},
        "b.mp4": {"label": "REAL", "person": ["Ada", "Bob"]},
        "c.mp4": {"label": "FAKE", "original": ["a.mp4", "d.mp4"]},
        "d.mp4": {"label": "REAL", "original": None, "person": None},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    found = {v.name: (v.source, v.people) for v in read_videos(tmp_path)}
    assert found == {
        "a.mp4": ("a.mp4", ("Ada",)),
        "b.mp4": ("b.mp4", ("Ada", "Bob")),
        "c.mp4": ("a.mp4", ("d.mp4",)),
        "d.mp4": ("d.mp4", ()),
    }
    for odd in (3, [3], {"a": 1}):
        (tmp_path / "metadata.json").write_text(json.dumps({"a.mp4": {"label": "REAL", "person": odd}}))
        with pytest.raises(ManifestError, match=r"person of a\.mp4 is .*: give a name, a list of names or null"):
            read_videos(tmp_path)


def test_celeb_df_layout(tmp_path: Path) -> None:
    lay(tmp_path, "Celeb-real/id0_0000.mp4", "YouTube-real/00000.mp4", "Celeb-synthesis/id0_id16_0000.mp4")
    assert brief(read_videos(tmp_path)) == [
        ("Celeb-real/id0_0000.mp4", 0, "Celeb-real/id0_0000.mp4"),
        ("Celeb-synthesis/id0_id16_0000.mp4", 1, "Celeb-real/id0_0000.mp4"),
        ("YouTube-real/00000.mp4", 0, "YouTube-real/00000.mp4"),
    ]


def test_an_empty_or_missing_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no is not there"):
        read_videos(tmp_path / "no")
    with pytest.raises(ManifestError, match="holds no videos"):
        read_videos(lay(tmp_path, "readme.txt"))
    with pytest.raises(ManifestError, match="holds no videos"):
        read_videos(describe(tmp_path, {}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("\ufffe", "is not"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"a.mp4": "FAKE"}', "a.mp4 is 'FAKE', not an object"),
        ('{"a.mp4": {"label": "faked"}}', r"label of a.mp4 is 'faked': give 1 \(fake\) or 0 \(real\), or FAKE or REAL"),
        ('{"a.mp4": {"is_fake": 2}}', "is_fake of a.mp4 is 2: give 1"),
        ('{"a.mp4": {"label": ["FAKE"]}}', "or FAKE or REAL"),
        ('{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE"}}', "names a.mp4 twice: give each file one entry"),
        ('{"a.mp4": {"label": "FAKE", "original": 3}}', "original of a.mp4 is 3"),
        ('{"c.mp4": {}, "d.mp4": {}}', "none of the 2 files that .*metadata.json names is there: first c.mp4"),
    ],
)
def test_inconsistent_metadata_is_refused(tmp_path: Path, text: str, message: str) -> None:
    describe(lay(tmp_path, "a.mp4"), text)
    with pytest.raises(ManifestError, match=message) as caught:
        read_videos(tmp_path)
    assert str(tmp_path / "metadata.json") in str(caught.value)


OUTSIDE = ["../a.mp4", "/etc/passwd", "b/../../a.mp4", "b/../a.mp4", "..", "b\\a.mp4", "C:\\a.mp4", "link/..", ""]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_cannot_point_outside_the_folder(tmp_path: Path, name: str) -> None:
    lay(tmp_path, "a.mp4")
    folder = lay(tmp_path / "videos", "b/a.mp4")
    (folder / "link").symlink_to(tmp_path)
    describe(folder, {name: {"label": "REAL"}})
    with pytest.raises(ManifestError, match="outside"):
        read_videos(folder)
    sample = tmp_path / "sample.csv"
    sample.write_text(f'filename,label\nb/a.mp4,0\n"{name}",0\n')
    with pytest.raises(ManifestError, match="outside" if name else "line 3: no file name"):
        read_sample(sample, folder)


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "a\0.mp4", "\ud800.mp4"])
def test_impossible_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="no file can be called"):
        read_videos(describe(tmp_path, {name: {}}))


LINKS = {
    "film": "",
    "device": "not a regular file",
    "fifo": "not a regular file",
    "folder": "a folder, not a video file",
    "nothing": "no such file",
    "loop": "no such file",
}
"""A link's target, and why it cannot be read."""


def link(folder: Path, kind: str) -> str:
    """Make a link in `folder` to a file on another disk; return its name."""
    disk, path = folder.parent / "disk", folder / f"{kind}.mp4"
    disk.mkdir(exist_ok=True)
    if kind == "film":  # through two more links
        write_video(disk / "there.mp4", np.full((3, 32, 48, 3), 90, np.uint8), 25.0)
        (disk / "film").symlink_to("there.mp4")
        (disk / "chain").symlink_to(disk / "film")
        path.symlink_to(disk / "chain")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        if kind == "fifo":
            os.mkfifo(disk / kind)
        elif kind == "folder":
            (disk / kind).mkdir()
        path.symlink_to("/dev/zero" if kind == "device" else disk / kind)
    return path.name


def write_sample(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in ("filename,label", *(f"{name},0.5" for name in names))))
    return path


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("by", ["folder", "metadata", "sample", "part", "linked part"])
def test_a_link_to_a_video_anywhere_is_a_video(tmp_path: Path, by: str, kind: str) -> None:
    root, prefix = tmp_path / "videos", "part_0/" if "part" in by else ""
    folder = tmp_path / "data" / "dfdc" if by == "linked part" else root / prefix
    folder.mkdir(parents=True)
    name = link(folder, kind)
    if by == "linked part":
        root.mkdir()
        (root / prefix).symlink_to(folder)
    if by not in ("folder", "sample"):
        describe(folder, {name: {"label": "FAKE"}})
    videos = read_sample(write_sample(tmp_path / "sample.csv", name), root) if by == "sample" else read_videos(root)
    label: Label | None = None if by in ("folder", "sample") else 1
    assert videos == [Video(root / prefix / name, prefix + name, label)]
    if reason := LINKS[kind]:
        with pytest.raises(VideoReadError, match=reason):
            probe(videos[0].path)
    else:
        assert probe(videos[0].path).width == 48


def test_a_bad_link_affects_only_its_row(tmp_path: Path) -> None:
    folder = lay(tmp_path / "videos", "empty.mp4")
    names = [link(folder, kind) for kind in LINKS]
    (folder / "disk").symlink_to(folder.parent / "disk")
    (folder / "unmounted").symlink_to("gone")
    names += ["disk/there.mp4", "disk/gone.mp4", "unmounted/a.mp4", "loop.mp4/a.mp4", "film.mp4/a.mp4", "empty.mp4"]
    videos = read_sample(write_sample(tmp_path / "sample.csv", *names), folder)
    outcomes = chain.from_iterable(each_video(look, videos, limits=Limits(1, timeout=30)))
    assert {outcome.video.name: outcome.status for outcome in outcomes} == {
        **dict.fromkeys(names, "unreadable"),
        **dict.fromkeys(("film.mp4", "disk/there.mp4"), "ok"),
        **dict.fromkeys(("disk/gone.mp4", "unmounted/a.mp4", "loop.mp4/a.mp4", "film.mp4/a.mp4"), "missing"),
    }


def look(video: Video) -> int:
    return probe(video.path).width


def test_a_linked_folder_is_recognized_as_a_layout(tmp_path: Path) -> None:
    disk = lay(tmp_path / "disk", "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4", "Celeb-real/id0_0000.mp4")
    for root, name in (("forensics", "manipulated_sequences"), ("celeb", "Celeb-real")):
        (tmp_path / root).mkdir()
        (tmp_path / root / name).symlink_to(disk / name)
    assert [v.label for root in ("forensics", "celeb") for v in read_videos(tmp_path / root)] == [1, 0]


def test_a_dangling_link_is_listed(tmp_path: Path) -> None:
    folder = lay(tmp_path / "videos", "a.mp4")
    describe(folder, {"gone.mp4": {}, link(folder, "nothing"): {}, "a.mp4": {}})
    found = read_folder(folder)
    assert [video.name for video in found.videos] == ["a.mp4", "nothing.mp4"]
    assert found.notes == ("1 file that metadata.json names is not there: first gone.mp4.",)


def test_a_sample_keeps_its_order_and_missing_videos(tmp_path: Path) -> None:
    folder = lay(tmp_path / "videos", "b.mp4", "a.mp4")
    sample = tmp_path / "sample.csv"
    sample.write_text("filename,label\nb.mp4,0.5\ngone.mp4,0.5\na.mp4,0.5\n")
    assert read_sample(sample, folder) == [Video(folder / name, name) for name in ("b.mp4", "gone.mp4", "a.mp4")]


@pytest.mark.parametrize("name", ["a,b.mp4", 'say "hi".mp4', " a b .mp4", "видео.mp4", "影片.mp4", "a'b.mp4"])
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    quoted = name.replace('"', '""')
    sample = tmp_path / "sample.csv"
    sample.write_text(f'\ufefffilename,label\r\n"{quoted}",1\r\n', encoding="utf-8")
    assert [video.name for video in read_sample(sample, tmp_path)] == [name]
    assert read_labels(sample) == {name: 1}
    assert [video.name for video in read_videos(describe(lay(tmp_path, name), {name: {}}))] == [name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column filename"),
        ("title,label\na.mp4,0\n", "has no column filename"),
        ("filename,label\n", "has no rows"),
        ("filename,label\na.mp4,0\nb.mp4,0\na.mp4,0\n", "twice 'a.mp4' on lines 2 and 4"),
        ("filename,label\n,0\n", "line 2: no file name"),
        ('filename,label\n"a.mp4,0\n', "is not CSV at line"),
        ("filename,label\n\udcff,0\n", "is not UTF-8 at byte 15"),
    ],
)
def test_an_invalid_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ManifestError, match=message):
        read_sample(sample, tmp_path)
    with pytest.raises(ManifestError, match=message):
        read_labels(sample)


def test_a_missing_sample_or_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("filename,label\na.mp4,0\n")
    with pytest.raises(ManifestError, match="no is not a folder"):
        read_sample(tmp_path / "sample.csv", tmp_path / "no")
    with pytest.raises(ManifestError, match="no.csv cannot be read: No such file"):
        read_sample(tmp_path / "no.csv", tmp_path)


def test_both_forms_of_labels_are_read(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("label,filename,note\n1,a.mp4,x\n0,b.mp4,y\n1.0,c.mp4,z\n")
    assert read_labels(table) == {"a.mp4": 1, "b.mp4": 0, "c.mp4": 1}
    describe(tmp_path, {"a.mp4": {"label": "FAKE"}, "b.mp4": {"label": "REAL"}, "c.mp4": {}})
    assert read_labels(tmp_path / "metadata.json") == {"a.mp4": 1, "b.mp4": 0}


@pytest.mark.parametrize("label", ["0.5", "FAKED", "nan", "2"])
def test_invalid_labels_are_refused(tmp_path: Path, label: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"filename,label\na.mp4,1\nb.mp4,{label}\n")
    with pytest.raises(ManifestError, match=rf"label of b.mp4 is '{label}': give 1 \(fake\) or 0 \(real\)"):
        read_labels(table)


def test_missing_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("filename\na.mp4\n")
    with pytest.raises(ManifestError, match="has no column label"):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(ManifestError, match="has no labels"):
        read_labels(describe(tmp_path, {"a.mp4": {}}) / "metadata.json")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_labels(tmp_path / "no.json")


@given(st.dictionaries(st.from_regex(r"[a-z]{3}\.mp4", fullmatch=True), st.sampled_from(["REAL", "FAKE"]), min_size=1))
def test_labels_match_the_videos_read(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]) -> None:
    folder = lay(tmp_path_factory.mktemp("dfdc"), *entries)
    describe(folder, {name: {"label": label} for name, label in entries.items()})
    found = read_videos(folder)
    assert [video.name for video in found] == sorted(entries)
    assert {video.name: video.label for video in found} == read_labels(folder / "metadata.json")


def index(folder: Path, text: str) -> Path:
    (folder / "index.csv").write_text(text, encoding="utf-8")
    return folder


def test_an_index_lists_pictures_with_their_metadata(tmp_path: Path) -> None:
    lay(tmp_path, "b.jpg", "a/c.png", "d.webp", "e.mp4", "not listed.jpg")
    rows = ["b.jpg,FAKE,a.mp4,Ann Bob", "a/c.png,0,,Bob", "d.webp,,,", "e.mp4,1,b.jpg,"]
    found = read_videos(index(tmp_path, "\n".join(["file,label,source,person", *rows])))
    assert brief(found) == [
        ("a/c.png", 0, "a/c.png"),
        ("b.jpg", 1, "a.mp4"),
        ("d.webp", None, "d.webp"),
        ("e.mp4", 1, "b.jpg"),
    ]
    assert [video.people for video in found] == [("Bob",), ("Ann", "Bob"), (), ()]
    assert [video.still for video in found] == [True, True, True, False]
    assert found[0].path == tmp_path / "a" / "c.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,REAL\n", "no column source: it begins with 'file,label', not with 'file,label,source'"),
        ("file,label,source\na.jpg,real?,b\n", "label of a.jpg is 'real\\?': give 1 \\(fake\\) or 0 \\(real\\)"),
        ("file,label,source\na.jpg,0,b\na.jpg,1,b\n", "has twice 'a.jpg' on lines 2 and 3; give each file one row"),
        ("file,label,source\n../a.jpg,0,b\n", r"names '\.\./a\.jpg', which lies outside"),
        ("file,label,source\n/etc/a.jpg,0,b\n", "names '/etc/a.jpg', which lies outside"),
        ("file,label,source\ngone.jpg,0,b\n", "none of the 1 files that .*index.csv names is there: first gone.jpg"),
        ("", "has no column file"),
        ("file,label,source\n", "has no rows"),
    ],
)
def test_an_inconsistent_index_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_videos(index(lay(tmp_path, "a.jpg"), text))


def test_a_metadata_json_takes_precedence_over_an_index(tmp_path: Path) -> None:
    describe(index(lay(tmp_path, "a.jpg", "b.mp4"), "file,label,source\na.jpg,0,\n"), {"b.mp4": {"label": "REAL"}})
    assert brief(read_videos(tmp_path)) == [("b.mp4", 0, "b.mp4")]
