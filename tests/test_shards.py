"""Pictures on disk, through their dataset: dfd/faces/shards.py and dfd/faces/build.py."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from dfd.clips.dataset import scored_clips
from dfd.clips.sampling import ClipConfig
from dfd.errors import StoreError
from dfd.faces import build
from dfd.faces.build import build_store, known_in, stored
from dfd.faces.recorder import failure, in_memory
from dfd.faces.records import load_crops, load_geometry
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.faces.written import file_stamp
from dfd.training.audit import audit
from dfd.training.groups import split
from dfd.types import Video
from dfd.videos.workers import Limits, Outcome

pytestmark = pytest.mark.slow

CONFIG = FacesConfig(margin=1.0, size=64)
ONE = Limits(workers=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Video]:
    """Six real faces in different tints, their striped fakes, and a file that is not a picture."""
    folder = tmp_path_factory.mktemp("pictures")
    face = cv2.resize(skimage.data.astronaut()[60:172, 168:280], (64, 64), interpolation=cv2.INTER_AREA)
    videos = []
    for number in range(6):
        real = (face * np.array([1, 0.6 + number / 15, 1 - number / 15])).astype(np.uint8)
        real = np.roll(real, 5 * number, axis=1)
        fake = real.copy()
        fake[:, ::2] = fake[:, ::2] // 5 * 3
        for name, image, label in ((f"r{number}.png", real, 0), (f"f{number}.png", fake, 1)):
            cv2.imwrite(str(folder / name), image[:, :, ::-1])
            videos.append(Video(folder / name, name, 1 if label else 0, f"r{number}.png", people=(f"p{number}",)))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return [*videos, Video(folder / "broken.jpg", "broken.jpg", 1)]


@pytest.fixture(scope="module")
def built(pictures, tmp_path_factory) -> FaceStore:
    """The pictures' dataset, in shards of five."""
    store = FaceStore.create(tmp_path_factory.mktemp("built") / "store", CONFIG, cut=True)
    records = [in_memory(video, CONFIG, cut=True) for video in pictures[:-1]]
    records.append(failure(Outcome(pictures[-1], "unreadable", "no picture that can be read")))
    rows = [(record, file_stamp(video.path)) for record, video in zip(records, pictures, strict=True)]
    for start in range(0, len(rows), 5):
        store.shards.add(rows[start : start + 5])
    store.write_tables()
    return store


@pytest.fixture
def store(built, tmp_path) -> FaceStore:
    """A copy of the built dataset."""
    return FaceStore.open(shutil.copytree(built.folder, tmp_path / "store"))


def shards(store: FaceStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((store.folder / "pictures").iterdir())}


def test_a_shard_is_two_files_and_every_picture_is_recorded(built, pictures):
    assert [name.split(".")[0] + name[-6:] for name in shards(built)] == [
        f"0000{number}{end}" for number in range(3) for end in (".jsonl", ".mjpeg")
    ]
    store = FaceStore.open(built.folder)
    assert store.cut
    records = {record.video: record for record in store.records()}
    assert list(records) == sorted(video.name for video in pictures)
    assert {r.status for r in records.values()} == {"ok", "unreadable"}
    broken = records["broken.jpg"]
    assert (broken.status, broken.label, broken.tracklets) == ("unreadable", 1, ())
    assert "no picture that can be read" in broken.reason
    for video in pictures[:-1]:
        record, alone = store.record(video), in_memory(video, CONFIG, cut=True)
        (face,), (expected,) = record.tracklets, alone.tracklets
        assert (record.label, record.source, record.people) == (video.label, video.source, video.people)
        assert np.array_equal(load_crops(face, [0]), load_crops(expected, [0]))
        assert all(
            np.array_equal(*two, equal_nan=True)
            for two in zip(load_geometry(face), load_geometry(expected), strict=True)
        )
    assert (store.folder / "videos.csv").read_text().count("\n") == 14
    assert (store.folder / "tracklets.csv").read_text().count("\n") == 13


def test_finished_shards_are_kept_and_new_or_changed_pictures_added(store, pictures, tmp_path, monkeypatch):
    before = shards(store)
    steps = []
    again = FaceStore.create(store.folder, CONFIG, cut=True)
    build_store(pictures, again, ONE, lambda *about: steps.append(about))  # starts no worker
    assert steps == []
    assert shards(again) == before

    folder = Path(shutil.copytree(pictures[0].path.parent, tmp_path / "moved"))
    moved = [replace(video, path=folder / video.name) for video in pictures]
    os.utime(moved[0].path, (1, 1))
    shutil.copy(moved[1].path, folder / "new.png")
    moved.append(Video(folder / "new.png", "new.png", 1, "r0.png"))
    shutil.copy(moved[2].path, moved[12].path)  # broken.jpg, now a picture
    monkeypatch.setattr(build, "SHARD", 2)
    made = build_store(moved, again, ONE, lambda *about: steps.append(about))
    assert [about[:2] for about in steps] == [(1, 3), (2, 3), (3, 3)]
    assert {about[2] for about in steps} == {"r0.png", "new.png", "broken.jpg"}
    assert before.items() < shards(made).items()
    assert len(shards(made)) == len(before) + 4
    assert [(r.video, r.status) for r in made.records() if r.status != "ok"] == []
    assert len(made.records()) == 14
    assert known_in(moved, made)[1] == []


def test_an_interrupted_build_keeps_its_finished_shards(pictures, tmp_path):
    def stop(done: int, total: int, last: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(pictures, FaceStore.create(tmp_path / "store", CONFIG, cut=True), ONE, stop)
    store = FaceStore.open(tmp_path / "store")
    assert 1 <= len(store.records()) < len(pictures)
    assert len(known_in(pictures, store)[1]) == len(pictures) - len(store.records())
    assert not list(store.folder.rglob("*.partial"))


def test_newly_known_labels_are_written_and_others_stay(store, pictures):
    films = {name: data for name, data in shards(store).items() if name.endswith("mjpeg")}
    unknown = [Video(video.path, video.name) for video in pictures]
    store.correct(unknown)
    assert store.record(unknown[0]).label == 0
    store.correct([Video(pictures[0].path, "r0.png", 1, "elsewhere.mp4")])
    for some in (store, FaceStore.open(store.folder)):
        record = some.record(unknown[0])
        assert (record.label, record.source, record.people) == (1, "elsewhere.mp4", ("p0",))
        assert record.tracklets[0].label == 1
    assert films.items() < shards(store).items()


def test_a_prediction_that_retries_a_picture_keeps_its_label(store, pictures, tmp_path):
    newer = Video(Path(shutil.copy(pictures[2].path, tmp_path)), pictures[2].name)
    ((record,),) = stored([newer], store, ONE)
    assert record.label is None
    assert isinstance(record.tracklets[0].film, bytes)
    record = FaceStore.open(store.folder).record(newer)
    assert (record.label, record.people) == (0, ("p1",))


def test_transient_failures_are_retried(store, pictures):
    store.shards.add([(failure(Outcome(pictures[0], "timed_out")), file_stamp(pictures[0].path))])
    known, todo = known_in(pictures, FaceStore.open(store.folder))
    assert (len(known), todo) == (12, pictures[:1])


def test_cut_pictures_and_photographs_do_not_share_a_dataset(store, pictures, tmp_path):
    with pytest.raises(StoreError, match="was built of pictures that were cut before: continue in the same way"):
        FaceStore.create(store.folder, CONFIG, cut=False)
    plain = FaceStore.create(tmp_path / "plain", CONFIG)
    with pytest.raises(StoreError, match="was built without --cut-margin"):
        FaceStore.create(plain.folder, CONFIG, cut=True)
    assert FaceStore.create(store.folder, CONFIG).cut  # as when a prediction extends it


def test_a_format_3_dataset_can_be_opened(store):
    about = json.loads((store.folder / "dataset.json").read_text())
    del about["cut"]
    (store.folder / "dataset.json").write_text(json.dumps({**about, "format": 3}))
    assert not FaceStore.open(store.folder).cut


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{", b"[]", b"{}", b'{"video": "r0.png"}'])
def test_a_damaged_shard_is_named(store, pictures, damage):
    path = next((store.folder / "pictures").glob("00000.*.jsonl"))
    path.write_bytes(damage)
    with pytest.raises(StoreError, match=rf"{path.name} .*: delete it and run `dfd faces` again"):
        FaceStore.open(store.folder).records()
    path.unlink()
    assert known_in(pictures, FaceStore.open(store.folder))[1] == pictures[:5]


def test_a_full_disk_is_reported(store, pictures):
    record = in_memory(pictures[0], CONFIG, cut=True)
    shutil.rmtree(store.folder / "pictures")
    (store.folder / "pictures").touch()
    with pytest.raises(StoreError, match=r"jsonl cannot be written \(.+\): make room"):
        FaceStore.open(store.folder).shards.add([(record, None)])


def test_picture_datasets_are_used_like_video_datasets(built, pictures):
    records = [record for record in built.records() if record.tracklets]
    tracklets, clips = scored_clips(records[0], ClipConfig(length=2, size=48, margin=1.0))
    assert (len(tracklets), clips.shape) == (1, (1, 3, 2, 48, 48))
    frame = split(records, 3, 0)
    assert frame.groupby("source")["fold"].nunique().eq(1).all()
    found = audit(built, frame, 0.995)
    assert [check["covered"] for check in found.checks[:4]] == [12, 6, 6, 6]
