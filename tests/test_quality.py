from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.inference.quality import COMPRESSED, DARK, SMALL, Quality, quality, sharpness
from dfd.videos.encode import write_video
from tests.conftest import moving_face

GOOD = Quality(640, 360, 25.0, 100, 0.05, 120.0, 0.5, 110.0)


def tracklet(side, margin=1.6):
    return SimpleNamespace(path=SimpleNamespace(side=side), margin=margin)


def test_a_file_and_its_faces_are_measured(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, moving_face(10), 20, crf=20, keyframe_every=10)
    crops = [np.full((160, 160, 3), grey, np.uint8) for grey in (60, 100, 200)]
    found = quality(path, 10, [tracklet(50), tracklet(90), tracklet(70)], crops)
    assert (found.width, found.height, found.fps, found.face, found.brightness) == (320, 240, 20.0, 70.0, 100.0)
    assert found.bits == pytest.approx(path.stat().st_size * 8 / (10 * 320 * 240), abs=1e-5)
    assert quality(path, 10, [], []).face is None
    with pytest.raises(VideoReadError):
        quality(tmp_path / "gone.mp4", 10, [], [])


def test_what_surrounds_a_face_does_not_count(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, moving_face(2), 20, crf=20, keyframe_every=10)
    crop = np.zeros((160, 160, 3), np.uint8)
    crop[30:130, 30:130] = 120  # the box is the middle 100 of 160
    assert quality(path, 2, [tracklet(50)], [crop]).brightness == 120


def test_sharpness_falls_with_blur_and_not_with_light():
    face = moving_face(1)[0, 40:160, 60:180]
    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    assert sharpness(face) > 2 * sharpness(blurred)
    assert sharpness((face * 0.5).astype(np.uint8)) == pytest.approx(sharpness(face), rel=0.1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"face": SMALL - 1}, "too small: 47 pixels, and it takes 48"),
        ({"brightness": DARK - 1}, "too dark: brightness 14 of 255, and it takes 15"),
        ({"bits": COMPRESSED / 2}, "too compressed: 0.0010 bits a pixel, and it takes 0.002"),
    ],
)
def test_what_is_too_poor_is_said(change, says):
    assert GOOD.limits() == []
    (reason,) = Quality(**{**vars(GOOD), **change}).limits()
    assert says in reason
    assert Quality().limits() == []
    assert Quality(**{**vars(GOOD), "bits": 0.0001, "frames": 1}).limits() == []  # a picture has no bit rate
