import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfd.faces.tracks import MOST_MISSED, Tracker, overlaps
from dfd.types import Detections


def found(*boxes, confidence=0.99):
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return Detections(corners, np.full(len(corners), confidence, np.float32), np.repeat(centres[:, None], 5, axis=1))


def square(x, y, side=20):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def test_two_faces_that_cross_slowly_keep_their_tracks():
    tracker = Tracker(faces=3)
    for key in range(5):
        tracker.update(key * 8, found(square(50 + 4 * key, 50), square(100 - 4 * key, 100)))
    assert [[s.index for s in track.seen] for track in tracker.live] == [[0, 8, 16, 24, 32]] * 2
    assert {float(track.sightings[0].box[1]) == float(track.sightings[-1].box[1]) for track in tracker.live} == {True}


def test_a_gap_is_crossed_on_a_straight_line():
    tracker = Tracker(faces=3)
    tracker.update(0, found(square(50, 50)))
    tracker.update(8, found())
    tracker.update(16, found(square(58, 50)))
    (track,) = tracker.live
    centres, landmarks = track.place(np.array([0, 4, 8, 16]))
    assert centres.tolist() == [[50, 50], [52, 50], [54, 50], [58, 50]]
    assert landmarks.shape == (4, 5, 2)
    assert landmarks[1, 0].tolist() == [52, 50]


def test_a_face_gone_for_long_ends_its_track_at_its_last_sighting():
    tracker = Tracker(faces=3)
    tracker.update(0, found(square(50, 50)))
    tracker.update(8, found(square(50, 50)))
    for key in range(2, 3 + MOST_MISSED):
        tracker.live[0].hold(key * 8)
        tracker.update(key * 8, found())
    assert not tracker.live
    assert tracker.ended[0].seen[-1].index == 8


def test_a_face_that_grows_begins_a_new_track_with_a_new_box():
    tracker = Tracker(faces=3)
    tracker.update(0, found(square(50, 50, 20)))
    tracker.live[0].fix_box()
    tracker.update(8, found(square(50, 50, 30)))
    assert len(tracker.ended) == len(tracker.live) == 1
    tracker.live[0].fix_box()
    assert (tracker.ended[0].side, tracker.live[0].side) == (20, 30)


def test_one_box_size_a_track_is_the_median():
    tracker = Tracker(faces=3)
    for key, side in enumerate((20, 22, 30)):
        tracker.update(key, found(square(50, 50, side)))
    tracker.live[0].fix_box()
    assert tracker.live[0].side == 22


def test_faint_faces_continue_a_track_but_begin_none():
    tracker = Tracker(faces=3)
    tracker.update(0, found(square(50, 50), confidence=0.8))
    assert not tracker.live
    tracker.update(8, found(square(50, 50)))
    tracker.update(16, found(square(50, 50), confidence=0.8))
    assert len(tracker.live[0].seen) == 2


def test_the_largest_faces_are_followed_when_there_are_too_many():
    tracker = Tracker(faces=2)
    tracker.update(0, found(square(50, 50, 10), square(150, 50, 30), square(250, 50, 20)))
    assert sorted(track.sightings[0].box[2] - track.sightings[0].box[0] for track in tracker.live) == [20, 30]


boxes = st.lists(
    st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(1, 50), st.floats(1, 50)), min_size=1, max_size=6
).map(lambda rows: np.array([[x, y, x + w, y + h] for x, y, w, h in rows]))


@given(boxes, boxes)
def test_overlaps_are_symmetric_and_one_with_themselves(a, b):
    shared = overlaps(a, b)
    assert ((shared >= 0) & (shared <= 1 + 1e-9)).all()
    assert np.allclose(shared, overlaps(b, a).T)
    assert np.allclose(np.diag(overlaps(a, a)), 1)


def test_the_box_follows_the_landmarks_where_the_detectors_box_jitters():
    tracker = Tracker(faces=1)
    for key, jitter in enumerate([0, 3, -2, 2, -3, 0]):
        x = 50 + 4 * key
        eyes = np.full((1, 5, 2), (x, 40), np.float32)
        box = np.array([square(x + jitter, 50)], np.float32)
        tracker.update(8 * key, Detections(box, np.ones(1, np.float32), eyes))
    tracker.live[0].fix_box()
    centres, _ = tracker.live[0].place(np.arange(0, 41, 8))
    assert centres.tolist() == [[50 + 4 * key, 50] for key in range(6)]
