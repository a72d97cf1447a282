import json
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfd.errors import SubmissionError
from dfd.scoring import metrics
from dfd.scoring.metrics import CLIP, balanced_log_loss, clip, compare, evaluate, explain_score, log_loss

LN2 = math.log(2)
REALS, FAKES = 19_154, 99_992  # DFDC's training set


def detector(videos=400, skill=1.5, seed=0):
    """Labels and calibrated probabilities of a detector whose class means differ by `skill` standard deviations."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, videos)
    evidence = rng.normal(size=videos) + skill * y
    return y, 1 / (1 + np.exp(skill**2 / 2 - skill * evidence))


probabilities = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 0.25, CLIP, 1 / 15, 14 / 15])
)  # with ties and edges
quick = settings(deadline=None, max_examples=60)
both_classes = st.lists(st.tuples(st.integers(0, 1), probabilities), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def columns(rows) -> tuple[np.ndarray, np.ndarray]:
    """Split (label, probability) pairs into labels and probabilities."""
    return np.array([label for label, _ in rows]), np.array([probability for _, probability in rows])


class TestLogLoss:
    def test_worked_by_hand(self):
        # -ln(0.9) = 0.105361 for the fake, -ln(1 - 0.2) = 0.223144 for the real one
        assert log_loss([1, 0], [0.9, 0.2]) == pytest.approx((0.105361 + 0.223144) / 2, abs=1e-6)
        # fakes: (0.105361 + 0.693147 + 0.693147) / 3 = 0.497218; real: 0.223144
        assert log_loss([1, 1, 1, 0], [0.9, 0.5, 0.5, 0.2]) == pytest.approx(0.428700, abs=1e-6)
        assert balanced_log_loss([1, 1, 1, 0], [0.9, 0.5, 0.5, 0.2]) == pytest.approx(0.360181, abs=1e-6)

    @pytest.mark.parametrize("labels", [[0, 1], [1, 1, 1, 0], [0] * 9 + [1]])
    def test_constant_half_is_ln_2_on_any_mix(self, labels):
        half = [0.5] * len(labels)
        assert log_loss(labels, half) == pytest.approx(LN2)
        assert balanced_log_loss(labels, half) == pytest.approx(LN2)

    def test_class_imbalance_flatters_a_constant_and_balancing_corrects_it(self):
        labels = [0] * REALS + [1] * FAKES
        share = FAKES / len(labels)
        constant = [share] * len(labels)
        assert round(share, 3) == 0.839
        assert round(log_loss(labels, constant), 3) == 0.441
        assert round(log_loss(labels, [0.5] * len(labels)), 3) == 0.693
        assert balanced_log_loss(labels, constant) == pytest.approx(-(math.log(share) + math.log(1 - share)) / 2)
        assert balanced_log_loss(labels, constant) > 1

    def test_a_confident_error_costs_at_most_the_clip(self):
        assert log_loss([1], [0.0]) == pytest.approx(34.5388, abs=1e-4)
        assert log_loss([0], [1.0]) == pytest.approx(34.5388, abs=1e-3)
        assert log_loss([1, 0], [1.0, 0.0]) == pytest.approx(0, abs=1e-14)

    def test_clip_survives_float32(self):
        kept = clip(np.array([0, 1], np.float32))
        assert kept.dtype == np.float64
        assert 0 < kept[0] < kept[1] < 1

    @quick
    @given(both_classes)
    def test_agrees_with_scikit_learn(self, rows):
        y, p = columns(rows)
        weights = 1 / np.bincount(y)[y]
        assert log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, clip(p)))
        assert balanced_log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, clip(p), sample_weight=weights))

    @quick
    @given(both_classes, st.integers(2, 5))
    def test_duplicated_fakes_leave_the_balanced_loss_unchanged(self, rows, times):
        y, p = columns(rows)
        more = np.where(y == 1, times, 1)
        assert balanced_log_loss(y.repeat(more), p.repeat(more)) == pytest.approx(balanced_log_loss(y, p))

    def test_balancing_needs_both_classes(self):
        with pytest.raises(SubmissionError, match="every label is 1"):
            balanced_log_loss([1, 1], [0.5, 0.6])


class TestEvaluate:
    def test_every_measure_worked_by_hand(self):
        result = evaluate([0, 0, 0, 1, 1], [0.1, 0.4, 0.8, 0.6, 0.9])
        assert result["videos"] == 5
        assert result["fakes"] == 2
        assert result["groups"] == 5
        # -ln of 0.9, 0.6, 0.2: 0.105361 + 0.510826 + 1.609438; of 0.6, 0.9: 0.510826 + 0.105361
        assert result["real_log_loss"] == pytest.approx(2.225624 / 3, abs=1e-6)
        assert result["fake_log_loss"] == pytest.approx(0.616186 / 2, abs=1e-6)
        assert result["log_loss"] == pytest.approx(2.841811 / 5, abs=1e-6)
        assert result["balanced_log_loss"] == pytest.approx((2.225624 / 3 + 0.616186 / 2) / 2, abs=1e-6)
        # of 6 pairs, only 0.8 (real) stands above 0.6 (fake)
        assert result["auc"] == pytest.approx(5 / 6)
        # falling: fake, real, fake: precision 1 at recall 1/2, 2/3 at recall 1
        assert result["average_precision"] == pytest.approx(1 / 2 + 2 / 3 / 2)
        # at thresholds 0.8 and 0.6: (1/3, 1/2) and (1/3, 1): misses 1/2, then 0; equal to 1/3 on the way
        assert result["equal_error_rate"] == pytest.approx(1 / 3)
        assert result["brier"] == pytest.approx((0.01 + 0.16 + 0.64 + 0.16 + 0.01) / 5)
        assert result["calibration_error"] == pytest.approx((0.1 + 0.4 + 0.8 + 0.4 + 0.1) / 5)  # a bin each
        assert result["confusion"] == {"real_as_real": 2, "real_as_fake": 1, "fake_as_real": 0, "fake_as_fake": 2}
        assert result["accuracy"] == pytest.approx(4 / 5)
        assert result["real_accuracy"] == pytest.approx(2 / 3)
        assert result["fake_accuracy"] == 1

    def test_the_journals_two_errors(self):
        # |p - y|: 0.1, 0.4, 0.8, 0.4, 0.1; rounded: 0, 0, 1, 0, 0
        result = evaluate([0, 0, 0, 1, 1], [0.1, 0.4, 0.8, 0.6, 0.9])
        assert result["average_error"] == pytest.approx(1.8 / 5)
        assert result["quantized_average_error"] == pytest.approx(1 / 5)

    def test_exactly_half_rounds_to_real(self):
        result = evaluate([0, 1], [0.5, 0.5])
        assert result["confusion"] == {"real_as_real": 1, "real_as_fake": 0, "fake_as_real": 1, "fake_as_fake": 0}

    def test_calibration_errors_cancel_only_within_a_bin(self):
        assert evaluate([0, 1], [0.5, 0.5])["calibration_error"] == pytest.approx(0)  # half of these are fake
        assert evaluate([0, 1], [0.45, 0.55])["calibration_error"] == pytest.approx(0.45)  # bins 6 and 8
        assert evaluate([0, 1], [0.41, 0.48])["calibration_error"] == pytest.approx(
            (0.41 + 0.52) / 2
        )  # 6.15, 7.2 of 15
        assert evaluate([1, 0], [0.95, 1.0])["calibration_error"] == pytest.approx(
            (1 - 0.05) / 2
        )  # 1 is in the last bin

    @quick
    @given(both_classes)
    def test_agrees_with_scikit_learn(self, rows):
        y, p = columns(rows)
        result = evaluate(y, p, rounds=1)
        assert result["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
        assert result["average_precision"] == pytest.approx(sklearn.metrics.average_precision_score(y, p))
        assert result["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
        assert result["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(y, p > 0.5))
        assert result["average_error"] == pytest.approx(sklearn.metrics.mean_absolute_error(y, p))
        assert result["quantized_average_error"] == pytest.approx(1 - result["accuracy"])
        assert 0 <= result["equal_error_rate"] <= 1
        assert 0 <= result["calibration_error"] <= 1

    @quick
    @given(both_classes, st.randoms(use_true_random=False))
    def test_the_order_of_rows_changes_nothing(self, rows, random):
        groups = [f"g{i % 4}" for i in range(len(rows))]
        order = list(range(len(rows)))
        random.shuffle(order)
        y, p = columns(rows)
        assert evaluate(y[order], p[order], [groups[i] for i in order], rounds=20) == evaluate(y, p, groups, rounds=20)
        assert evaluate(y[order], p[order], rounds=20) == evaluate(y, p, rounds=20)

    @pytest.mark.slow
    @quick
    @given(both_classes)
    def test_ranking_metrics_depend_only_on_the_order(self, rows):
        y, p = columns(rows)
        ranks = np.unique(p, return_inverse=True)[1] / len(p)
        for name in ("auc", "average_precision", "equal_error_rate"):
            assert evaluate(y, ranks, rounds=0)[name] == pytest.approx(evaluate(y, p, rounds=0)[name])

    @pytest.mark.parametrize(("label", "missing"), [(0, "fake"), (1, "real")])
    def test_one_class_gives_none_and_never_nan(self, label, missing):
        result = evaluate([label] * 4, [0.2, 0.4, 0.6, 0.8])
        nothing = {name for name, value in result.items() if value is None}
        assert nothing == {
            "balanced_log_loss", "auc", "average_precision", "equal_error_rate", "balanced_log_loss_interval",
            "auc_interval", f"{missing}_log_loss", f"{missing}_accuracy",
        }  # fmt: skip
        json.dumps(result, allow_nan=False)

    def test_result_is_json_serializable(self):
        y, p = detector(40)
        assert json.loads(json.dumps(evaluate(y, p), allow_nan=False)) == evaluate(y, p)

    def test_accepts_lists_arrays_and_float32(self):
        y, p = detector(40)
        assert evaluate(y.tolist(), p.tolist()) == evaluate(y.astype(np.int8), p) == evaluate(y.astype(bool), p)
        assert evaluate(y, p.astype(np.float32))["auc"] == pytest.approx(evaluate(y, p)["auc"])


class TestIntervals:
    def test_the_loss_interval_matches_that_of_a_mean(self):
        y, p = detector(2000)
        losses = -np.log(np.where(y == 1, p, 1 - p))
        low, high = evaluate(y, p, rounds=2000)["log_loss_interval"]
        error = 1.96 * losses.std() / math.sqrt(len(y))
        assert low == pytest.approx(losses.mean() - error, abs=0.1 * error)
        assert high == pytest.approx(losses.mean() + error, abs=0.1 * error)

    @quick
    @given(both_classes, st.data())
    def test_bootstrap_auc_equals_the_weighted_auc(self, rows, data):
        y, p = columns(rows)
        codes = data.draw(hnp.arrays(np.int64, len(y), elements=st.integers(0, 3)))
        weights = data.draw(hnp.arrays(np.float64, 4, elements=st.integers(1, 3).map(float)))
        expected = sklearn.metrics.roc_auc_score(y, p, sample_weight=weights[codes])
        assert metrics.weighted_auc(y, p, codes)(weights) == pytest.approx(expected)

    def test_a_bootstrap_round_is_the_metric_of_its_resampled_rows(self):
        y, p = detector(30)
        drawn = np.random.default_rng(0).integers(30, size=30)
        order = np.lexsort((y, p))
        result = evaluate(y, p, rounds=1, seed=0)  # one round: it is both ends of the interval
        assert result["log_loss_interval"] == pytest.approx([log_loss(y[order][drawn], p[order][drawn])] * 2)
        assert result["balanced_log_loss_interval"][0] == pytest.approx(
            balanced_log_loss(y[order][drawn], p[order][drawn])
        )
        assert result["auc_interval"][0] == pytest.approx(
            sklearn.metrics.roc_auc_score(y[order][drawn], p[order][drawn])
        )

    def test_duplicates_within_a_group_do_not_narrow_the_interval(self):
        y, p = detector(100)
        alone = evaluate(y, p, [str(i) for i in range(100)])
        copied = evaluate(y.repeat(5), p.repeat(5), [str(i) for i in np.arange(100).repeat(5)])
        fooled = evaluate(y.repeat(5), p.repeat(5))
        for name in ("log_loss_interval", "balanced_log_loss_interval", "auc_interval"):
            assert copied[name] == pytest.approx(alone[name])
            assert np.ptp(fooled[name]) < 0.6 * np.ptp(alone[name])

    @pytest.mark.slow
    def test_intervals_have_their_nominal_coverage(self):
        truth = log_loss(*detector(200_000, seed=99))
        held = 0
        for seed in range(200):
            y, p = detector(100, seed=seed)
            low, high = evaluate(y, p, rounds=200)["log_loss_interval"]
            held += low <= truth <= high
        assert 0.88 <= held / 200 <= 0.99

    def test_intervals_depend_on_seed_and_rounds(self):
        y, p = detector(50)
        assert evaluate(y, p, seed=1) == evaluate(y, p, seed=1)
        assert evaluate(y, p, seed=1) != evaluate(y, p, seed=2)
        assert evaluate(y, p, rounds=0)["log_loss_interval"] is None

    def test_one_group_gives_no_interval(self):
        result = evaluate([0, 1], [0.2, 0.7], ["same", "same"])
        assert result["log_loss_interval"] is result["auc_interval"] is None

    def test_rounds_with_one_class_are_skipped(self):
        result = evaluate([0, 1], [0.2, 0.7])  # half of the rounds draw one video twice
        assert result["balanced_log_loss_interval"] == pytest.approx([result["balanced_log_loss"]] * 2)
        assert result["auc_interval"] == [1, 1]
        assert result["log_loss_interval"] == pytest.approx([-math.log(0.8), -math.log(0.7)])


class TestErrors:
    @pytest.mark.parametrize(
        ("labels", "given_probabilities", "message"),
        [
            ([0, 1, 2], [0.5] * 3, "label at index 2 is 2, not 0 .real. or 1 .fake."),
            ([0, None], [0.5] * 2, "label at index 1 is None"),
            ([0, float("nan")], [0.5] * 2, "label at index 1 is nan"),
            (["1", 0], [0.5] * 2, "label at index 0 is '1'"),
            ([0.5, 1], [0.5] * 2, "label at index 0 is 0.5"),
            ([0, 1], [0.5, 1.5], "probability at index 1 is 1.5, not a number from 0 to 1"),
            ([0, 1], [-1e-9, 0.5], "probability at index 0 is -1e-09"),
            ([0, 1], [0.5, float("nan")], "probability at index 1 is nan"),
            ([0, 1], [0.5, float("inf")], "probability at index 1 is inf"),
            ([0, 1], [0.5, None], "probability at index 1 is nan"),
            ([0, 1], [0.5, "high"], "probabilities must be numbers from 0 to 1"),
            ([0, 1], [0.5], r"labels \(2,\) and probabilities \(1,\) must be two lists of one length"),
            ([[0], [1]], [[0.5], [0.5]], "two lists"),
            ([], [], "nothing to score"),
        ],
    )
    def test_name_the_first_bad_value(self, labels, given_probabilities, message):
        for measure in (log_loss, balanced_log_loss, evaluate):
            with pytest.raises(SubmissionError, match=message):
                measure(labels, given_probabilities)
        with pytest.raises(SubmissionError, match=message):
            compare(labels, given_probabilities, given_probabilities)

    def test_each_row_has_a_group(self):
        with pytest.raises(SubmissionError, match="1 groups for 2 rows"):
            evaluate([0, 1], [0.2, 0.7], ["a"])


class TestCompare:
    def test_worked_by_hand(self):
        # b's losses minus a's: ln(0.5/0.8) twice on the fakes, 0 on the real one
        result = compare([1, 1, 0], [0.5, 0.5, 0.5], [0.8, 0.8, 0.5])
        assert result["log_loss"] == pytest.approx(2 * math.log(0.5 / 0.8) / 3)
        assert result["balanced_log_loss"] == pytest.approx(math.log(0.5 / 0.8) / 2)

    def test_is_the_difference_of_scores_and_antisymmetric(self):
        y, a = detector(300)
        b = np.sqrt(a)
        there, back = compare(y, a, b), compare(y, b, a)
        for name in ("log_loss", "balanced_log_loss"):
            assert there[name] == pytest.approx(evaluate(y, b)[name] - evaluate(y, a)[name])
            assert back[name] == pytest.approx(-there[name])
            assert back[f"{name}_interval"] == pytest.approx([-bound for bound in there[f"{name}_interval"]][::-1])
        assert there["sentence"].startswith("a is better than b by ")
        assert back["sentence"] == there["sentence"].replace("a is better than b", "b is better than a")

    def test_pairing_resolves_differences_that_single_intervals_do_not(self):
        y, a = detector(300)
        b = np.clip(a + np.where(y == 1, 0.01, -0.01), 0.001, 0.999)  # a little better on nearly every video
        alone, other = evaluate(y, a)["balanced_log_loss_interval"], evaluate(y, b)["balanced_log_loss_interval"]
        assert alone[0] < other[1]
        assert compare(y, a, b)["balanced_log_loss_interval"][1] < 0

    def test_noise_gives_no_significant_difference(self):
        y, a = detector(60)
        b = np.clip(a + np.random.default_rng(1).normal(0, 0.02, 60), 0.01, 0.99)
        assert compare(y, a, b)["sentence"].startswith("60 videos do not tell a and b apart: ")
        assert "do not tell a and b apart: +0.000" in compare(y, a, a)["sentence"]

    def test_one_class_or_one_group_gives_no_interval(self):
        result = compare([1, 1], [0.5, 0.6], [0.7, 0.8])
        assert result["balanced_log_loss"] is result["balanced_log_loss_interval"] is None
        assert "of log loss on one class alone" in result["sentence"]
        assert "one group alone" in compare([0, 1], [0.5, 0.6], [0.3, 0.8], ["g", "g"])["sentence"]


class TestExplainScore:
    def test_a_constant_with_a_winning_loss_is_called_a_constant(self):
        text = "\n".join(explain_score(evaluate([0] * 16 + [1] * 84, [0.84] * 100)))
        assert "100 videos: 84 fake, 16 real." in text
        assert "Log loss 0.440 on this mix (84 % fake), where the constant 0.84 gives 0.440: no better" in text
        assert "Balanced log loss 1.003, on a mix of half fakes" in text
        assert "worse than a constant" in text
        assert "0.428 on the private board, half fakes: about what AUC 0.88 gives; the AUC here is 0.500." in text

    def test_one_half_is_called_as_good_as_a_constant(self):
        text = "\n".join(explain_score(evaluate([0, 1, 1], [0.5] * 3)))
        assert "the constant 0.5 gives 0.693: as good as a constant" in text
        assert "(67 % fake), where the constant 0.67 gives 0.637: no better" in text

    def test_skill_and_uncertainty_are_explained(self):
        sure = "\n".join(explain_score(evaluate(*detector(2000))))
        assert sure.count("better than") == 2
        assert "resampling 2,000 groups" in sure
        assert "too few" not in sure
        assert "too few videos to tell" in "\n".join(explain_score(evaluate(*detector(12, skill=0.3, seed=1))))

    def test_one_class(self):
        lines = explain_score(evaluate([1, 1], [0.9, 0.8]))
        assert "(100 % fake), where the constant 1.00 gives 0.000: no better" in lines[1]
        assert lines[-1] == "With one class alone nothing says how well real and fake are separated."

    def test_omitted_videos_are_mentioned(self):
        result = {**evaluate([0, 1], [0.1, 0.9]), "unlabelled": 3, "missing": 2}
        assert explain_score(result)[1] == "Left out: 3 rows without a label, 2 labels without a row."

    @quick
    @given(both_classes)
    def test_log_loss_is_stated_with_its_class_mix(self, rows):
        for line in explain_score(evaluate(*columns(rows), None, 5)):
            if "og loss" in line:
                assert "% fake" in line or "half fakes" in line

    def test_first_places_loss_matches_its_auc(self):
        y, p = detector(200_000, skill=1.67)  # calibrated, both classes equally spread: AUC = Phi(1.67 / sqrt 2)
        result = evaluate(y, p, rounds=0)
        assert result["auc"] == pytest.approx(0.88, abs=0.005)
        assert result["balanced_log_loss"] == pytest.approx(0.428, abs=0.01)


def test_large_counts_are_grouped_by_thousands():
    lines = explain_score(evaluate([0, 1] * 1000, [0.2, 0.8] * 1000, rounds=2))
    assert lines[0] == "2,000 videos: 1,000 fake, 1,000 real."
    assert "resampling 2,000 groups" in lines[3]
