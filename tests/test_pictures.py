import av
import numpy as np
import pytest

from dfd.videos import pictures as module
from dfd.videos.decode import read_frames, stream_pictures
from dfd.videos.encode import write_video
from dfd.videos.pictures import Picture, View, held_reduction
from tests.conftest import moving_face
from tests.hostile import encode

AREAS = [(0, 240, 0, 320), (10, 90, 33, 121), (11, 90, 32, 120), (0, 7, 300, 320), (239, 240, 319, 320), (5, 5, 0, 9)]


def everything(frames, fps):
    """A plan: all frames, in one group."""
    return [np.arange(frames)]


def noise(frames, height, width):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_sliced_picture_equals_the_slice_of_the_whole(tmp_path, area, rotation):
    size = (320, 240) if rotation % 180 else (240, 320)
    write_video(tmp_path / "a.mp4", noise(2, *size), 15, rotation=rotation)
    whole = read_frames(tmp_path / "a.mp4", [0, 1]).images
    (pictures,) = stream_pictures(tmp_path / "a.mp4", everything)
    top, bottom, left, right = area
    for image, picture in zip(whole, pictures, strict=True):
        assert picture.shape == image.shape == (240, 320, 3)
        assert np.array_equal(picture[top:bottom, left:right], image[top:bottom, left:right])
        assert np.array_equal(
            picture[max(top - 3, 0) : bottom + 999, left : right + 999], image[max(top - 3, 0) :, left:]
        )


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le", "gray"])
def test_slices_match_for_every_picture_format(tmp_path, pixels):
    images = moving_face(2)[:, :239, :317] if pixels == "yuv444p" else moving_face(2)
    encode(tmp_path / "a.mp4", images, pixels=pixels)
    whole = read_frames(tmp_path / "a.mp4", [0, 1]).images
    (pictures,) = stream_pictures(tmp_path / "a.mp4", everything)
    assert np.array_equal(pictures.rgb(), whole)
    assert np.array_equal(pictures.pictures[1][21:100, 40:99], whole[1][21:100, 40:99])


def test_colours_follow_the_files_tags():
    frame = av.VideoFrame.from_ndarray(noise(1, 64, 64)[0], format="rgb24").reformat(format="yuv420p")
    for colorspace, color_range in ((1, 1), (5, 2), (9, 1)):
        frame.colorspace, frame.color_range = colorspace, color_range
        picture = Picture(frame, View(frame))
        assert np.array_equal(picture[8:40, 9:50], picture.reduced(None)[8:40, 9:50])


def test_pictures_of_another_size_are_resized_to_the_first():
    first, other = (
        av.VideoFrame.from_ndarray(np.full((*size, 3), 99, np.uint8), format="rgb24") for size in ((60, 80), (30, 40))
    )
    picture = Picture(other, View(first))
    assert picture[:, :].shape == picture.reduced(None).shape == (60, 80, 3)
    assert picture.reduced(40).shape == (30, 40, 3)


def test_only_planned_frames_are_read(face_video):
    asked = []

    def plan(frames, fps):
        asked.append((frames, fps))
        return [np.array(group) for group in ([3, 5, 7], [8, 20, 21], [22, 30])]

    groups = list(stream_pictures(face_video, plan))
    assert asked == [(45, 15.0)]
    assert [group.indices.tolist() for group in groups] == [[3, 5, 7], [8, 20, 21], [22, 30]]
    assert {(group.shown, group.fps, group.missing) for group in groups} == {(45, 15.0, 0)}
    whole = read_frames(face_video, range(45)).images
    assert all(np.array_equal(group.rgb(), whole[group.indices]) for group in groups)


def test_groups_may_be_empty(face_video):
    groups = [np.array(group, np.int64) for group in ([], [4, 6, 9], [], [10, 44])]
    found = list(stream_pictures(face_video, lambda *_: groups))
    assert [pictures.indices.tolist() for pictures in found] == [[], [4, 6, 9], [], [10, 44]]
    whole = read_frames(face_video, range(45)).images
    assert all(np.array_equal(pictures.rgb(), whole[pictures.indices]) for pictures in found if len(pictures))


def test_an_empty_plan_gives_nothing(face_video):
    assert list(stream_pictures(face_video, lambda *_: [])) == []


def test_planned_but_missing_frames_are_counted(face_video, tmp_path):
    data = face_video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    groups = list(stream_pictures(tmp_path / "cut.mp4", lambda frames, _: [np.array([0, 1, frames, 99])]))
    assert [(pictures.indices.tolist(), pictures.missing) for pictures in groups] == [([0, 1], 2)]


def test_frames_are_reduced_when_too_many_to_hold(face_video, monkeypatch):
    frame = av.VideoFrame(3840, 2160, "yuv420p")
    assert held_reduction(frame, 78) == 1  # 1.3 s at 60 frames a second: 970 MB
    assert held_reduction(frame, 90) == 2
    assert held_reduction(av.VideoFrame(7680, 4320, "yuv420p"), 78) == 2
    (whole,) = stream_pictures(face_video, everything)
    monkeypatch.setattr(module, "HELD", 320 * 240 * 3 // 2 * 45 // 3)  # a third of their full size
    (small,) = stream_pictures(face_video, everything)
    assert whole.pictures[0].shape == (240, 320, 3)
    assert small.pictures[0].shape == (120, 160, 3)
    assert small.rgb().shape == (45, 120, 160, 3)
    wanted = whole.rgb(160).astype(int)
    assert np.abs(small.rgb() - wanted).mean() < 2
    part = small.pictures[20][11:90, 32:120]
    assert np.array_equal(part, small.pictures[20].reduced(None)[11:90, 32:120])


def test_a_rotated_video_is_reduced_as_displayed(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", np.rot90(moving_face(4), -1, axes=(1, 2)), 15, rotation=90)
    whole = read_frames(tmp_path / "a.mp4", range(4), long_side=160).images
    monkeypatch.setattr(module, "HELD", 320 * 240 * 3 // 2 * 4 // 3)
    (pictures,) = stream_pictures(tmp_path / "a.mp4", everything)
    assert pictures.pictures[0].shape == pictures.rgb().shape[1:] == (120, 160, 3)
    assert np.abs(pictures.rgb().astype(int) - whole).mean() < 2
    assert np.array_equal(pictures.pictures[2][11:90, 32:120], pictures.rgb()[2, 11:90, 32:120])
