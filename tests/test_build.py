import shutil
import time

import numpy as np
import pytest

from dfd.faces.build import build_store, known_in, looked_at, stored
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from dfd.videos.encode import write_video
from dfd.videos.workers import Limits

pytestmark = pytest.mark.slow

CONFIG = FacesConfig(size=64, detect_side=320)
USUAL = Limits(workers=1, timeout=100, memory=2)


def statuses(store: FaceStore) -> dict[str, str]:
    return {record.video: record.status for record in store.records()}


def test_transient_failures_are_retried(face_video, tmp_path):
    folder = tmp_path / "store"
    labelled, unknown = Video(face_video, "face.mp4", 1, "real.mp4"), Video(face_video, "face.mp4")
    store = build_store([labelled], FaceStore.create(folder, CONFIG), Limits(workers=1, until=time.monotonic()))
    assert statuses(store) == {}
    for video, limits, status in (
        (labelled, Limits(workers=1, timeout=0.05), "timed_out"),
        (unknown, Limits(workers=1, until=time.monotonic()), "timed_out"),
        (unknown, Limits(workers=1, memory=0.01), "error"),
        (unknown, USUAL, "ok"),
    ):
        assert store.record(video) is None
        build_store([video], store, limits)
        (record,) = store.records()
        assert (record.status, record.label, record.source) == (status, 1, "real.mp4")
    assert "status" in (folder / "videos.csv").read_text()
    assert store.record(unknown).tracklets
    assert sorted(p.suffix for p in (folder / "tracklets").rglob("*.*") if p.suffix != ".partial") == [
        ".json",
        ".mjpeg",
    ]


def test_permanent_failures_are_kept_and_new_files_are_built(face_video, tmp_path):
    blank, broken, gone = (tmp_path / f"{name}.mp4" for name in ("blank", "broken", "gone"))
    write_video(blank, np.full((20, 120, 160, 3), 128, np.uint8), 15)
    broken.write_bytes(b"not a video")
    videos = [Video(path, path.name, 0) for path in (face_video, blank, broken, gone)]
    steps = []
    store = FaceStore.create(tmp_path / "store", CONFIG)
    build_store(videos, store, USUAL, lambda *about: steps.append(about))
    assert steps == [(i, 4, video.name) for i, video in enumerate(videos, 1)]
    ended = {"face.mp4": "ok", "blank.mp4": "no_face", "broken.mp4": "unreadable", "gone.mp4": "missing"}
    assert statuses(store) == ended
    assert known_in(videos, store)[1] == [videos[3]]
    reasons = {record.video: record.reason for record in store.records()}
    assert "no face on" in reasons["blank.mp4"]
    assert all(reasons[name] for name in ("broken.mp4", "gone.mp4"))

    shutil.copy(face_video, gone)
    batches = list(stored(videos, store, USUAL))
    assert [[record.video for record in batch] for batch in batches] == [
        ["face.mp4", "blank.mp4", "broken.mp4"],
        ["gone.mp4"],
    ]
    assert statuses(store) == {**ended, "gone.mp4": "ok"}
    assert known_in(videos, store)[1] == []

    others = [Video(video.path, video.name, 1, "other.mp4") for video in videos]
    steps.clear()
    build_store(others, store, USUAL, lambda *about: steps.append(about))
    assert steps == []
    assert {(record.label, record.source) for record in store.records()} == {(1, "other.mp4")}
    assert statuses(store) == {**ended, "gone.mp4": "ok"}
    assert (store.folder / "videos.csv").read_text().count(",1,other.mp4,") == 4


def test_stored_returns_current_labels_without_writing_them(small_store, small_dataset):
    name = "real0.mp4"
    before = {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in small_store.folder.rglob("*")}
    video = Video(small_dataset / name, name, 1, "other.mp4")
    ((record,),) = stored([video], small_store, USUAL)
    assert (record.label, record.source, {t.label for t in record.tracklets}) == (1, "other.mp4", {1})
    ((record,),) = stored([Video(video.path, name)], small_store, USUAL)
    assert (record.label, record.source) == (0, name)
    after = {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in small_store.folder.rglob("*")}
    assert after == before


def test_a_finished_dataset_returns_at_once(tmp_path):
    store = build_store([], FaceStore.create(tmp_path / "store", CONFIG))
    assert store.records() == []
    assert list(stored([], store)) == []
    assert list(looked_at([], CONFIG, lambda _: None)) == []
