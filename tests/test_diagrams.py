import numpy as np
import pytest

from dfd.errors import SubmissionError
from dfd.scoring.diagrams import alike, histogram, reliability, roc, wilson
from dfd.scoring.metrics import evaluate

LABELS = [0, 0, 0, 1, 1, 1, 1]
SAID = [0.1, 0.4, 0.8, 0.3, 0.7, 0.8, 0.9]


def test_a_roc_curve_is_a_staircase_of_thresholds():
    curve = roc(LABELS, SAID)
    at = dict(zip(np.round(100 * curve.false_alarms).astype(int).tolist(), curve.caught.tolist(), strict=True))
    # Above 0.8 there is only the fake of 0.9; at 0.8 or more, one of three reals and two fakes; and so on.
    assert [at[percent] for percent in (0, 33, 34, 66, 67, 100)] == [0.25, 0.25, 0.75, 0.75, 1.0, 1.0]


def test_the_area_under_the_curve_is_the_auc():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    said = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    curve = roc(labels, said, rounds=0)
    assert np.trapezoid(curve.caught, curve.false_alarms) == pytest.approx(evaluate(labels, said)["auc"], abs=0.006)


def test_the_interval_of_a_roc_curve_resamples_groups_and_not_rows():
    rng = np.random.default_rng(1)
    labels = np.tile([0, 1], 100)
    said = np.clip(0.5 + rng.normal(0, 0.2, 200) + 0.1 * (labels - 0.5), 0, 1)
    rows = roc(np.repeat(labels, 9), np.repeat(said, 9), [str(n) for n in range(1800)])
    groups = roc(np.repeat(labels, 9), np.repeat(said, 9), np.repeat([str(n) for n in range(200)], 9))
    assert (groups.low <= groups.caught).all()
    assert (groups.caught <= groups.high).all()
    assert (groups.high - groups.low).mean() > 2 * (rows.high - rows.low).mean()
    assert roc(LABELS, SAID, ["one"] * 7).low is None


def test_one_class_has_no_curve():
    assert roc([1, 1], [0.2, 0.9]) is None
    assert reliability([0, 0], [0.2, 0.9]) == []


def test_reliability_weights_both_classes_equally():
    # Four fakes per real video: a detector calibrated for half fakes gives 0.5 where one in five is real.
    bins = reliability([0] + [1] * 4, [0.55] * 5)
    assert [(bin.low, bin.high, bin.videos, bin.fakes) for bin in bins] == [(0.5, 0.6, 5, 4)]
    assert bins[0].said == pytest.approx(0.55)
    assert bins[0].share == pytest.approx(0.5)


def test_a_bins_interval_narrows_with_its_number_of_groups():
    labels, said = [0, 1] * 50, [0.25] * 100
    many = reliability(labels, said)[0].between
    few = reliability(labels, said, ["a", "b", "c", "d"] * 25)[0].between
    assert many == pytest.approx(wilson(0.5, 100))
    assert few == pytest.approx(wilson(0.5, 4))
    assert few == pytest.approx((0.150, 0.850), abs=1e-3)
    assert alike(0.0, 3, 5) == 0


def test_the_highest_probability_is_in_the_last_bin():
    assert reliability([0, 1], [0.0, 1.0])[-1].high == 1
    assert histogram([0, 1, 1], [0.0, 1.0, 0.999], bins=10) == ([1] + [0] * 9, [0] * 9 + [2])


def test_values_that_are_not_probabilities_are_refused():
    for drawn in (roc, reliability, histogram):
        with pytest.raises(SubmissionError, match=r"1\.2"):
            drawn([0, 1], [0.1, 1.2])
