import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfd.faces.link import Sighting, Trajectory, link, shots

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 2, 32, 32, 3)).astype(np.float32)  # two likenesses


def seen(index, x, y, side=20.0, likeness=A, sure=0.99):
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    five = np.array([[x - 4, y - 4], [x + 4, y - 4], [x, y], [x - 3, y + 4], [x + 3, y + 4]], float)
    return Sighting(index, box, five, sure, likeness)


def places(faces):
    return sorted([(s.index, *((s.box[:2] + s.box[2:]) / 2).tolist()) for s in face] for face in faces)


def test_faces_are_matched_with_the_least_total_distance():
    first = [seen(0, 50, 50), seen(0, 68, 50)]
    second = [seen(9, 84, 50), seen(9, 66, 50)]  # both moved by 16: greedy matching would take the 66 for the 68
    assert places(link([first, second], [0, 0])) == [[(0, 50, 50), (9, 66, 50)], [(0, 68, 50), (9, 84, 50)]]


def test_a_face_moves_no_farther_than_its_own_width():
    near, far = seen(9, 69, 50), seen(9, 71, 50)
    assert len(link([[seen(0, 50, 50)], [near]], [0, 0])) == 1
    assert len(link([[seen(0, 50, 50)], [far]], [0, 0])) == 2


def test_a_face_missed_in_one_frame_can_be_linked_again():
    (face,) = link([[seen(0, 50, 50)], [], [seen(18, 55, 50)]], [0, 0, 0])
    assert [s.index for s in face] == [0, 18]


def test_a_face_of_a_different_size_is_not_linked():
    assert len(link([[seen(0, 50, 50, 20)], [seen(9, 50, 50, 29)]], [0, 0])) == 1
    assert len(link([[seen(0, 50, 50, 20)], [seen(9, 50, 50, 31)]], [0, 0])) == 2


def test_another_person_in_the_same_place_is_not_linked():
    assert len(link([[seen(0, 50, 50)], [seen(9, 50, 50, likeness=B)]], [0, 0])) == 2
    swapped = link(
        [[seen(0, 50, 50), seen(0, 60, 50, likeness=B)], [seen(9, 60, 50), seen(9, 50, 50, likeness=B)]], [0, 0]
    )
    assert places(swapped) == [[(0, 50, 50), (9, 60, 50)], [(0, 60, 50), (9, 50, 50)]]  # fmt: skip


def test_across_a_cut_only_very_similar_faces_are_linked():
    somewhat = (0.78 * A + 0.62 * B).astype(np.float32)
    for shots_, same in (([0, 0], True), ([0, 1], False)):
        assert (len(link([[seen(0, 50, 50)], [seen(9, 50, 50, likeness=somewhat)]], shots_)) == 1) is same
    assert len(link([[seen(0, 50, 50)], [seen(9, 50, 50)]], [0, 1])) == 1  # a large face that moves is no cut


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_each_detection_is_in_one_track_and_each_track_once_per_frame(counts, seed):
    rng = np.random.default_rng(seed)
    looks = [[seen(9 * i, *rng.uniform(0, 60, 2)) for _ in range(n)] for i, n in enumerate(counts)]
    faces = link(looks, [0] * len(looks))
    assert sorted(id(s) for face in faces for s in face) == sorted(id(s) for look in looks for s in look)
    assert all(np.all(np.diff([s.index for s in face]) > 0) for face in faces)


def test_a_trajectory_is_linear_between_detections_with_one_box_size():
    path = Trajectory.of([seen(0, 50, 50, 20), seen(8, 58, 50, 24), seen(16, 58, 66, 21)])
    assert path.side == 21.0  # the median
    centres, landmarks = path.place(np.array([0, 4, 8, 12, 16]))
    assert centres.tolist() == [[50, 50], [54, 50], [58, 50], [58, 58], [58, 66]]
    assert landmarks[1, 2].tolist() == [54, 50]
    assert path.covers(np.array([-1, 0, 16, 17])).tolist() == [False, True, True, False]
    assert path.confidence == 0.99


def test_shot_changes_are_found_by_thumbnails():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 255, (2, 9, 16, 3)).repeat(20, axis=1).repeat(20, axis=2).astype(np.uint8)
    moved = np.roll(one, 3, axis=1)
    assert shots([one, moved, other, one]) == [0, 0, 1, 2]
    assert shots([one, (one * 0.9).astype(np.uint8)]) == [0, 0]  # a cloud before the sun
    assert shots([np.zeros_like(one)] * 3) == [0, 0, 0]
    assert shots([one]) == [0]
    assert shots([]) == []
