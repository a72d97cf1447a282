import multiprocessing

import cv2
import numpy as np
import pytest

from dfd.clips.dataset import one_thread
from dfd.errors import CheckpointError
from dfd.faces.mesh import EYES, MOUTH, NOSE, POINTS, SHA256, check_mesh, face_mesh, five
from dfd.files import sha256
from tests.conftest import LANDMARKS, moving_face

TOP, CHIN, LEFT, RIGHT = 10, 152, 234, 454  # points on the outline


@pytest.fixture(scope="module")
def picture():
    return moving_face(1)[0]


@pytest.fixture(scope="module")
def found(picture, mesh):
    return face_mesh(picture, LANDMARKS, mesh)


def test_the_weights_match_their_pin(mesh):
    assert sha256(mesh) == SHA256
    check_mesh(mesh)


def test_a_real_face_is_outlined_in_picture_coordinates(found):
    assert found.shape == (POINTS, 2)
    assert found.dtype == np.float32
    assert np.abs(five(found) - LANDMARKS).max() < 4  # relative to 43 pixels between the eyes
    # Read off the picture: fringe and chin, where the cheeks meet the hair.
    assert found[TOP] == pytest.approx([127, 70], abs=5)
    assert found[CHIN] == pytest.approx([122, 175], abs=5)
    assert found[[LEFT, RIGHT], 0] == pytest.approx([80, 171], abs=5)


def test_five_landmarks_are_derived_from_a_mesh():
    mesh = np.zeros((POINTS, 2))
    mesh[list(EYES[0])] = [[10, 20], [20, 22]]
    mesh[list(EYES[1])] = [[40, 22], [50, 20]]
    mesh[NOSE], mesh[list(MOUTH)] = (30, 40), [[15, 60], [45, 61]]
    assert five(mesh).tolist() == [[15, 21], [45, 21], [30, 40], [15, 60], [45, 61]]


@pytest.mark.parametrize(("angle", "scale"), [(90, 1.0), (-30, 1.0), (180, 0.8), (0, 2.0)])
def test_a_mesh_rotates_and_scales_with_its_face(picture, found, mesh, angle, scale):
    move = cv2.getRotationMatrix2D((125.0, 121.0), angle, scale)
    move[:, 2] += (150, 150)
    there = cv2.warpAffine(picture, move, (560, 560), borderMode=cv2.BORDER_REPLICATE)
    points, wanted = (cv2.transform(p[None], move)[0] for p in (LANDMARKS, found.astype(np.float64)))
    distances = np.linalg.norm(face_mesh(there, points, mesh) - wanted, axis=1) / scale
    assert distances.mean() < 1.5
    assert distances.max() < 5


@pytest.mark.parametrize("by", [-6, 6])
def test_slightly_wrong_landmarks_give_the_same_mesh(picture, found, mesh, by):
    moved = face_mesh(picture, LANDMARKS + by * np.array([[1, 0], [0, 1], [-1, 0], [1, 1], [0, -1]]), mesh)
    assert np.linalg.norm(moved - found, axis=1).mean() < 2


def test_a_face_that_fills_its_picture_is_outlined_fully(picture, found, mesh):
    """As in a tight crop: beyond the picture its border is repeated."""
    corner = np.array([82, 75])
    tight = face_mesh(np.ascontiguousarray(picture[75:172, 82:170]), LANDMARKS - corner, mesh)
    assert np.linalg.norm(tight + corner - found, axis=1).mean() < 3


def test_a_picture_without_a_face_has_no_mesh(picture, mesh):
    assert face_mesh(picture, LANDMARKS * 0.4 + (230, 10), mesh) is None  # background without a face
    assert face_mesh(np.full((1, 1, 3), 90, np.uint8), LANDMARKS, mesh) is None
    assert face_mesh(picture, np.full((5, 2), 50.0), mesh) is None


def _in_a_child(picture, mesh, answers):
    one_thread()
    answers.put(face_mesh(picture, LANDMARKS, mesh))


def test_a_loading_process_gives_its_parents_result(picture, found, mesh):
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_in_a_child, args=(picture, mesh, answers))
    child.start()
    assert np.array_equal(answers.get(), found)
    child.join()


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.tflite: no such file: `dfd weights mesh --out .*` writes it"):
        check_mesh(tmp_path / "a.tflite")
    (tmp_path / "a.tflite").write_bytes(b"TFL3")
    with pytest.raises(CheckpointError, match=r"a\.tflite: not MediaPipe's face mesh: `dfd weights mesh"):
        check_mesh(tmp_path / "a.tflite")
