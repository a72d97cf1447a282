import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.errors import ConfigError
from dfd.scoring.aggregate import CLIPS, TRACKS, Aggregation, aggregate, logit, sigmoid

LOGITS = st.lists(st.floats(-15, 15), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_logit", 1.0),  # (3 + 2 + 2 - 3) / 4
        ("mean_probability", 0.8015),  # probabilities 0.9526, 0.8808, 0.8808, 0.0474, mean 0.6904; ln(0.6904 / 0.3096)
        ("confident_mean", 2.2499),  # three of four say fake: mean 0.9047; ln(0.9047 / 0.0953)
        ("top_half", 2.5),  # (3 + 2) / 2
    ],
)
def test_by_hand(name, expected):
    assert CLIPS[name]([3.0, 2.0, 2.0, -3.0]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", CLIPS)
@given(LOGITS)
def test_between_the_least_and_the_most_and_whatever_the_order(name, logits):
    value = CLIPS[name](logits)
    assert min(logits) - 1e-2 <= value <= max(logits) + 1e-2
    assert CLIPS[name](logits[::-1]) == pytest.approx(value, abs=1e-2)


@pytest.mark.parametrize("name", CLIPS)
@given(st.floats(-15, 15), st.integers(1, 9))
def test_clips_that_agree_are_believed(name, value, count):
    assert CLIPS[name]([value] * count) == pytest.approx(value, abs=1e-3)


def test_a_confident_minority_does_not_decide():
    assert CLIPS["confident_mean"]([5.0, 0.0, 0.1, -0.1]) == CLIPS["mean_probability"]([5.0, 0.0, 0.1, -0.1])


def test_tracks_by_hand():
    tracks, sure = [[1.0, 3.0], [-4.0]], [0.75, 0.25]
    assert aggregate(tracks, sure, Aggregation(tracks="mean")) == -1.0
    assert aggregate(tracks, sure, Aggregation(tracks="max")) == 2.0
    assert aggregate(tracks, sure, Aggregation(tracks="confidence")) == 0.5  # 0.75 * 2 - 0.25 * 4


@given(st.lists(LOGITS, min_size=1, max_size=4), st.sampled_from(sorted(CLIPS)), st.sampled_from(TRACKS))
def test_a_flip_of_every_sign_flips_what_treats_both_sides_alike(tracks, clips, way):
    if clips == "top_half" or way == "max":
        return
    how, sure = Aggregation(clips=clips, tracks=way), [0.9] * len(tracks)
    flipped = aggregate([[-x for x in track] for track in tracks], sure, how)
    assert flipped == pytest.approx(-aggregate(tracks, sure, how), abs=1e-6)


def test_no_clip_and_unknown_ways_are_errors():
    for tracks in ([], [[]]):
        with pytest.raises(ValueError, match="without a clip"):
            aggregate(tracks, [1.0] * len(tracks), Aggregation())
    with pytest.raises(ConfigError, match="'median', 'mean': there are mean_logit"):
        aggregate([[1.0]], [1.0], Aggregation(clips="median"))


@given(st.floats(-15, 15))
def test_logit_undoes_sigmoid(value):
    assert logit(sigmoid(value)) == pytest.approx(value, abs=1e-2)
