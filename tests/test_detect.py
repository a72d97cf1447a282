import numpy as np
import pytest
import skimage.data
import torch

from dfd.faces.detect import Detector, area_resample


@pytest.fixture(scope="module")
def detector():
    return Detector(min_face=40)


def test_the_astronaut_has_one_face_where_it_is(detector):
    (found,) = detector.detect([skimage.data.astronaut()])
    assert len(found) == 1
    assert found.confidences[0] > 0.99
    assert np.abs(found.boxes[0] - [180, 61, 268, 172]).max() < 8
    left_eye, right_eye, nose, *_ = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1]


def test_frames_with_and_without_a_face_in_one_call(detector):
    face = skimage.data.astronaut()
    found = detector.detect(np.stack([np.zeros_like(face), face, np.full_like(face, 128)]))
    assert [len(f) for f in found] == [0, 1, 0]
    assert found[0].boxes.shape == (0, 4)
    assert found[0].landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (16, 400), (39, 39), (40, 40), (400, 16)])
def test_pictures_smaller_than_a_face_have_none(detector, shape):
    (found,) = detector.detect([np.zeros((*shape, 3), np.uint8)])
    assert len(found) == 0


def test_several_faces_come_by_falling_confidence(detector):
    face = skimage.data.astronaut()[:256, 100:400]
    small = face[::2, ::2]
    canvas = np.full((256, 600, 3), 90, np.uint8)
    canvas[:, :300] = face
    canvas[60 : 60 + small.shape[0], 380 : 380 + small.shape[1]] = small
    (found,) = detector.detect([canvas])
    assert len(found) == 2
    assert found.confidences[0] >= found.confidences[1]


def test_no_pictures_no_answer(detector):
    assert detector.detect([]) == []


def test_reducing_by_opencv_finds_what_adaptive_pooling_finds(detector, monkeypatch):
    picture = [skimage.data.astronaut()]
    (ours,) = detector.detect(picture)
    plain = lambda images, size: torch.nn.functional.interpolate(images, size=size, mode="area")  # noqa: E731
    monkeypatch.setattr("facenet_pytorch.models.utils.detect_face.imresample", plain)
    (theirs,) = detector.detect(picture)
    assert np.abs(ours.boxes - theirs.boxes).max() < 4  # of a face of 110 pixels
    assert np.abs(ours.landmarks - theirs.landmarks).max() < 2
    monkeypatch.setattr("facenet_pytorch.models.utils.detect_face.imresample", None)
    with pytest.raises(TypeError):  # it is what the detector calls
        detector.detect(picture)


def test_areas_are_averaged():
    picture = torch.tensor([[[[0.0, 2, 4, 6], [2, 4, 6, 8]]]]).repeat(1, 3, 1, 1)
    assert area_resample(picture, (1, 2))[0, 0].tolist() == [[2.0, 6.0]]
