import numpy as np
import pytest

from dfd.faces.across import people
from dfd.faces.recorder import in_memory
from dfd.faces.records import load_crops
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from dfd.videos.encode import write_video
from tests.people import FPS, six_people, stage, still

CONFIG = FacesConfig(segment=0.5, size=96, detect_side=640)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return six_people(tmp_path_factory.mktemp("people"))


def lanes(tmp_path, images):
    """The person of each tracklet, per segment and from left to right."""
    write_video(tmp_path / "a.mp4", images, FPS, crf=18, keyframe_every=15)
    record = in_memory(Video(tmp_path / "a.mp4", "a.mp4"), CONFIG)
    places = [tracklet.frames // 2 for tracklet in record.tracklets]
    crops = [load_crops(tracklet, [at])[0] for tracklet, at in zip(record.tracklets, places, strict=True)]
    found = people(record.tracklets, crops, places)
    ordered = sorted(
        (t.segment, float(t.path.place(t.indices[:1])[0][0, 0]), person)
        for t, person in zip(record.tracklets, found, strict=True)
    )
    return [[person for segment, _, person in ordered if segment == number] for number in record.faced]


def test_a_person_keeps_their_number_when_another_leaves(faces, tmp_path):
    a, b = (faces[0], 160, 0, 60, still(60, 90)), (faces[1], 160, 0, 30, still(400, 90))
    assert lanes(tmp_path, stage(60, a, b)) == [[0, 1], [0, 1], [0], [0]]


def test_a_new_person_in_the_same_place_gets_a_new_number(faces, tmp_path):
    one, other = (stage(30, (face, 160, 0, 30, still(240, 90))) for face in (faces[0], faces[3]))
    assert lanes(tmp_path, np.concatenate([one, other, other[:15]])) == [[1], [1], [0], [0], [0]]


def test_a_person_appears_once_per_segment(faces, tmp_path):
    twins = [(faces[0], 160, 0, 30, still(left, 90)) for left in (60, 240)]
    assert [sorted(segment) for segment in lanes(tmp_path, stage(30, *twins))] == [[0, 1], [0, 1]]
