import shutil

import cv2
import numpy as np
import pytest

from dfd.report.dataset_facts import read_dataset
from dfd.report.dataset_samples import compare, contact_sheet, first_frames, sharpness
from tests.conftest import moving_face
from tests.runs import HOSTILE, hostile_faces


@pytest.fixture(scope="module")
def facts(tmp_path_factory, face_video):
    return read_dataset(hostile_faces(tmp_path_factory.mktemp("hostile"), face_video).folder)


def test_doubtful_labels_are_found(facts):
    found = compare(facts)
    assert found.videos == 4
    assert [(a.title, b.title) for a, b in found.unchanged] == [("copy&.mp4", HOSTILE)]
    pairs = [{a.title, b.title} for a, b in found.across]
    assert pairs == [{HOSTILE, "<i>orphan.mp4"}]  # neither the copy, which names its source, nor two fakes
    assert all(face.picture for pair in (*found.unchanged, *found.across) for face in pair)
    assert found.sharpness["kind"].value_counts().to_dict() == {"real": 2, "fake": 2}


def test_a_damaged_film_is_reported_and_the_page_is_still_made(facts, tmp_path):
    folder = shutil.copytree(facts.store.folder, tmp_path / "faces")
    store = facts.store.__class__.open(folder)
    store.named(HOSTILE).tracklets[0].film.write_bytes(b"")
    changed = read_dataset(folder)
    found = compare(changed)
    assert found.damaged == [HOSTILE]
    assert found.videos == 3
    shown = {face.title: face.picture for shelf in contact_sheet(changed) for face in shelf.faces}
    assert shown[HOSTILE] == ""


def test_the_contact_sheet_shows_sets_and_people(facts):
    shelves = {shelf.title: shelf.faces for shelf in contact_sheet(facts)}
    assert set(shelves) == {"all", "<script>alert(1)<"}
    assert [face.title for face in shelves["all"]] == ["other.mp4", "<i>orphan.mp4", "copy&.mp4"]  # the real one first
    assert shelves["all"][0].lines[0] == "real"
    assert shelves["all"][1].lines[2] == "of <b>Ada"


@pytest.mark.slow
def test_first_frames_are_shown_with_the_failure_reasons(facts, tmp_path):
    found = {face.title: face for face in first_frames(facts)}
    assert set(found) == {"<b>dark.mp4", "text.mp4", "<b>gone.mp4"}
    assert found["<b>dark.mp4"].picture.startswith("data:image/jpeg")
    assert found["<b>dark.mp4"].lines[0] == "no_face"
    assert (found["text.mp4"].picture, found["text.mp4"].lines) == ("", ("unreadable", "<u>no container</u>"))
    assert not any(face.picture for face in first_frames(facts, tmp_path))  # the video files are missing


def test_blur_lowers_sharpness_and_size_does_not():
    face = moving_face(1)[0]
    blurred = cv2.GaussianBlur(face, (0, 0), 3)
    assert sharpness(blurred) < sharpness(face) / 5
    double = np.asarray(cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    assert sharpness(double) == pytest.approx(sharpness(face), rel=0.01)
