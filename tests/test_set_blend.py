from dataclasses import replace

import numpy as np
import pytest

from dfd.errors import ConfigError
from dfd.scoring.calibrate import temperature
from dfd.scoring.metrics import balanced_log_loss
from dfd.scoring.set_blend import (
    JudgedSet,
    blend_sets,
    calibrated,
    fitted,
    left_out_probabilities,
    unseen_probabilities,
)


def a_set(name, strengths, videos=400, seed=0, share=0.5):
    """Runs with logits of mean ±`strengths` per class, with noise of standard deviation 1."""
    rng = np.random.default_rng([seed, videos])
    labels = (np.arange(videos) < share * videos).astype(int)
    side = (2 * labels - 1)[:, None]
    logits = np.array(strengths) * side + rng.normal(0, 1, (videos, len(strengths)))
    return JudgedSet(name, logits, labels, tuple(str(i) for i in range(videos)))


def loss(of, made):
    """Balanced log loss of a blend on a set."""
    return balanced_log_loss(of.labels, of.probabilities(made.weights, made.calibration))


def shares(of):
    return np.where(of.labels == 1, 0.5 / of.labels.sum(), 0.5 / (1 - of.labels).sum())


def test_a_left_out_set_is_scored_by_the_fit_on_the_other():
    a, b = a_set("a", [2.0, 0.3]), a_set("b", [0.4, 1.5], seed=1)
    other = temperature(b.logits @ np.array([0.5, 0.5]), b.labels)
    assert other.scale != 1.0
    found, _ = left_out_probabilities([a, b], "equal")
    wanted = [other.probability(x) for x in (a.logits @ np.array([0.5, 0.5])).tolist()]
    assert found == pytest.approx(wanted, rel=1e-12)  # a product's last bit may depend on where its numbers lie
    assert unseen_probabilities([a, b])[0] == pytest.approx(found, rel=1e-12), "one set is too few to fit weights on"


class TestBlendSets:
    def test_a_run_that_knows_only_one_set_is_less_confident(self):
        """Fitted on its own set alone, it would be overconfident on the other, where it is at chance level."""
        known, unknown = a_set("known", [3.0, 0.5]), a_set("unknown", [0.0, 0.5], seed=1)
        made = blend_sets([known, unknown])
        own = temperature(known.logits[:, 0], known.labels).scale
        assert made.weights[0] * made.calibration.scale < own / 2

    def test_a_sets_labels_do_not_affect_its_own_probabilities(self):
        """With flipped labels, a set's AUC and losses come from unchanged probabilities."""
        sets = [a_set("a", [2.0, 0.3]), a_set("b", [0.4, 1.5], seed=1), a_set("c", [1.0, 0.2], seed=2)]
        turned = JudgedSet("c", sets[2].logits, 1 - sets[2].labels, sets[2].groups)
        before, after = blend_sets(sets), blend_sets([*sets[:2], turned])
        assert before.calibration != after.calibration
        assert after.sets["c"]["auc"] == pytest.approx(1 - before.sets["c"]["auc"], abs=1e-12)
        assert after.sets["c"]["average_error"] == pytest.approx(1 - before.sets["c"]["average_error"], abs=1e-12)

    def test_the_temperature_fits_known_and_new_kinds_of_fakes(self):
        """Two runs that each know the fakes of their own set alone: a third set is new to both."""
        sets = [a_set("a", [4.0, 0.3], 2000), a_set("b", [0.3, 4.0], 2000, seed=1)]
        aware = [replace(of, known=known) for of, known in zip(sets, [(True, False), (False, True)], strict=True)]
        new = a_set("new", [0.3, 0.3], 2000, seed=2)
        before, after = blend_sets(sets), blend_sets(aware)
        assert after.weights == before.weights == (0.5, 0.5)
        assert after.calibration.scale < 0.7 * before.calibration.scale
        assert loss(new, after) < loss(new, before) - 0.1

    def test_kinds_known_to_all_runs_or_to_none_change_nothing(self):
        sets = [a_set("a", [2.0, 0.3]), a_set("b", [0.4, 1.5], seed=1)]
        for known in ((True, True), (False, False)):
            assert blend_sets([replace(of, known=known) for of in sets]) == blend_sets(sets)

    def test_the_method_with_the_lowest_mean_left_out_loss_is_chosen(self):
        sets = [a_set("a", [2.0, 0.3]), a_set("b", [0.4, 1.5], seed=1), a_set("c", [1.0, 1.0], seed=2)]
        made = blend_sets(sets)
        assert set(made.losses) == {"equal", "calibrated", "fitted"}
        assert made.losses[made.way] == min(made.losses.values())
        assert f"{made.way} weights" in made.reason

    def test_sets_count_equally_whatever_their_size(self):
        small, large = a_set("small", [2.0, 0.0], 200), a_set("large", [0.0, 2.0], 200, seed=1)
        twenty = JudgedSet("large", np.tile(large.logits, (20, 1)), np.tile(large.labels, 20), large.groups * 20)
        one, other = blend_sets([small, large]), blend_sets([small, twenty])
        assert one.weights == pytest.approx(other.weights, abs=1e-3)
        assert one.calibration.scale == pytest.approx(other.calibration.scale, rel=1e-2)

    def test_a_single_set_or_class_is_refused(self):
        a = a_set("a", [1.0])
        with pytest.raises(ConfigError, match="two or more"):
            blend_sets([a])
        with pytest.raises(ConfigError, match="b has videos of one class"):
            blend_sets([a, JudgedSet("b", a.logits, np.ones_like(a.labels), a.groups)])


class TestWays:
    def test_calibrated_weights_do_not_depend_on_a_runs_logit_scale(self):
        """Scaling a run's logits by ten leaves the blend's logit the same."""
        of = a_set("a", [1.0, 1.0], 2000)
        loud = of.logits * [10.0, 1.0]
        weights = calibrated(loud, of.labels, shares(of))
        assert weights[0] * 10 == pytest.approx(weights[1], rel=0.1)

    def test_a_run_with_inverted_scores_gets_no_weight(self):
        of = a_set("a", [1.5, -1.5])
        assert calibrated(of.logits, of.labels, shares(of)) == (1.0, 0.0)
        assert fitted(of.logits, of.labels, shares(of)) == pytest.approx((1.0, 0.0), abs=1e-3)

    def test_uninformative_runs_get_equal_weights(self):
        of = a_set("a", [-1.0, -2.0])
        for way in (calibrated, fitted):
            assert way(of.logits, of.labels, shares(of)) == (0.5, 0.5)

    def test_fitted_beats_calibrated_on_its_own_data(self):
        """A run and a noisy copy of it: the copy adds nothing, which separate temperatures cannot detect."""
        rng = np.random.default_rng(0)
        of = a_set("a", [1.0], 1000)
        both = np.concatenate([of.logits, of.logits + rng.normal(0, 2, (1000, 1))], axis=1)
        losses = []
        for way in (fitted, calibrated):
            blended = both @ np.array(way(both, of.labels, shares(of)))
            scale = temperature(blended, of.labels)
            losses.append(balanced_log_loss(of.labels, [scale.probability(x) for x in blended]))
        assert losses[0] < losses[1]


def test_weighted_temperature_equals_that_of_repeated_videos():
    x, y = np.array([-1.0, 0.5, 2.0, -0.3, 1.0]), np.array([0, 0, 1, 1, 1])
    times = np.array([1, 2, 1, 3, 1])
    a = temperature(x, y, times)
    b = temperature(np.repeat(x, times), np.repeat(y, times), np.ones(times.sum()))
    assert a.scale == pytest.approx(b.scale, rel=1e-3)
