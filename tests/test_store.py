import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.errors import StoreError
from dfd.faces.extract import Extraction, FacesConfig
from dfd.faces.store import FaceStore, folder_name, load_crops, load_track
from dfd.types import FaceTrack, Video
from dfd.videos.workers import Outcome


def made_track(video="a.mp4", number=0, frames=12, size=64):
    """Each frame of one grey, so that a frame that comes back tells which one it is."""
    greys = 20 + 15 * np.arange(frames)
    images = np.broadcast_to(greys[:, None, None, None], (frames, size, size, 3)).astype(np.uint8)
    return FaceTrack(
        images=images,
        indices=np.arange(5, 5 + frames),
        boxes=np.tile(np.array([10, 20, 40, 50], np.float32), (frames, 1)),
        landmarks=np.random.default_rng(0).random((frames, 5, 2)).astype(np.float32),
        confidence=0.97,
        margin=1.6,
        fps=30000 / 1001,
        video=video,
        track=number,
    )


@pytest.fixture
def video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"some bytes")
    return Video(tmp_path / "a.mp4", "a.mp4", 1, "b.mp4")


@pytest.fixture
def store(tmp_path):
    return FaceStore.create(tmp_path / "faces", FacesConfig())


def test_a_track_comes_back_as_it_went_in(store, video):
    track = made_track()
    store.write(video, [track], Extraction(frames=30))
    (record,) = store.records()
    assert (record.status, record.label, record.source, record.frames) == ("ok", 1, "b.mp4", 30)
    (row,) = record.tracks
    back = load_track(row)
    assert np.array_equal(back.indices, track.indices)
    assert np.array_equal(back.boxes, track.boxes)
    assert np.array_equal(back.landmarks, track.landmarks)
    assert (back.fps, back.margin, back.confidence) == (track.fps, 1.6, pytest.approx(0.97))
    assert np.abs(back.images.astype(int) - track.images).max() <= 4


def test_any_frames_in_any_order_with_repeats(store, video):
    store.write(video, [made_track()], Extraction())
    (row,) = store.records()[0].tracks
    crops = load_crops(row, [7, 2, 2, 11])
    assert [round((float(crop.mean()) - 20) / 15) for crop in crops] == [7, 2, 2, 11]


def test_a_record_holds_until_the_file_changes(store, video):
    store.write(video, [made_track()], Extraction())
    assert store.record(video) is not None
    os.utime(video.path, (1, 1))
    assert store.record(video) is None
    assert store.record(video, by_time=False) is not None
    video.path.write_bytes(b"other bytes, more of them")
    assert store.record(video) is store.record(video, by_time=False) is None


def test_a_corrected_label_is_taken_over(store, video):
    store.write(video, [made_track()], Extraction())
    assert store.record(Video(video.path, "a.mp4", 0)).label == 0
    assert store.records()[0].label == 0


def test_a_failure_is_on_record_and_running_out_of_time_is_not(store, video):
    record = store.write_failure(Outcome(video, "unreadable", "no video stream"))
    assert (record.status, record.tracks) == ("unreadable", ())
    assert store.record(video) == record
    other = Video(video.path, "c.mp4")
    assert store.write_failure(Outcome(other, "out_of_budget", "late")).status == "out_of_budget"
    assert store.record(other) is None


def test_nothing_half_written_is_left_or_seen(store, video):
    def breaks():
        yield made_track()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.write(video, breaks(), Extraction())
    assert store.records() == []
    assert list((store.folder / "tracks").iterdir()) == []


def test_tables_have_a_row_a_video_and_a_row_a_track(store, video):
    import pandas as pd

    store.write(video, [made_track(), made_track(number=1, frames=3)], Extraction(frames=30, faces=9))
    store.write_failure(Outcome(Video(video.path, 'z, "z".mp4'), "timed_out", "killed after 6 s", seconds=6))
    store.write_tables()
    videos, tracks = (pd.read_csv(store.folder / name) for name in ("videos.csv", "index.csv"))
    assert videos["video"].tolist() == ["a.mp4", 'z, "z".mp4']
    assert videos["tracks"].tolist() == [2, 0]
    assert videos["status"].tolist() == ["ok", "timed_out"]
    assert tracks["frames"].tolist() == [12, 3]
    assert {"video", "track", "label", "source", "frames", "fps", "size", "confidence", "status"} <= set(tracks.columns)


def test_the_main_tracks_are_the_long_ones(store, video):
    lengths = [4, 12, 11, 10, 9]
    store.write(video, [made_track(number=i, frames=n) for i, n in enumerate(lengths)], Extraction())
    assert [t.frames for t in store.records()[0].main_tracks()] == [12, 11, 10]
    store.write(video, [made_track(number=i, frames=n) for i, n in enumerate([12, 3])], Extraction())
    assert [t.frames for t in store.records()[0].main_tracks()] == [12]


def test_other_settings_need_another_folder(store):
    FaceStore.create(store.folder, FacesConfig())
    with pytest.raises(StoreError, match=r"built with margin 1.6 \(now 1.3\)"):
        FaceStore.create(store.folder, FacesConfig(margin=1.3))


def test_what_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no faces.json"):
        FaceStore.open(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(StoreError, match="not empty"):
        FaceStore.create(tmp_path, FacesConfig())
    (tmp_path / "faces.json").write_text("{")
    with pytest.raises(StoreError, match="not JSON"):
        FaceStore.open(tmp_path)
    (tmp_path / "faces.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="another format"):
        FaceStore.open(tmp_path)


def test_a_damaged_track_is_named(store, video):
    store.write(video, [made_track()], Extraction())
    (row,) = store.records()[0].tracks
    data = row.path.read_bytes()
    row.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match=r"0\.mp4"):
        load_crops(row, [11])
    row.path.with_suffix(".npz").write_bytes(b"")
    with pytest.raises(StoreError, match=r"0\.npz"):
        load_track(row)


@given(st.text(min_size=1, max_size=300).filter(lambda s: "\0" not in s))
def test_a_folder_name_is_one_name_that_a_file_system_takes(name):
    folder = folder_name(name)
    assert len(folder.encode()) <= 200
    assert "/" not in folder
    assert not folder.startswith(".")


@given(st.lists(st.text("ab./%é \\", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_names_are_two_folders(names):
    assert folder_name(names[0]) != folder_name(names[1])


def test_the_same_input_gives_the_same_bytes(store, video, tmp_path):
    store.write(video, [made_track()], Extraction())
    place = next((store.folder / "tracks").iterdir())
    first = {p.name: p.read_bytes() for p in place.iterdir() if p.suffix in (".mp4", ".npz")}
    shutil.rmtree(place)
    store.write(video, [made_track()], Extraction())
    assert first == {p.name: p.read_bytes() for p in place.iterdir() if p.suffix in (".mp4", ".npz")}


def test_what_a_killed_worker_left_is_removed_when_its_video_comes_again(small_dataset, tmp_path):
    store = FaceStore.create(tmp_path / "faces", FacesConfig(size=64))
    names = ["x" * 170 + "1.mp4", "x" * 170 + "2.mp4"]
    first, second = (store._partial(name) for name in names)
    (first / "0.mp4").write_bytes(b"half")
    assert second.exists()  # long names that begin alike are kept apart
    store.write_failure(Outcome(Video(tmp_path / names[0], names[0]), "timed_out", "killed after 1 s"))
    assert not first.exists()
    assert second.exists()
