import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.errors import StoreError, VideoReadError
from dfd.faces import film as jpegs
from dfd.faces import recorder
from dfd.faces.build import known_in, look
from dfd.faces.film import SUFFIX
from dfd.faces.recorder import in_memory
from dfd.faces.records import VideoRecord, load_crops, load_geometry, load_together, load_tracklet
from dfd.faces.store import FORMAT, FaceStore, file_name
from dfd.faces.tables import read_tables
from dfd.faces.tracklets import FacesConfig
from dfd.types import STATUSES, UNDONE, Video
from dfd.videos.encode import write_video
from dfd.videos.workers import Outcome
from tests.conftest import moving_face

CONFIG = FacesConfig(size=64, detect_side=640)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Video:
    """A video of three seconds, hence two segments, with two faces side by side."""
    path = tmp_path_factory.mktemp("pair") / "pair.mp4"
    images = moving_face(45)
    write_video(path, np.concatenate([images, images], axis=2), 15, crf=20, keyframe_every=15)
    return Video(path, "pair.mp4", 1, "real.mp4")


@pytest.fixture(scope="module")
def whole_store(video, tmp_path_factory) -> FaceStore:
    """A dataset of `video` alone, for tests that only read."""
    store = FaceStore.create(tmp_path_factory.mktemp("whole") / "store", CONFIG)
    store.write(video)
    return store


@pytest.fixture
def store(whole_store, tmp_path) -> FaceStore:
    """A writable copy of that dataset."""
    return FaceStore.open(shutil.copytree(whole_store.folder, tmp_path / "store"))


@pytest.fixture
def empty(tmp_path) -> FaceStore:
    return FaceStore.create(tmp_path / "empty", CONFIG)


def files(folder: Path) -> list[Path]:
    """All files except settings and tables."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)


def as_it_lies(folder: Path) -> dict[Path, tuple[int, bytes | None]]:
    """Modification time and contents of each file and folder."""
    everything = [folder, *folder.rglob("*")]
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else None) for p in everything}


def plain(record: VideoRecord) -> Any:
    """A record without its film's path and the seconds taken, for comparison."""
    rows = [
        {
            **{key: value for key, value in vars(t).items() if key not in ("film", "path", "indices", "edges")},
            "indices": t.indices.tolist(),
            "edges": t.edges.tolist(),
            "side": t.path.side,
            "offset": t.path.offset.tolist(),
            "seen": [(s.index, s.confidence, s.box.tolist(), s.landmarks.tolist()) for s in t.path.seen],
        }
        for t in record.tracklets
    ]
    return {**vars(record), "seconds": 0, "tracklets": rows}


def failed(video: Video, status: Any, reason: str = "so it went") -> Outcome:
    return Outcome(video, status, reason, seconds=1.5)


def film_of(record: VideoRecord) -> Path:
    films = {t.film for t in record.tracklets}
    (film,) = films
    assert isinstance(film, Path)
    return film


def assert_whole(record: VideoRecord) -> None:
    """Assert that every crop is present and that each tracklet's crops come from its own part of the film."""
    for row in record.tracklets:
        assert load_tracklet(row).images.shape == (row.frames, 64, 64, 3)
    assert record.tracklets


# Reading


def test_stored_crops_equal_those_of_a_prediction(whole_store, video):
    stored, direct = whole_store.record(video), in_memory(video, CONFIG)
    assert stored is not None
    assert plain(stored) == plain(direct) == plain(look(video, CONFIG, None, None))
    assert [(t.segment, t.face) for t in stored.tracklets] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for one, other in zip(stored.tracklets, direct.tracklets, strict=True):
        a, b = load_tracklet(one), load_tracklet(other)
        for key in ("images", "indices", "boxes", "landmarks"):
            assert np.array_equal(getattr(a, key), getattr(b, key)), key
            assert getattr(a, key).dtype == getattr(b, key).dtype, key
        assert {k: v for k, v in vars(a).items() if not isinstance(v, np.ndarray)} == {
            k: v for k, v in vars(b).items() if not isinstance(v, np.ndarray)
        }
        stands = (a.indices, a.boxes, a.landmarks)
        for mine, its, placed in zip(load_geometry(one), load_geometry(other), stands, strict=True):
            assert np.array_equal(mine, its)
            assert np.array_equal(mine, placed)
        assert not np.array_equal(a.images[0], a.images[-1])


def test_crops_are_read_in_any_order_with_repeats_and_across_tracklets(whole_store, video):
    record = whole_store.record(video)
    first, last = record.tracklets[0], record.tracklets[-1]
    one, other = load_tracklet(first).images, load_tracklet(last).images
    assert np.array_equal(load_crops(first, [5, 0, 5, 21]), one[[5, 0, 5, 21]])
    parts = load_together([(last, np.array([3, 1])), (first, np.array([2])), (last, np.array([3]))])
    for crops, wanted in zip(parts, (other[[3, 1]], one[[2]], other[[3]]), strict=True):
        assert np.array_equal(crops, wanted)


def test_of_and_faced_group_tracklets_by_segment(whole_store, video):
    record = whole_store.record(video)
    assert record.faced == [0, 1]
    assert [(t.segment, t.face) for t in record.of(1)] == [(1, 0), (1, 1)]
    assert record.of(2) == ()


def test_reading_writes_nothing(store, video):
    others = [Video(video.path, name, 0) for name in ("late.mp4", "none.mp4")]
    store.write_failure(failed(others[0], "timed_out"))
    before = as_it_lies(store.folder)
    again = FaceStore.open(store.folder)
    relabelled = Video(video.path, video.name, 0, "other.mp4")
    for by_time in (True, False):
        assert again.record(relabelled, by_time).label == 0
        known, todo = known_in([relabelled, *others], again, by_time)
        assert ([r.video for r in known], todo) == (["pair.mp4"], others)
    for record in again.records():
        for row in record.tracklets:
            load_crops(row, [0])
            load_geometry(row)
            load_tracklet(row)
    FaceStore.create(store.folder, CONFIG)
    assert as_it_lies(store.folder) == before


def test_records_including_failures_are_found_by_name(store, video):
    for name in ("b.mp4", "a/z.mp4", "zz.mp4", "B.mp4"):
        store.write_failure(failed(Video(video.path, name), "error"))
    assert [r.video for r in store.records()] == ["B.mp4", "a/z.mp4", "b.mp4", "pair.mp4", "zz.mp4"]


def test_the_tables_have_a_row_per_video_and_per_tracklet(store, video, tmp_path):
    import pandas as pd

    odd = Video(tmp_path / "none", 'z, "z".mp4')
    store.write_failure(failed(odd, "missing", "no such file, or\nnone"))
    store.write_tables()
    videos, tracklets = (pd.read_csv(store.folder / f"{name}.csv") for name in ("videos", "tracklets"))
    pair, other = videos.to_dict("records")
    assert (pair["video"], pair["label"], pair["source"], pair["status"]) == ("pair.mp4", 1, "real.mp4", "ok")
    counts = [pair[key] for key in ("tracklets", "frames", "missing", "segments")]
    assert counts == [4, 45, 0, 2]
    assert pair["faces"] == 2 * pair["looks"] >= 8
    assert 0 < pair["seconds"] < 60
    assert (other["video"], other["status"], other["reason"]) == (odd.name, "missing", "no such file, or\nnone")
    assert (other["tracklets"], other["seconds"]) == (0, 1.5)
    assert np.isnan(other["label"])
    rows = tracklets.to_dict("records")
    assert [(r["segment"], r["face"], r["first"], r["frames"]) for r in rows] == [
        (0, 0, 0, 22), (0, 1, 0, 22), (1, 0, 22, 23), (1, 1, 22, 23),
    ]  # fmt: skip
    for row in rows:
        about = [row[key] for key in ("video", "label", "source", "fps", "size", "margin")]
        assert about == ["pair.mp4", 1, "real.mp4", 15, 64, 1.6]
        assert 0.9 < row["confidence"] <= 1
        assert 60 < row["side"] < 160


def test_tables_are_read_back_equal_to_the_records(whole_store, video, tmp_path):
    store = FaceStore.open(shutil.copytree(whole_store.folder, tmp_path / "store"))
    odd = "NA\r.mp4"  # a name, even if pandas might parse it otherwise
    store.write_failure(Outcome(Video(tmp_path / "none", odd), "unreadable", "a, b"))
    store.write_tables()
    videos, tracklets = read_tables(store.folder)
    assert videos["video"].tolist() == [odd, "pair.mp4"]
    assert videos["label"].isna().tolist() == [True, False]
    assert videos["reason"].tolist() == ["a, b", ""]
    record = store.named("pair.mp4")
    assert tracklets["video"].tolist() == ["pair.mp4"] * len(record.tracklets)
    assert tracklets["side"].tolist() == pytest.approx([t.path.side for t in record.tracklets], rel=1e-4)
    assert tracklets["frames"].tolist() == [t.frames for t in record.tracklets]
    (store.folder / "tracklets.csv").write_text("video\na\n")
    assert "tracklets.csv does not hold" in refusal(read_tables, store.folder)
    (store.folder / "videos.csv").unlink()
    assert "videos.csv is not there: `dfd faces` writes it" in refusal(read_tables, store.folder)


def test_a_record_is_found_by_name_even_if_the_file_is_gone(store, video):
    assert plain(store.named(video.name)) == plain(store.records()[0])
    assert store.named("another.mp4") is None


def test_a_dataset_records_where_its_videos_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FaceStore.create(tmp_path / "store", CONFIG, videos=Path("videos"))
    assert FaceStore.open(tmp_path / "store").videos == tmp_path / "videos"
    FaceStore.create(tmp_path / "other", CONFIG)
    assert FaceStore.open(tmp_path / "other").videos is None


def test_empty_tables_have_their_columns(empty):
    empty.write_tables()
    assert (empty.folder / "videos.csv").read_text().startswith("video,label,source,status,tracklets,")
    assert (empty.folder / "tracklets.csv").read_text().startswith("video,segment,face,label,source,")


# Labels


def test_a_stored_label_is_kept_if_none_is_known_now(store, video, tmp_path):
    unknown = Video(Path(shutil.copy2(video.path, tmp_path / "here.mp4")), video.name)
    before = as_it_lies(store.folder)
    found = store.record(unknown)
    assert (found.label, found.source, {t.label for t in found.tracklets}) == (1, "real.mp4", {1})
    store.correct([unknown])
    assert as_it_lies(store.folder) == before
    os.utime(unknown.path)  # so that it is rebuilt
    assert store.record(unknown) is None
    store.write_failure(failed(unknown, "timed_out"))
    (record,) = store.records()
    assert (record.status, record.label, record.source) == ("timed_out", 1, "real.mp4")
    written = store.write(unknown)
    assert (written.status, written.label, written.source) == ("ok", 1, "real.mp4")
    assert {t.label for t in written.tracklets} == {1}
    assert plain(store.records()[0]) == plain(written)
    assert files(store.folder) == sorted([film_of(written), film_of(written).with_name("pair.mp4.json")])


def test_a_newly_known_label_is_returned_and_only_correct_writes_it(store, video):
    other = Video(video.path, video.name, 0, "third.mp4")
    before = plain(store.records()[0])
    found = store.record(other)
    assert (found.label, found.source, {t.label for t in found.tracklets}) == (0, "third.mp4", {0})
    assert plain(store.records()[0]) == before
    store.correct([other])
    (record,) = store.records()
    assert (record.label, record.source, {t.label for t in record.tracklets}) == (0, "third.mp4", {0})
    assert {**plain(record), "label": 1, "source": "real.mp4", "tracklets": []} == {**before, "tracklets": []}
    assert_whole(record)
    before_again = as_it_lies(store.folder)
    store.correct([other])
    store.correct([Video(video.path, "not there.mp4", 1)])
    assert as_it_lies(store.folder) == before_again


# Rebuilding


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ok"])
def test_transient_failures_are_discarded_and_others_kept(empty, video, status):
    returned = empty.write_failure(failed(video, status))
    assert (returned.status, returned.reason, returned.seconds) == (status, "so it went", 1.5)
    assert [r.status for r in empty.records()] == ([] if status == "out_of_budget" else [status])
    found = empty.record(video)
    assert (found is None) == (status in UNDONE)
    assert known_in([video], empty)[1] == ([video] if status in UNDONE else [])


def test_a_failure_does_not_replace_a_good_record(store, video):
    before = as_it_lies(store.folder)
    for status in ("timed_out", "error", "out_of_budget"):
        assert store.write_failure(failed(video, status)).status == status
    assert as_it_lies(store.folder) == before


def test_a_temporarily_missing_file_keeps_its_record(store, video, tmp_path):
    path = Path(shutil.copy2(video.path, tmp_path / "here.mp4"))  # of the same size and time
    here = Video(path, video.name, 1, "real.mp4")
    before = {path: path.read_bytes() for path in files(store.folder)}
    path.rename(tmp_path / "away.mp4")
    assert store.record(here) is None
    assert store.write_failure(failed(here, "missing")).status == "missing"
    assert store.record(here) is None
    (tmp_path / "away.mp4").rename(path)
    assert store.record(here).status == "ok"
    assert {path: path.read_bytes() for path in files(store.folder)} == before


def test_a_changed_file_is_rebuilt_and_optionally_only_by_size(store, video, tmp_path):
    path = Path(shutil.copy2(video.path, tmp_path / "here.mp4"))
    here = Video(path, video.name, 1, "real.mp4")
    old = film_of(store.record(here))
    os.utime(path, (1, 1))
    assert store.record(here) is None
    assert store.record(here, by_time=False).status == "ok"
    store.write(here)
    assert film_of(store.record(here)) == old  # of the same pictures
    write_video(path, moving_face(30), 15, crf=20)
    assert store.record(here, by_time=False) is None
    record = store.write(here)
    assert [t.face for t in record.tracklets] == [0] * len(record.tracklets)
    assert files(store.folder) == sorted([film_of(record), old.with_name("pair.mp4.json")])
    assert not old.exists()
    assert_whole(record)


def test_a_file_changed_during_reading_is_not_recorded_as_the_new_one(empty, video, tmp_path, monkeypatch):
    path = Path(shutil.copy2(video.path, tmp_path / "here.mp4"))
    real = recorder.write_crop

    def change(*args: Any) -> int:
        os.utime(path, (1, 1))
        return real(*args)

    monkeypatch.setattr(recorder, "write_crop", change)
    with pytest.raises(StoreError, match=r"here\.mp4 changed while it was read"):
        empty.write(Video(path, "here.mp4"))
    assert empty.record(Video(path, "here.mp4")) is None


def test_an_existing_record_is_never_replaced_by_one_of_the_same_file(store, video, monkeypatch):
    before = as_it_lies(store.folder)
    first = store.record(video)
    monkeypatch.setattr(jpegs, "QUALITY", 40)
    again = store.write(video)
    assert plain(again) == plain(first)
    assert film_of(again) == film_of(first)
    after = as_it_lies(store.folder)
    assert {p: v[1] for p, v in after.items()} == {p: v[1] for p, v in before.items()}
    place = film_of(first).with_name("pair.mp4.json")
    assert after[place] == before[place]


# Two processes


def race(number: int, folder: Path, path: Path, barrier: Any, answers: Any, rounds: list[tuple[str, int]]) -> None:
    """Runs in a process: write each round's video first, or just after the other process."""
    store, usual = FaceStore(folder, CONFIG), jpegs.QUALITY
    store.write(Video(path, f"warm {number}"))
    for name, differs in rounds:
        jpegs.QUALITY = usual - 10 * differs * number
        barrier.wait(120)
        try:
            if name.startswith("create"):
                FaceStore.create(folder.parent / name, CONFIG)
                answers.put((name, number, None))
            else:
                answers.put((name, number, film_of(store.write(Video(path, name, 1))).name))
        except Exception as error:  # reported to the test  # noqa: BLE001
            answers.put((name, number, error))


@pytest.mark.slow
def test_two_processes_building_the_same_video_leave_one_result(empty, face_video):
    same, other, redone = ([f"{kind} {i}" for i in range(3)] for kind in ("same", "other", "redone"))
    made = [f"create {i}" for i in range(20)]
    rounds = [(name, int(name in other)) for name in (*same, *other, *redone, *made)]
    for name in redone:
        empty.write_failure(failed(Video(face_video, name), "timed_out"))
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=race, args=(i, empty.folder, face_video, barrier, answers, rounds)) for i in range(2)
    ]
    for process in processes:
        process.start()
    answered = [answers.get(timeout=120) for _ in range(2 * len(rounds))]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [said for *_, said in answered if isinstance(said, Exception)] == []
    records = {record.video: record for record in empty.records()}
    assert set(records) == {*same, *other, *redone, "warm 0", "warm 1"}
    for name in (*same, *other, *redone):
        film, place = film_of(records[name]), empty.place(name)
        assert {said for of, _, said in answered if of == name} == {film.name}
        assert sorted(p for p in files(empty.folder) if p.name.startswith(file_name(name))) == sorted([film, place])
        assert_whole(records[name])
        assert (records[name].status, records[name].label) == ("ok", 1)
    assert not list(empty.folder.parent.rglob("*.partial"))
    for name in made:
        assert FaceStore.open(empty.folder.parent / name).config == CONFIG


# Temporary files


def test_no_partial_file_is_left_or_visible(empty, video, monkeypatch):
    def breaks(to: BinaryIO, crop: np.ndarray, _: int) -> None:
        to.write(crop.tobytes())
        assert files(empty.folder) == [Path(to.name)]
        assert empty.records() == []
        raise OSError("the encoder broke")

    empty.write(Video(video.path, "fine"))
    fine = as_it_lies(empty.folder)
    assert len(files(empty.folder)) == 2
    shutil.rmtree(empty.folder / "tracklets")
    monkeypatch.setattr(recorder, "write_crop", breaks)
    with pytest.raises(OSError, match="the encoder broke"):
        empty.write(video)
    assert files(empty.folder) == []
    assert empty.record(video) is None
    assert all(path.suffix != ".partial" for path in fine)


def test_a_file_that_is_not_a_video_leaves_no_file(empty, tmp_path):
    (tmp_path / "text.mp4").write_bytes(b"not a video")
    with pytest.raises(VideoReadError):
        empty.write(Video(tmp_path / "text.mp4", "text.mp4"))
    assert files(empty.folder) == []


@pytest.mark.parametrize("kilobytes", [60, 92])  # the film does not fit; the film fits, but the record does not
def test_a_full_disk_leaves_no_temporary_file_and_no_record(video, tmp_path, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root on Linux only, and not in every container")
    try:
        store = FaceStore.create(disk / "store", CONFIG)
        with pytest.raises(OSError, match="No space left"):
            store.write(video)
        assert [p for p in files(store.folder) if p.suffix != SUFFIX] == []
        assert store.records() == []
        assert store.record(video) is None
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        assert_whole(store.write(video))
        assert len(files(store.folder)) == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_files_of_a_killed_process_are_removed_a_day_later(store):
    folder = files(store.folder)[0].parent
    old, young = folder / ".a.json.1.partial", folder / ".a.json.2.partial"
    for path in (old, young):
        path.write_text("{")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert [r.video for r in store.records()] == ["pair.mp4"]
    FaceStore.create(store.folder, CONFIG)
    assert (old.exists(), young.exists()) == (False, True)


# Places and names


def test_a_video_has_one_record_and_one_film_for_all_tracklets(whole_store, video):
    record = whole_store.record(video)
    assert len(record.tracklets) == 4
    film, place = files(whole_store.folder)
    assert film == film_of(record)
    assert record.tracklets[0].edges[0] == 0
    assert [a.edges[-1] for a in record.tracklets[:-1]] == [b.edges[0] for b in record.tracklets[1:]]
    assert record.tracklets[-1].edges[-1] == film.stat().st_size
    assert [len(t.edges) for t in record.tracklets] == [t.frames + 1 for t in record.tracklets]
    assert (place.name, film.name.split(".")[:2], film.suffix) == ("pair.mp4.json", ["pair", "mp4"], SUFFIX)


NAMES = [
    "a" * 200, "a" * 199 + "b", "é" * 100, "顔" * 200, "." + "x" * 200, ".hidden.mp4", "..", "a/b/c.mp4",
    "a%2Fb%2Fc.mp4", "a b.mp4", "a.mp4", "A.mp4 ", "a.mp4.json", "a\\b", "a\nb", "CON",
    "%2Ehidden.mp4", "/".join("deep" * 30),
]  # fmt: skip


def test_any_name_works_and_names_do_not_collide(empty, face_video):
    videos = [Video(face_video, name) for name in NAMES]
    for video in videos:
        empty.write_failure(failed(video, "unreadable", f"of {video.name!r}"))
    for video in videos:
        assert empty.record(video).reason == f"of {video.name!r}"
    assert [r.video for r in empty.records()] == sorted(NAMES)
    places = files(empty.folder)
    assert len(places) == len(NAMES)
    for place in places:
        assert place.parent.parent == empty.folder / "tracklets"
        assert len(place.parent.name) == 2
        assert int(place.parent.name, 16) >= 0


def test_films_of_odd_names_are_read(empty, face_video):
    for name in ("顔" * 200, "../" + "x" * 200, ".a/é.mp4"):
        assert_whole(empty.write(Video(face_video, name)))
    assert len(files(empty.folder)) == 6


def test_many_videos_are_spread_over_256_folders(empty, face_video):
    folders = {empty.place(f"{number}.mp4").parent for number in range(4000)}
    assert len(folders) == 256
    assert {folder.name for folder in folders} == {f"{number:02x}" for number in range(256)}


@given(st.text(min_size=1, max_size=300))
def test_stored_file_names_are_valid_path_components(name):
    name = Video(Path(), name).name
    assert 0 < len(file_name(name).encode()) <= 170
    assert "/" not in file_name(name)
    assert not file_name(name).startswith(".")


@given(st.lists(st.text("ab./%2Eé \\", min_size=1, max_size=8), min_size=2, max_size=2, unique=True), st.booleans())
def test_two_names_are_two_files(names, long):
    one, other = (file_name("x" * 170 * long + name) for name in names)
    assert one != other


# Refusals


def refusal(function: Any, *arguments: Any) -> str:
    with pytest.raises(StoreError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_format_1_dataset_must_be_rebuilt(tmp_path):
    (tmp_path / "tracks" / "a.mp4").mkdir(parents=True)
    (tmp_path / "faces.json").write_text(json.dumps({"format": 1, "settings": {"size": 256}}))
    before = as_it_lies(tmp_path)
    for why in (refusal(FaceStore.open, tmp_path), refusal(FaceStore.create, tmp_path, CONFIG)):
        assert why == f"{tmp_path} is of format 1, and this version reads 4: build it again with `dfd faces`"
    assert as_it_lies(tmp_path) == before


@pytest.mark.parametrize("about", [{"format": FORMAT + 1, "settings": {}}, {"settings": CONFIG.model_dump()}, {}])
def test_a_dataset_of_another_format_is_refused(tmp_path, about):
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    for why in (refusal(FaceStore.open, tmp_path), refusal(FaceStore.create, tmp_path, CONFIG)):
        assert why.endswith("dataset.json is of another format than 4: build it again with `dfd faces`")


def test_different_settings_are_refused_by_name(empty):
    why = refusal(FaceStore.create, empty.folder, CONFIG.replace(margin=1.3, size=128))
    assert "was built with margin 1.6 (now 1.3), size 64 (now 128): continue" in why
    assert FaceStore.create(empty.folder, CONFIG).config == FaceStore.open(empty.folder).config == CONFIG


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path):
    assert "no dataset (no dataset.json)" in refusal(FaceStore.open, tmp_path)
    assert "no dataset" in refusal(FaceStore.open, tmp_path / "not there")
    (tmp_path / "mine.txt").touch()
    assert "not empty and no dataset" in refusal(FaceStore.create, tmp_path, CONFIG)
    assert "not empty and no dataset" in refusal(FaceStore.create, tmp_path / "mine.txt", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "dataset.json").write_text("{")
    assert "dataset.json is not JSON" in refusal(FaceStore.open, tmp_path)


# Damage


@pytest.mark.parametrize("damage", ["half", b"", b"\0" * 4096, b"\xff\xfe", b"[]", b"null"])
def test_a_damaged_record_is_named(store, video, damage):
    place = film_of(store.record(video)).with_name("pair.mp4.json")
    place.write_bytes(place.read_bytes()[:500] if damage == "half" else damage)
    for function, *arguments in (
        [store.record, video],
        [store.records],
        [store.correct, [video]],
        [store.write, video],
    ):
        why = refusal(function, *arguments)
        assert str(place) in why
        assert why.endswith("delete it and run `dfd faces` again")
    place.unlink()
    assert_whole(store.write(video))


def test_a_damaged_film_is_named(store, video):
    record = store.record(video)
    film, last = film_of(record), record.tracklets[-1]
    data = film.read_bytes()
    for damaged in (data[: len(data) // 2], data[:100], b"", b"not a film" * 100):
        film.write_bytes(damaged)
        assert str(film) in refusal(load_crops, last, [last.frames - 1])
        assert "build that video again" in refusal(load_tracklet, last)
    film.unlink()
    assert str(film) in refusal(load_crops, last, [0])
    load_geometry(last)  # is in the record
    shutil.copy(video.path, film)
    with pytest.raises(StoreError):
        load_crops(last, [last.frames - 1])


def test_a_damaged_film_in_memory_is_reported(video):
    from dataclasses import replace

    row = in_memory(video, CONFIG).tracklets[-1]
    assert isinstance(row.film, bytes)
    why = refusal(load_crops, replace(row, film=row.film[: len(row.film) // 2]), [row.frames - 1])
    assert "a film in memory" in why


def test_a_film_without_a_record_is_ignored_and_rebuilt(store, video):
    film = film_of(store.record(video))
    film.with_name("pair.mp4.json").unlink()
    assert store.record(video) is None
    assert store.records() == []
    store.write_tables()
    assert film_of(store.write(video)) == film
    assert len(files(store.folder)) == 2


def test_the_same_video_gives_the_same_film(whole_store, empty, video):
    one, other = film_of(whole_store.record(video)), film_of(empty.write(video))
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
