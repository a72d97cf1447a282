import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.scoring.calibrate import Calibration, fit, fit_if_better, nested
from dfd.scoring.metrics import balanced_log_loss


def simulated(count=2000, scale=1.0, offset=0.0, fakes=0.5, seed=0):
    """Logits that are right when multiplied by `scale` and moved by `offset`."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < fakes).astype(int)
    true = rng.normal(0, 1, count) * 1.5 + (labels * 2 - 1) * 1.5**2 / 2  # equal variances: the logit is calibrated
    return ((true - offset) / scale).tolist(), labels.tolist()


def test_fit_finds_the_scale_and_offset_of_simulated_logits():
    found = fit(*simulated(20_000, scale=0.4, offset=0.7))
    assert found.scale == pytest.approx(0.4, rel=0.1)
    assert found.offset == pytest.approx(0.7, abs=0.1)


def test_a_mix_of_mostly_fakes_does_not_move_the_offset():
    assert fit(*simulated(20_000, fakes=0.84)).offset == pytest.approx(0.0, abs=0.12)


def test_the_identity_is_kept_where_fitting_does_not_help():
    logits, labels = simulated(60, seed=1)
    fitted = fit_if_better(np.zeros(60).tolist(), labels, [i % 5 for i in range(60)])
    assert fitted.calibration == Calibration()
    assert "not less" in fitted.reason
    assert fitted.before == pytest.approx(math.log(2))
    helped = fit_if_better([9 * logit for logit in logits], labels, [i % 5 for i in range(60)])
    assert helped.after < helped.before
    assert helped.calibration.scale < 0.5


def test_one_class_or_no_video_keeps_the_identity():
    for logits, labels, folds in (([], [], []), ([1.0, 2.0], [1, 1], [0, 1]), ([1.0, 2.0, 3.0], [1, 1, 0], [0, 1, 2])):
        fitted = fit_if_better(logits, labels, folds)
        assert fitted.calibration == Calibration()
        assert fitted.before is None


def test_nested_never_sees_the_fold_that_it_scores():
    logits, labels = simulated(200)
    folds = [i % 4 for i in range(200)]
    flipped = [1 - label if fold == 2 else label for label, fold in zip(labels, folds, strict=True)]
    a, b = nested(logits, labels, folds), nested(logits, flipped, folds)
    assert all(x == y for x, y, fold in zip(a, b, folds, strict=True) if fold == 2)
    assert any(x != y for x, y, fold in zip(a, b, folds, strict=True) if fold != 2)


@given(st.floats(-1e6, 1e6), st.floats(0, 50), st.floats(-50, 50), st.floats(0, 0.49))
def test_a_probability_is_within_its_limits_and_rises_with_the_logit(logit, scale, offset, limit):
    calibration = Calibration(scale=scale, offset=offset, limit=limit)
    low, high = calibration.probability(logit), calibration.probability(logit + 1)
    assert limit <= low <= high <= 1 - limit


def test_the_limit_bounds_the_cost_of_a_confident_error():
    wrong = Calibration(limit=0.01).probability(50)
    assert balanced_log_loss([0, 1], [wrong, wrong]) == pytest.approx((-math.log(0.01) - math.log(0.99)) / 2)
