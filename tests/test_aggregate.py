import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.errors import ConfigError
from dfd.scoring.aggregate import (
    FACES,
    SEGMENTS,
    Aggregation,
    aggregate,
    logit,
    over_faces,
    over_members,
    sigmoid,
)
from dfd.types import FaceLogit

LOGITS = st.lists(st.floats(-15, 15), min_size=1, max_size=12)
VIDEO = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 3)),
    st.tuples(st.floats(0.5, 1), st.floats(-15, 15)),
    min_size=1,
    max_size=12,
).map(lambda faces: [FaceLogit(*place, *said) for place, said in faces.items()])
"""Tracklets in any order, each (segment, face) once."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_logit", 1.0),  # (3 + 2 + 2 - 3) / 4
        ("mean_probability", 0.8015),  # probabilities 0.9526, 0.8808, 0.8808, 0.0474, mean 0.6904; ln(0.6904 / 0.3096)
        ("confident_mean", 2.2499),  # three of four say fake: mean 0.9047; ln(0.9047 / 0.0953)
        ("top_half", 2.5),  # (3 + 2) / 2
    ],
)
def test_segments_by_hand(name, expected):
    assert SEGMENTS[name]([3.0, 2.0, 2.0, -3.0]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", SEGMENTS)
@given(LOGITS)
def test_the_result_lies_between_minimum_and_maximum_in_any_order(name, logits):
    value = SEGMENTS[name](logits)
    assert min(logits) - 1e-2 <= value <= max(logits) + 1e-2
    assert SEGMENTS[name](logits[::-1]) == pytest.approx(value, abs=1e-2)


@pytest.mark.parametrize("name", SEGMENTS)
@given(st.floats(-15, 15), st.integers(1, 9))
def test_agreeing_segments_keep_their_logit(name, value, count):
    assert SEGMENTS[name]([value] * count) == pytest.approx(value, abs=1e-3)


def test_a_confident_minority_does_not_decide():
    assert SEGMENTS["confident_mean"]([5.0, 0.0, 0.1, -0.1]) == SEGMENTS["mean_probability"]([5.0, 0.0, 0.1, -0.1])


CROWDED = [
    FaceLogit(0, 0, 0.75, 1.0),
    FaceLogit(0, 1, 0.25, -3.0),
    FaceLogit(2, 0, 1.0, 4.0),
    FaceLogit(5, 0, 0.9, -1.0),
    FaceLogit(5, 1, 0.6, 2.0),
    FaceLogit(5, 2, 0.5, 2.0),
]
"""Three segments with two faces, one face and three faces."""


@pytest.mark.parametrize(
    ("faces", "segments", "expected"),
    [
        ("mean", "mean_logit", 4 / 3),  # -1, 4, 1
        ("max", "mean_logit", 7 / 3),  # 1, 4, 2
        ("confidence", "mean_logit", 4.65 / 3),  # 0.75 - 0.75 = 0, 4, (-0.9 + 1.2 + 1.0) / 2.0 = 0.65
        ("mean", "top_half", 2.5),  # of -1, 4, 1: (4 + 1) / 2
        ("max", "top_half", 3.0),  # of 1, 4, 2
    ],
)
def test_faces_are_aggregated_per_segment_and_then_across_segments(faces, segments, expected):
    for order in (CROWDED, CROWDED[::-1]):
        assert aggregate(order, Aggregation(faces=faces, segments=segments)) == pytest.approx(expected)


def test_a_segment_counts_once_however_many_faces_it_shows():
    crowd = [FaceLogit(0, face, 1.0, 2.0) for face in range(8)]
    assert aggregate([*crowd, FaceLogit(1, 0, 1.0, -2.0)], Aggregation()) == 0.0


def test_the_most_suspicious_face_can_decide():
    assert over_faces(CROWDED[3:], "max") == 2.0
    assert over_faces(CROWDED[:1], "max") == over_faces(CROWDED[:1], "mean") == 1.0


def test_uncertain_faces_count_equally():
    assert over_faces([FaceLogit(0, 0, 0.0, 1.0), FaceLogit(0, 1, 0.0, 2.0)], "confidence") == 1.5


@given(VIDEO, st.sampled_from(sorted(SEGMENTS)), st.sampled_from(FACES))
def test_a_video_logit_lies_between_its_face_logits_in_any_order(faces, segments, way):
    how = Aggregation(faces=way, segments=segments)
    logits, value = [face.logit for face in faces], aggregate(faces, how)
    assert min(logits) - 1e-2 <= value <= max(logits) + 1e-2
    assert aggregate(faces[::-1], how) == value


@given(VIDEO, st.sampled_from(sorted(SEGMENTS)), st.sampled_from(FACES))
def test_symmetric_rules_flip_sign_with_their_inputs(faces, segments, way):
    if segments == "top_half" or way == "max":
        return
    how = Aggregation(faces=way, segments=segments)
    flipped = aggregate([face._replace(logit=-face.logit) for face in faces], how)
    assert flipped == pytest.approx(-aggregate(faces, how), abs=1e-6)


def test_no_face_and_an_unknown_rule_are_errors():
    with pytest.raises(ValueError, match="without a face"):
        aggregate([], Aggregation())
    for odd in (Aggregation(segments="median"), Aggregation(faces="median")):
        with pytest.raises(ConfigError, match="'median'.*: there are mean, max, confidence and mean_logit, "):
            aggregate(CROWDED, odd)


class TestOverMembers:
    def test_each_tracklet_gets_the_weighted_mean(self):
        one = [FaceLogit(1, 0, 0.9, 1.0), FaceLogit(1, 1, 0.8, -2.0), FaceLogit(3, 0, 0.7, 3.0)]
        other = [face._replace(logit=2 * face.logit) for face in one]
        assert over_members([one, other]) == tuple(face._replace(logit=1.5 * face.logit) for face in one)
        assert [face.logit for face in over_members([one, other], [3.0, 1.0])] == [1.25, -2.5, 3.75]
        assert over_members([one]) == tuple(one)

    def test_networks_are_averaged_only_on_segments_they_share(self):
        """One scores two segments, the other four; they are averaged only on the shared ones."""
        two = [FaceLogit(number, 0, 1.0, 1.0) for number in (2, 6)]
        four = [FaceLogit(number, 0, 1.0, -1.0) for number in (1, 2, 5, 7)]
        joined = over_members([two, four], [3.0, 1.0])
        assert [(face.segment, face.logit) for face in joined] == [(1, -1), (2, 0.5), (5, -1), (6, 1), (7, -1)]

    def test_the_remaining_networks_replace_one_that_is_left_out(self):
        one, two = [FaceLogit(0, 0, 1.0, 4.0)], [FaceLogit(0, 0, 1.0, 1.0)]
        assert over_members([one, two], [0.6, 0.1])[0].logit == pytest.approx((0.6 * 4 + 0.1) / 0.7)
        assert over_members([]) == ()

    @given(st.lists(VIDEO, min_size=1, max_size=4), st.floats(0.01, 100))
    def test_neither_the_sum_of_weights_nor_the_order_of_faces_matters(self, answers, scale):
        weights = [1.0 + number for number in range(len(answers))]
        joined = over_members(answers, weights)
        assert [face[:3] for face in joined] == sorted({face[:3] for faces in answers for face in faces})
        again = over_members([faces[::-1] for faces in answers], [scale * weight for weight in weights])
        assert [face.logit for face in again] == pytest.approx([face.logit for face in joined], abs=1e-9)


@given(st.floats(-15, 15))
def test_logit_undoes_sigmoid(value):
    assert logit(sigmoid(value)) == pytest.approx(value, abs=1e-2)


def test_probabilities_of_0_and_1_have_a_logit():
    assert all(math.isfinite(logit(probability)) for probability in (0.0, 1.0))
