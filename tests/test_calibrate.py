import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.scoring.calibrate import METHODS, Calibration, isotonic, methods_for, platt, prior_offset, temperature
from dfd.scoring.metrics import balanced_log_loss


def simulated(count=20_000, scale=1.0, offset=0.0, fakes=0.5, seed=0):
    """Logits that become calibrated when multiplied by `scale` and shifted by `offset`."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < fakes).astype(int)
    true = rng.normal(0, 1, count) * 1.5 + (labels * 2 - 1) * 1.5**2 / 2  # equal variances: the logit is calibrated
    return ((true - offset) / scale).tolist(), labels.tolist()


def test_platt_finds_the_scale_and_offset_of_simulated_logits():
    found = platt(*simulated(scale=0.4, offset=0.7))
    assert found.scale == pytest.approx(0.4, rel=0.1)
    assert found.offset == pytest.approx(0.7, abs=0.1)


def test_temperature_finds_the_scale_and_leaves_the_offset():
    found = temperature(*simulated(scale=0.5))
    assert found.scale == pytest.approx(0.5, rel=0.1)
    assert found.offset == 0


def test_class_imbalance_does_not_move_the_offset():
    assert platt(*simulated(fakes=0.84)).offset == pytest.approx(0.0, abs=0.12)


def test_isotonic_fits_a_nonlinear_curve():
    logits, labels = simulated()
    bent = [x if x < 0 else x**3 for x in logits]
    line, curve = (
        balanced_log_loss(labels, [fitted.probability(x) for x in bent])
        for fitted in (platt(bent, labels), isotonic(bent, labels))
    )
    assert curve < line - 0.01


@pytest.mark.parametrize("method", METHODS)
@given(st.integers(0, 1000))
def test_a_probability_is_bounded_and_increases_with_the_logit(method, seed):
    rng = np.random.default_rng(seed)
    fitted = METHODS[method](rng.normal(0, 3, 30).tolist(), [0, 1] * 15)
    values = [fitted.probability(x) for x in (-1e6, -3.0, -1.0, 0.0, 0.5, 4.0, 1e6)]
    assert values == sorted(values)
    assert values[0] >= fitted.limit
    assert values[-1] <= 1 - fitted.limit


def test_the_prior_offset_by_hand():
    assert prior_offset(0.5) == 0
    assert prior_offset(0.8) == pytest.approx(-math.log(4))
    assert prior_offset(0.5, 0.8) == pytest.approx(math.log(4))


def test_the_prior_offset_follows_bayes_rule():
    """A model calibrated at 84 % fakes is calibrated at 50 % fakes only after the offset."""
    logits, labels = simulated(fakes=0.84)
    trained = [x + math.log(0.84 / 0.16) for x in logits]  # calibrated for its training mix
    moved = Calibration(offset=prior_offset(0.84))
    right = balanced_log_loss(labels, [moved.probability(x) for x in trained])
    assert right == pytest.approx(balanced_log_loss(labels, [Calibration().probability(x) for x in logits]), abs=1e-9)
    assert right < balanced_log_loss(labels, [Calibration().probability(x) for x in trained]) - 0.1


def test_the_limit_bounds_the_cost_of_a_confident_error():
    wrong = Calibration(limit=0.01).probability(50)
    assert balanced_log_loss([0, 1], [wrong, wrong]) == pytest.approx((-math.log(0.01) - math.log(0.99)) / 2)


def test_isotonic_needs_a_thousand_videos():
    assert "isotonic" not in methods_for(999)
    assert "isotonic" in methods_for(1000)


def test_a_calibration_survives_json():
    fitted = isotonic(*simulated(200))
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted


@pytest.mark.parametrize("method", [temperature, platt])
@pytest.mark.parametrize("factor", [0.03, 0.1, 7.0])
def test_probabilities_do_not_depend_on_logit_scale(method, factor):
    logits, labels = simulated(60, scale=0.5, seed=3)
    usual, other = method(logits, labels), method([factor * x for x in logits], labels)
    assert [other.probability(factor * x) for x in logits] == pytest.approx([usual.probability(x) for x in logits])


@pytest.mark.parametrize("count", [60, 400])
def test_a_fit_has_the_lowest_loss_of_any_line(count):
    """Also with few videos and small logits, where a penalty on the slope would show."""
    logits, labels = simulated(count, seed=1)
    x = 0.03 * np.array(logits)
    slopes = np.geomspace(1, 1000, 4000)
    losses = [balanced_log_loss(labels, 1 / (1 + np.exp(-slope * x))) for slope in slopes]
    assert temperature(x.tolist(), labels).scale == pytest.approx(slopes[int(np.argmin(losses))], rel=5e-3)
    found, line = temperature(x.tolist(), labels), platt(x.tolist(), labels)
    assert balanced_log_loss(labels, [line.probability(v) for v in x]) <= min(losses) + 1e-4
    assert balanced_log_loss(labels, [found.probability(v) for v in x]) <= min(losses) + 1e-4


@pytest.mark.parametrize("method", [temperature, platt])
def test_inverted_logits_give_probability_one_half(method):
    logits, labels = simulated(200, fakes=0.9)
    fitted = method([-x + 5 for x in logits] if method is platt else [-x for x in logits], labels)
    assert [fitted.probability(x) for x in (-9.0, 0.0, 9.0)] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("method", [temperature, platt])
def test_perfectly_separated_classes_have_a_finite_fit(method):
    fitted = method([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1])
    assert 1 < fitted.scale < 100
    assert method([1.0, 1.0], [0, 1]).probability(1.0) == pytest.approx(0.5)
