import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from dfd.faces.detect import Canvas, Detector, distinct
from dfd.torchvision_ops import nms
from dfd.types import Detections

from facenet_pytorch import MTCNN  # isort: skip

pytestmark = pytest.mark.slow

USUAL, FAINT = (0.6, 0.7, 0.7), (0.4, 0.5, 0.5)
FACE = 0.38
"""Side of the face as a share of the portrait's side."""


@pytest.fixture(scope="module")
def detector():
    return Detector(min_face=40)


def portrait(side):
    """The astronaut's head and shoulders."""
    return cv2.resize(skimage.data.astronaut()[0:300, 90:390], (side, side), interpolation=cv2.INTER_AREA)


def group(height=500, width=901):
    """Five faces of 40 to 150 pixels on noise, one upside down and one cut off by the border."""
    picture = np.random.default_rng(0).integers(60, 160, (height, width, 3), dtype=np.uint8)
    faces = [(100, 20, 30), (140, 300, 170), (210, 60, 220), (400, 90, 480), (180, 310, 0)]
    for number, (side, y, x) in enumerate(faces):
        face = portrait(side)[:, 60 if number == 4 else 0 :]
        part = picture[y : y + side, x : x + face.shape[1]]
        part[:] = (face[::-1] if number == 1 else face)[: part.shape[0]]
    return picture


def overlap(one, others):
    shared = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    area = shared.clip(0).prod(1)
    return area / ((one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - area)


def test_the_astronauts_one_face_is_located(detector):
    (found,) = detector.detect([skimage.data.astronaut()])
    assert len(found) == 1
    assert found.confidences[0] > 0.99
    assert np.abs(found.boxes[0] - [180, 61, 268, 172]).max() < 8
    left_eye, right_eye, nose, *_ = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1]


def test_one_call_handles_frames_with_and_without_a_face(detector):
    face = skimage.data.astronaut()
    found = detector.detect(np.stack([np.zeros_like(face), face, np.full_like(face, 128)]))
    assert [len(f) for f in found] == [0, 1, 0]
    assert found[0].boxes.shape == (0, 4)
    assert found[0].landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("thresholds", [USUAL, FAINT])
@pytest.mark.parametrize("picture", [skimage.data.astronaut(), portrait(201)[:, 30:170], group(), group(333, 1000)])
def test_detections_match_facenet_pytorch(picture, thresholds):
    (found,) = Detector(40, thresholds).detect([picture])
    theirs = MTCNN(min_face_size=40, thresholds=list(thresholds), keep_all=True, device="cpu")
    boxes, confidences, landmarks = theirs.detect(picture, landmarks=True)
    sure = np.flatnonzero(np.asarray(confidences, float) > 0.9)
    assert (found.confidences > 0.9).sum() == len(sure)
    for box, points in zip(boxes[sure].astype(float), landmarks[sure].astype(float), strict=True):
        overlaps = overlap(box, found.boxes)
        assert overlaps.max() > 0.7
        assert np.abs(found.landmarks[overlaps.argmax()] - points).max() < 0.03 * (box[2:] - box[:2]).max()


def test_landmarks_move_and_scale_with_the_face(detector):
    theirs = MTCNN(min_face_size=40, keep_all=True, device="cpu")
    places = [(0, 0), (3, 5), (13, 17), (41, 64), (100, 80)]
    ours, others = [], []
    for side in (150, 270, 400):
        for y, x in places:
            canvas = np.full((side + 150, side + 230, 3), 110, np.uint8)
            canvas[20 + y :, 20 + x :][:side, :side] = portrait(side)
            (found,) = detector.detect([canvas])
            assert len(found) == 1
            ours.append((found.landmarks[0] - (20 + x, 20 + y)) / side)
            others.append((theirs.detect(canvas, landmarks=True)[2][0].astype(float) - (20 + x, 20 + y)) / side)
    assert np.abs(ours - np.mean(ours, 0)).max() < 0.03 * FACE  # a pixel of the level that finds it is 0.06 or more
    assert np.abs(np.mean(ours, (0, 1)) - np.mean(others, (0, 1))).max() < 0.005 * FACE


def test_batched_pictures_give_the_same_result_as_single_ones(detector):
    pictures = [group(), group()[::-1].copy(), group()[:, ::-1].copy(), np.zeros_like(group())]
    together = detector.detect(pictures)
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector.detect([picture])
        assert len(alone) == len(found)
        for one, other in zip(vars(alone).values(), vars(found).values(), strict=True):
            assert np.allclose(one, other, atol=0.01)


ELSEWHERE = """
import sys, hashlib, numpy, torch
from dfd.faces.detect import Detector
torch.set_num_threads(1)
found = Detector(40).detect(numpy.load(sys.argv[1]))
print(hashlib.sha256(b"".join(a.tobytes() for f in found for a in vars(f).values())).hexdigest())
"""


@pytest.mark.slow
def test_detections_are_identical_in_every_call_and_process(detector, tmp_path):
    def digest(which):
        found = which.detect(pictures)
        return hashlib.sha256(b"".join(a.tobytes() for f in found for a in vars(f).values())).hexdigest()

    pictures = np.stack([group(), group()[::-1]])
    np.save(tmp_path / "pictures.npy", pictures)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first = digest(detector)
        detector.detect([skimage.data.astronaut()] * 5)
        detector.detect([portrait(77)])
        assert digest(detector) == digest(Detector(40)) == first
    finally:
        torch.set_num_threads(threads)
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "pictures.npy")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == first


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (8, 8), (11, 12), (16, 400), (39, 39), (40, 40), (400, 16)])
def test_pictures_smaller_than_a_face_have_none(detector, shape):
    (found,) = detector.detect([np.zeros((*shape, 3), np.uint8)])
    assert len(found) == 0


@pytest.mark.parametrize("shape", [(40, 2000), (2000, 41), (12, 12), (13, 55), (255, 301)])
def test_pictures_of_every_size_are_searched(shape):
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    found = Detector(12, (0.3, 0.1, 0.0)).detect(noise)
    assert len(found) == 2
    assert all(np.isfinite(f.boxes).all() and np.isfinite(f.landmarks).all() for f in found)
    assert all((np.diff(f.confidences) <= 0).all() for f in found)


@pytest.mark.parametrize("side", [40, 47, 94])  # 12 / 47 * 47 < 12
def test_a_picture_may_be_as_small_as_the_smallest_face(side):
    (found,) = Detector(side).detect([np.zeros((side, side, 3), np.uint8)])
    assert len(found) == 0


def test_every_face_of_a_crowd_is_found():
    crowd = np.tile(portrait(120), (4, 6, 1))
    (found,) = Detector(24, FAINT).detect([crowd])
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert len({(int(x) // 120, int(y) // 120) for x, y in middles}) == 24


def test_faces_are_ordered_by_falling_confidence(detector):
    (found,) = detector.detect([group()])
    assert len(found) >= 4
    assert (np.diff(found.confidences) <= 0).all()
    assert {a.dtype for a in vars(found).values()} == {np.dtype(np.float32)}


def test_no_pictures_give_an_empty_result(detector):
    assert detector.detect([]) == []


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(960, 540, 0.3), (541, 959, 0.3), (4000, 3001, 0.5), (40, 40, 0.3)]
)
def test_pyramid_levels_do_not_overlap_on_the_canvas(width, height, scale):
    canvas = Canvas((width, height), scale)
    painted = np.zeros(canvas.pixels.shape[1:3], int)
    for y, x, h, w in canvas.parts:
        assert y % 2 == x % 2 == 0
        painted[y : y + h, x : x + w] += 1
    assert painted.max() == 1
    assert painted.mean() > 0.8


def test_suppression_per_group_matches_torchvision():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 60, (200, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 40, (200, 2))], 1).astype(np.float32)
    scores, groups = rng.random(200, np.float32), np.repeat([0, 2, 5], [120, 1, 79])
    expected = []
    for number in (0, 2, 5):
        members = np.flatnonzero(groups == number)
        expected += members[nms(torch.tensor(boxes[members]), torch.tensor(scores[members]), 0.5).numpy()].tolist()
    assert distinct(boxes, scores, groups, 0.5).tolist() == expected
    inner = np.array([[0, 0, 10, 10], [2, 2, 6, 6]], np.float32)
    assert len(distinct(inner, scores[:2], groups[:2], 0.5)) == 2
    assert len(distinct(inner, scores[:2], groups[:2], 0.5, of_smaller=True)) == 1


def test_an_empty_result_has_the_right_shapes(detector):
    (found,) = detector.detect([np.zeros((60, 60, 3), np.uint8)])
    assert isinstance(found, Detections)
    assert (found.boxes.shape, found.confidences.shape, found.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))
