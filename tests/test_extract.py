import cv2
import numpy as np
import pytest
import skimage.data

from dfd.clips.sampling import ClipConfig, ScoredFrames
from dfd.errors import VideoReadError
from dfd.faces import extract
from dfd.faces.extract import Extraction, FacesConfig, extract_tracks
from dfd.types import Video
from dfd.videos.encode import write_video
from tests.conftest import moving_face

CONFIG = FacesConfig(size=128)


def tracks(path, config=CONFIG, told=None):
    return list(extract_tracks(Video(path, path.name), config, told))


def test_a_moving_face_is_one_track_over_the_whole_video(face_video):
    told = Extraction()
    (track,) = tracks(face_video, told=told)
    assert track.indices.tolist() == list(range(45))
    assert track.images.shape == (45, 128, 128, 3)
    assert (told.frames, told.missing) == (45, 0)
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    assert np.ptp(sides) < 1e-3  # one box size a track
    drift = track.boxes[-1, 0] - track.boxes[0, 0]
    assert drift == pytest.approx(-44, abs=4) or drift == pytest.approx(44, abs=4)  # a pixel a frame
    assert np.abs(np.diff(track.boxes[:, 0])).max() <= 3  # it slides and never jumps


def test_the_face_stands_still_in_its_crops(face_video):
    (track,) = tracks(face_video)
    middle = track.images[:, 32:96, 32:96].astype(float)
    assert np.abs(middle[5] - middle[40]).mean() < 12
    assert track.landmarks.reshape(-1, 2).min() > 0
    assert track.landmarks.reshape(-1, 2).max() < 128
    eyes, mouth = track.landmarks[:, :2, 1].mean(), track.landmarks[:, 3:, 1].mean()
    assert eyes < 64 < mouth


def test_chunks_change_next_to_nothing(face_video, monkeypatch):
    (whole,) = tracks(face_video)
    monkeypatch.setattr(extract, "CHUNK_BYTES", 320 * 240 * 3 * 9)
    (parts,) = tracks(face_video)
    assert np.array_equal(whole.indices, parts.indices)
    assert np.abs(whole.boxes - parts.boxes).max() < 6
    monkeypatch.setattr(extract, "CHUNK_BYTES", 1)  # frames so large that one fills a chunk
    (single,) = tracks(face_video)
    assert np.array_equal(whole.indices, single.indices)


def test_a_face_that_comes_and_goes(tmp_path):
    face = moving_face(24, shift=0)
    empty = np.full_like(face, 60)
    write_video(tmp_path / "goes.mp4", np.concatenate([empty[:8], face, empty]), 15)
    (track,) = tracks(tmp_path / "goes.mp4")
    assert 8 <= track.indices[0] <= 12
    assert 27 <= track.indices[-1] <= 31  # cut at the last sighting, not held into the empty frames
    write_video(tmp_path / "blinks.mp4", np.concatenate([face[:8], empty[:4], face[:12]]), 15)
    (track,) = tracks(tmp_path / "blinks.mp4")
    assert track.indices.tolist() == list(range(len(track)))  # a short gap is bridged


def test_a_face_that_comes_back_after_long_is_another_track(tmp_path):
    face = moving_face(12, shift=0)
    write_video(
        tmp_path / "twice.mp4", np.concatenate([face, np.full_like(face, 60), np.full_like(face, 60), face]), 15
    )
    first, second = tracks(tmp_path / "twice.mp4")
    assert (first.track, second.track) == (0, 1)
    assert first.indices[-1] < 12
    assert second.indices[0] >= 36


def test_one_frame_is_a_track_of_one(tmp_path):
    write_video(tmp_path / "one.mp4", moving_face(1), 15)
    (track,) = tracks(tmp_path / "one.mp4")
    assert len(track) == 1


def test_no_face_says_why(tmp_path):
    write_video(tmp_path / "dark.mp4", np.full((10, 120, 160, 3), 4, np.uint8), 15)
    told = Extraction()
    assert tracks(tmp_path / "dark.mp4", told=told) == []
    assert told.reason.startswith("no face on 3 frames looked at, of 10, and the pictures are dark")


def test_a_face_that_is_not_found_at_first_is_looked_for_less_strictly(tmp_path):
    write_video(tmp_path / "dim.mp4", (moving_face(24) * 0.08).astype(np.uint8), 15, crf=20, keyframe_every=15)
    told = Extraction()
    (track,) = tracks(tmp_path / "dim.mp4", told=told)
    assert told.caveat == "a faint face"
    assert told.frames == 24  # of one pass
    assert 0.5 <= track.confidence < 0.95
    assert tracks(tmp_path / "dim.mp4")[0].boxes.tolist() == track.boxes.tolist()


@pytest.mark.parametrize("picture", ["coffee", "chelsea", "coins", "brick", "grass", "text"])
def test_where_there_is_no_face_none_is_found_less_strictly(tmp_path, picture):
    image = np.atleast_3d(getattr(skimage.data, picture)())[..., :3]
    image = cv2.resize(np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3))), (360, 240))
    write_video(tmp_path / "none.mp4", np.stack([image[:, i : i + 320] for i in range(12)]), 15)
    assert tracks(tmp_path / "none.mp4") == []


@pytest.mark.parametrize("count", [1, 9, 20, 45, 100])
def test_no_more_frames_are_looked_at_than_asked_for(face_video, monkeypatch, count):
    monkeypatch.setattr(extract, "CHUNK_BYTES", 320 * 240 * 3 * 8)
    told = Extraction()
    (track,) = tracks(face_video, FacesConfig(size=64, frames=count), told)
    assert told.frames == min(count, 45)
    assert track.indices.tolist() == list(range(min(count, 45)))


def test_a_long_track_is_split_so_that_memory_is_bounded(face_video, monkeypatch):
    monkeypatch.setattr(extract, "LONGEST_TRACK", 12)
    monkeypatch.setattr(extract, "CHUNK_BYTES", 320 * 240 * 3 * 8)
    found = tracks(face_video)
    assert len(found) >= 2
    assert max(len(track) for track in found) <= 20
    frames = np.concatenate([track.indices for track in found])
    assert len(frames) == len(set(frames.tolist()))


PLAN = ScoredFrames((ClipConfig(length=6, fps=7.5, clips=2),))
"""Two clips of 6 frames, every second one."""


def test_a_plan_gives_the_crops_of_the_whole_track_where_it_looks(face_video):
    (whole,) = tracks(face_video)
    told = Extraction()
    (track,) = extract_tracks(Video(face_video, "face.mp4"), CONFIG, told, PLAN)
    assert track.indices.tolist() == [8, 10, 12, 14, 16, 18, 26, 28, 30, 32, 34, 36]
    assert (told.frames, told.missing) == (45, 0)
    at = np.searchsorted(whole.indices, track.indices)
    assert np.abs(track.boxes - whole.boxes[at]).max() <= 4  # of a face of 110 pixels
    assert np.abs(track.landmarks - whole.landmarks[at]).max() <= 4
    assert np.abs(track.images.astype(int) - whole.images[at]).mean() < 12  # shifted by those few pixels
    assert len(np.unique(np.round(track.boxes[:, 2] - track.boxes[:, 0], 3))) == 1


def test_what_lies_between_clips_is_not_looked_at(face_video, monkeypatch):
    looked = []
    detect = extract.Detector.detect
    monkeypatch.setattr(extract.Detector, "detect", lambda *a, **k: looked.append(a[1][0].shape) or detect(*a, **k))
    list(extract_tracks(Video(face_video, "face.mp4"), CONFIG, None, PLAN))
    assert 4 <= len(looked) <= 8
    assert looked[0] == (240, 320, 3)
    assert sum(shape == (240, 320, 3) for shape in looked) <= 3  # the others are about the face


def test_a_face_that_no_clip_shows_is_looked_for_everywhere(tmp_path):
    face = moving_face(12, shift=0)
    empty = np.full_like(face, 60)
    write_video(tmp_path / "fleeting.mp4", np.concatenate([empty, empty[:8], face, empty]), 15)
    told = Extraction()
    plan = ScoredFrames((ClipConfig(length=4, fps=15, clips=2),))
    (track,) = extract_tracks(Video(tmp_path / "fleeting.mp4", "f.mp4"), CONFIG, told, plan)
    assert 20 <= track.indices[0] <= 24
    assert np.array_equal(np.diff(track.indices), np.ones(len(track) - 1))
    assert (told.frames, told.missing) == (44, 0)


def test_two_people_are_followed_from_clip_to_clip(tmp_path):
    both = np.concatenate([moving_face(45), moving_face(45)], axis=2)
    write_video(tmp_path / "two.mp4", both, 15, keyframe_every=15)
    found = list(extract_tracks(Video(tmp_path / "two.mp4", "two.mp4"), CONFIG, None, PLAN))
    assert [len(track) for track in found] == [12, 12]
    left, right = sorted(found, key=lambda track: track.boxes[0, 0])
    assert right.boxes[0, 0] - left.boxes[0, 0] == pytest.approx(320, abs=8)


def test_a_new_face_is_found_within_seconds_though_another_is_followed(tmp_path):
    one = np.concatenate([moving_face(60, shift=0), np.full((60, 240, 320, 3), 60, np.uint8)], axis=2)
    one[20:, :, 320:] = moving_face(40, shift=0)
    write_video(tmp_path / "joins.mp4", one, 15, keyframe_every=15)
    first, second = sorted(tracks(tmp_path / "joins.mp4"), key=lambda track: track.boxes[0, 0])
    assert len(first) == 60
    assert 20 <= second.indices[0] <= 20 + 1.4 * 15
    assert second.indices[-1] == 59


def test_what_cannot_be_read_raises(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(VideoReadError):
        tracks(tmp_path / "text.mp4")
