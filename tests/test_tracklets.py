"""Tracklets of small synthetic videos: the astronaut moving, appearing and leaving, and people of one photograph."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data

from dfd.clips.sampling import ClipConfig, ScoredClips
from dfd.errors import VideoReadError
from dfd.faces.recorder import in_memory
from dfd.faces.records import load_crops, load_tracklet
from dfd.faces.tracklets import FacesConfig, video_tracklets
from dfd.types import Video
from dfd.videos import fallback
from dfd.videos.encode import write_video
from tests.conftest import moving_face
from tests.people import six_people, stage, still

pytestmark = pytest.mark.slow

CONFIG = FacesConfig(size=128)
OTHERS = {"size": 64, "detect_side": 320}


def looked(path, config=CONFIG, wanted=None):
    return list(video_tracklets(Video(path, path.name), config, wanted))


def tracklets(path, config=CONFIG, wanted=None):
    return [tracklet for one in looked(path, config, wanted) for tracklet in one.tracklets]


def film(path, *images, fps=15, **settings):
    write_video(path, np.concatenate(images), fps, **{"crf": 16, "keyframe_every": 15, **settings})
    return path


def test_a_face_has_a_tracklet_in_each_segment(face_video):
    found = looked(face_video)
    assert [(one.segment.start, one.segment.stop) for one in found] == [(0, 22), (22, 45)]
    assert [[t.face for t in one.tracklets] for one in found] == [[0], [0]]
    assert [one.total for one in found] == [2, 2]
    first, second = (one.tracklets[0] for one in found)
    assert first.indices.tolist() == list(range(22))
    assert second.indices.tolist() == list(range(22, 45))
    assert first.images.shape == (22, 128, 128, 3)
    for tracklet in (first, second):
        assert np.ptp(tracklet.boxes[:, 2:] - tracklet.boxes[:, :2]) < 1e-3  # one box size
        assert np.abs(np.diff(tracklet.boxes[:, 0])).max() <= 3  # it moves smoothly and never jumps
        assert abs(abs(tracklet.boxes[-1, 0] - tracklet.boxes[0, 0]) - 21) < 4  # a pixel per frame


def test_the_face_is_stationary_in_its_crops(face_video):
    for tracklet in tracklets(face_video):
        middle = tracklet.images[:, 32:96, 32:96].astype(float)
        assert np.abs(middle[3] - middle[18]).mean() < 12
        assert 0 < tracklet.landmarks.min() < tracklet.landmarks.max() < 128
        assert tracklet.landmarks[:, :2, 1].mean() < 64 < tracklet.landmarks[:, 3:, 1].mean()  # eyes above the mouth


def test_a_segment_does_not_depend_on_the_others(face_video, tmp_path):
    """The same segment in a video whose other frames differ."""
    images = moving_face(45)
    film(tmp_path / "a.mp4", images, keyframe_every=1)
    film(tmp_path / "b.mp4", np.full_like(images[:22], 90), images[22:], keyframe_every=1)
    (one,), (other,) = (looked(tmp_path / name)[1].tracklets for name in ("a.mp4", "b.mp4"))
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.boxes, other.boxes)


@pytest.mark.parametrize("speed", [20, 44, 88])
def test_a_face_crossing_the_picture_is_one_tracklet_per_segment(tmp_path, speed):
    small = cv2.resize(skimage.data.astronaut()[0:260, 60:460], (246, 160), interpolation=cv2.INTER_AREA)
    face, images = small[:, 60:180], np.full((120, 160, 480, 3), 120, np.uint8)
    for frame in range(120):
        left = round(20 + speed / 30 * frame)
        images[frame, :, left : left + 120] = face[:, : 480 - left]
    film(tmp_path / "a.mp4", images, fps=30)
    found = looked(tmp_path / "a.mp4", FacesConfig(**OTHERS | {"detect_side": 480}))
    assert [len(one.tracklets) for one in found] == [1, 1, 1]
    assert [len(one.tracklets[0]) for one in found] == [40, 40, 40]


def test_a_face_that_appears_and_disappears(tmp_path):
    face = moving_face(24, shift=0)
    empty = np.full_like(face, 60)
    (tracklet, *_) = tracklets(film(tmp_path / "goes.mp4", empty[:8], face, empty))
    assert 7 <= tracklet.indices[0] <= 14
    assert all(t.indices[-1] <= 31 for t in tracklets(tmp_path / "goes.mp4"))  # never held into the empty frames
    blinks = film(tmp_path / "blinks.mp4", face[:6], empty[:3], face[:10])
    (tracklet,) = tracklets(blinks, FacesConfig(size=128, detect_every=0.3))
    assert tracklet.indices.tolist() == list(range(19))  # one look without the face is bridged


def test_a_single_frame_is_a_tracklet_of_length_one(tmp_path):
    (tracklet,) = tracklets(film(tmp_path / "one.mp4", moving_face(1)))
    assert len(tracklet) == 1


@pytest.mark.parametrize("beyond", [70, 90])
def test_the_border_is_repeated_for_a_face_at_the_edge(tmp_path, beyond):
    (tracklet,) = tracklets(film(tmp_path / "edge.mp4", moving_face(24, shift=0)[:, :, beyond:]))
    assert len(tracklet) == 24
    left, _, right, _ = tracklet.boxes[0]
    assert left < 0 < right
    outside = int((0.3 * (right - left) - left) / (right - left) / CONFIG.margin * CONFIG.size)  # columns of the crop
    columns = tracklet.images[0, :, : outside - 2].astype(int)
    assert outside > 20
    assert np.abs(np.diff(columns, axis=1)).max() <= 1
    assert 0 < tracklet.landmarks.min() < tracklet.landmarks.max() < CONFIG.size


def test_decord_gives_the_same_faces_when_pyav_finds_no_picture(face_video, monkeypatch):
    def refuse(path):
        raise VideoReadError(path, "no picture decodes")

    video = Video(face_video, "face.mp4")
    usual = in_memory(video, CONFIG)
    monkeypatch.setattr(fallback, "Footage", refuse)
    record = in_memory(video, CONFIG)
    assert (usual.reason, record.reason) == ("", "read by decord")
    for one, other in zip(usual.tracklets, record.tracklets, strict=True):
        assert np.array_equal(one.indices, other.indices)  # its downscaled copies are made from RGB
        assert np.abs(load_tracklet(one).boxes - load_tracklet(other).boxes).max() < 2
    part = in_memory(video, CONFIG, WANTED)
    for few, all_ in zip(part.tracklets, record.tracklets, strict=True):
        at = np.searchsorted(all_.indices, few.indices)
        assert np.array_equal(load_crops(few, np.arange(few.frames)), load_crops(all_, at))


@pytest.mark.parametrize("room", ["another room", "the same room"])
def test_a_cut_within_a_segment_links_no_faces(tmp_path, room):
    """Two people in one place, one after the other, for all pairs."""
    (tmp_path / "people").mkdir()
    people, joined = six_people(tmp_path / "people"), 0
    for number, (one, other) in enumerate(pairwise(people)):
        first = stage(20, (one, 160, 0, 20, still(240, 90)))
        second = stage(20, (other, 160, 0, 20, still(240, 90)), seed=0 if room == "the same room" else 1)
        film(tmp_path / f"{number}.mp4", first, second, fps=30)
        found = tracklets(tmp_path / f"{number}.mp4", FacesConfig(size=64, detect_side=640))
        assert found
        joined += any(t.indices[0] < 20 <= t.indices[-1] for t in found)
    assert joined <= (1 if room == "the same room" else 0)  # one pair of different people is that similar


def test_the_largest_faces_are_kept_up_to_the_limit(tmp_path):
    large, small = moving_face(12, shift=0), moving_face(12, shift=0)[:, 10:170:2, 120:320:2]
    images = np.concatenate([large, np.full_like(large, 60)], axis=2)
    images[:, 60 : 60 + small.shape[1], 400 : 400 + small.shape[2]] = small
    path = film(tmp_path / "two.mp4", images)
    first, second = tracklets(path, FacesConfig(**OTHERS | {"detect_side": 640}))
    assert (first.face, second.face) == (0, 1)
    assert np.ptp(first.boxes[0, ::2]) > 1.5 * np.ptp(second.boxes[0, ::2])
    record = in_memory(Video(path, "two.mp4"), FacesConfig(**OTHERS | {"detect_side": 640, "faces": 1}))
    assert [t.face for t in record.tracklets] == [0]
    assert "more than 1 face" in record.reason


def test_of_many_faces_the_eight_largest_are_kept_with_a_note(tmp_path):
    face = moving_face(4, shift=0)[:, 40:200, 45:205]
    images = np.tile(face, (1, 2, 5, 1))
    path = film(tmp_path / "table.mp4", images)
    record = in_memory(Video(path, "table.mp4"), FacesConfig(size=64))
    assert [t.face for t in record.tracklets] == list(range(8))
    assert record.reason == "more than 8 faces in 1 segments, the smaller ones left out"


def test_small_and_rotated_faces_are_found_next_to_a_large_one(tmp_path):
    """In a 1080p picture, searched at half size: a face of 60 pixels, and one rotated by 45 degrees."""
    photo = skimage.data.astronaut()[0:260, 60:460]
    scene = np.full((1080, 1920, 3), 120, np.uint8)
    scene[300:820, 700:1500] = cv2.resize(photo, (800, 520))
    small = cv2.resize(photo, None, fx=60 / 110, fy=60 / 110, interpolation=cv2.INTER_AREA)
    scene[50 : 50 + len(small), 50 : 50 + small.shape[1]] = small
    turn = cv2.getRotationMatrix2D((125, 120), 45, 1.0)
    scene[800:1040, 100:350] = cv2.warpAffine(photo, turn, (250, 240), borderMode=cv2.BORDER_REPLICATE)
    record = in_memory(Video(film(tmp_path / "a.mp4", np.stack([scene] * 2)), "a.mp4"), FacesConfig(size=64))
    places = [tracklet.path.place(tracklet.indices)[0][0] for tracklet in record.tracklets]
    sides = [tracklet.path.side for tracklet in record.tracklets]
    assert len(places) == 3
    assert np.linalg.norm(places[1] - [251, 891]) < 20  # (165, 118) in the photograph, rotated about (125, 120)
    assert np.linalg.norm(places[2] - [50 + 165 * 60 / 110, 50 + 118 * 60 / 110]) < 10
    assert 50 < sides[2] < 70


def test_no_face_gives_a_reason(tmp_path):
    film(tmp_path / "dark.mp4", np.full((10, 120, 160, 3), 4, np.uint8))
    record = in_memory(Video(tmp_path / "dark.mp4", "dark.mp4"), CONFIG)
    assert record.status == "no_face"
    assert record.reason.startswith("no face on 3 frames looked at, of 10, and they are dark")


def test_a_missed_face_is_searched_for_with_lower_thresholds(tmp_path):
    path = film(tmp_path / "dim.mp4", (moving_face(24) * 0.08).astype(np.uint8), crf=20)
    record = in_memory(Video(path, "dim.mp4"), CONFIG)
    assert (record.status, record.reason) == ("ok", "a faint face")
    assert record.frames == 24
    assert record.tracklets[0].confidence > 0.9  # the picture is brightened first


@pytest.mark.parametrize("picture", ["coffee", "chelsea", "coins", "brick", "grass", "text"])
def test_lower_thresholds_find_no_false_face(tmp_path, picture):
    image = np.atleast_3d(getattr(skimage.data, picture)())[..., :3]
    image = cv2.resize(np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3))), (360, 240))
    path = film(tmp_path / "none.mp4", np.stack([image[:, i : i + 320] for i in range(12)]))
    assert tracklets(path) == []


@pytest.mark.parametrize("count", [1, 9, 20, 45, 100])
def test_detection_runs_on_no_more_frames_than_allowed(face_video, count):
    found = tracklets(face_video, FacesConfig(size=64, frames=count))
    assert np.concatenate([t.indices for t in found]).tolist() == list(range(min(count, 45)))


WANTED = ScoredClips((ClipConfig(length=6, fps=7.5, clips=2), ClipConfig(length=1, clips=1)))


def test_wanted_segments_give_the_same_crops_as_the_whole_video(face_video):
    """Equal to the last bit, encoded and read back."""
    video = Video(face_video, "face.mp4")
    whole, part = in_memory(video, CONFIG), in_memory(video, CONFIG, WANTED)
    known = [[(t.segment, t.face, t.confidence) for t in record.tracklets] for record in (whole, part)]
    assert known[0] == known[1]
    for few, all_ in zip(part.tracklets, whole.tracklets, strict=True):
        assert 6 <= few.frames < all_.frames
        at = np.searchsorted(all_.indices, few.indices)
        assert np.array_equal(load_crops(few, np.arange(few.frames)), load_crops(all_, at))
        assert np.array_equal(load_tracklet(few).landmarks, load_tracklet(all_).landmarks[at])


def test_if_the_wanted_segments_show_no_face_the_others_are_searched(tmp_path):
    face = moving_face(24, shift=0)
    path = film(tmp_path / "late.mp4", *[np.full_like(face, 60)] * 3, face[:20])
    middle = ScoredClips((ClipConfig(length=4, clips=1),))
    whole = in_memory(Video(path, "late.mp4"), CONFIG)
    record = in_memory(Video(path, "late.mp4"), CONFIG, middle)
    assert middle.first(record.segments) == [2]
    assert record.faced == whole.faced == [3]
    first = ScoredClips((ClipConfig(length=4, clips=4),))
    assert [one.segment.number for one in looked(path, wanted=first)] == [0, 1, 2, 3]  # once each


def test_a_video_without_a_frame_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(film(tmp_path / "b.mp4", moving_face(3)).read_bytes()[:300])
    with pytest.raises(VideoReadError):
        tracklets(tmp_path / "a.mp4")
