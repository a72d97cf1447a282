import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.types import Video
from dfd.videos.glance import first_frame


def test_the_first_frame_of_a_video_is_downscaled(face_video):
    image = first_frame(Video(face_video, "face.mp4"), 160)
    assert image.shape == (120, 160, 3)
    assert image.dtype == np.uint8
    assert image.std() > 20


def test_a_picture_is_its_own_first_frame(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((100, 50, 3), (0, 0, 255), np.uint8))  # OpenCV's order: red
    image = first_frame(Video(path, "a.png"), 50)
    assert image.shape == (50, 25, 3)
    assert image[0, 0].tolist() == [255, 0, 0]


def test_an_unreadable_file_is_reported(tmp_path):
    with pytest.raises(VideoReadError):
        first_frame(Video(tmp_path / "none.mp4", "none.mp4"), 50)
