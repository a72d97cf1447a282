from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.inference.quality import COMPRESSED, DARK, SMALL, Quality, brightness, file_quality, sharpness, with_faces
from dfd.videos.encode import write_video
from tests.conftest import moving_face

GOOD = Quality(640, 360, 25.0, 100, 0.05, 120.0, 0.5, 110.0)


def tracklet(side, margin=1.6):
    return SimpleNamespace(path=SimpleNamespace(side=side), margin=margin)


def test_a_file_and_its_faces_are_measured(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, moving_face(10), 20, crf=20, keyframe_every=10)
    file = file_quality(path)
    assert (file.width, file.height, file.fps, file.frames, file.face) == (320, 240, 20.0, 10, None)
    assert file.bits == pytest.approx(path.stat().st_size * 8 / (10 * 320 * 240), abs=1e-5)
    crops = [np.full((160, 160, 3), 90, np.uint8)] * 3
    found = with_faces(file, [tracklet(50), tracklet(90), tracklet(70)], crops, 100.0)
    assert (found.bits, found.face, found.sharpness, found.brightness) == (file.bits, 70.0, 0.0, 100.0)
    with pytest.raises(VideoReadError):
        file_quality(tmp_path / "gone.mp4")


def test_without_a_frame_count_there_is_no_bit_rate(tmp_path):
    write_video(tmp_path / "a.mp4", moving_face(10), 20, crf=20, keyframe_every=10)
    with av.open(tmp_path / "a.mp4") as source, av.open(tmp_path / "a.mkv", "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    found = file_quality(tmp_path / "a.mkv")
    assert (found.width, found.frames, found.bits) == (320, 0, None)


def test_brightness_is_measured_on_the_face_alone():
    clips = np.zeros((3, 3, 1, 160, 160), np.uint8)
    for clip, level in zip(clips, (60, 120, 200), strict=True):
        clip[..., 30:130, 30:130] = level  # the box is the middle 100 of 160
    assert brightness(clips, 1.6) == 120


def test_sharpness_falls_with_blur_and_not_with_brightness():
    face = moving_face(1)[0, 40:160, 60:180]
    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    assert sharpness(face) > 2 * sharpness(blurred)
    assert sharpness((face * 0.5).astype(np.uint8)) == pytest.approx(sharpness(face), rel=0.1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"face": SMALL - 1}, "too small: 39 pixels, it needs 40"),
        ({"brightness": DARK - 1}, "too dark: brightness 27 of 255, it needs 28"),
        ({"bits": COMPRESSED / 2}, "too compressed: 0.0005 bits a pixel, it needs 0.001"),
    ],
)
def test_poor_quality_gives_a_reason(change, says):
    assert GOOD.limits() == []
    (reason,) = Quality(**{**vars(GOOD), **change}).limits()
    assert says in reason
    assert Quality().limits() == []
    assert Quality(**{**vars(GOOD), "bits": 0.0001, "frames": 1}).limits() == []  # a picture has no bit rate
