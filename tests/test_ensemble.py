import math

import numpy as np
import pytest

from dfd.scoring.decide import Judged
from dfd.scoring.ensemble import blend, decide_blend, fit_weights
from dfd.scoring.metrics import balanced_log_loss
from dfd.types import FaceLogit


def run(logits, labels, folds, segments=(0,)):
    return [
        Judged(tuple(FaceLogit(number, 0, 0.9, float(logit)) for number in segments), int(label), int(fold))
        for logit, label, fold in zip(logits, labels, folds, strict=True)
    ]


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    return labels, np.arange(300) // 2 % 5, (2 * labels - 1) * 1.5 + rng.normal(0, 1.2, 300), rng


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits)))


class TestFitWeights:
    def test_has_the_lowest_loss_on_a_fine_grid(self, truth):
        labels, _, good, rng = truth
        logits = np.stack([good, 0.5 * good + rng.normal(0, 1, 300)], axis=1)
        grid = np.linspace(0, 1, 2001)
        losses = [balanced_log_loss(labels, sigmoid(logits @ [w, 1 - w])) for w in grid]
        weights = fit_weights(logits, labels)
        assert weights[0] == pytest.approx(grid[int(np.argmin(losses))], abs=1e-3)
        assert sum(weights) == pytest.approx(1, abs=1e-12)

    def test_classes_count_equally_in_any_mix(self, truth):
        labels, _, good, rng = truth
        logits = np.stack([good, good + rng.normal(0.8, 1, 300)], axis=1)
        fakes = np.repeat(np.flatnonzero(labels == 1), 9)
        more = np.concatenate([logits, logits[fakes]]), np.concatenate([labels, labels[fakes]])
        assert fit_weights(*more) == pytest.approx(fit_weights(logits, labels), abs=1e-3)

    def test_a_run_with_inverted_scores_gets_no_weight(self, truth):
        labels, _, good, _ = truth
        assert fit_weights(np.stack([good, -good, good], axis=1), labels) == pytest.approx((0.5, 0, 0.5), abs=1e-3)


class TestBlend:
    def test_a_run_of_noise_is_weighted_down(self, truth):
        labels, folds, good, rng = truth
        runs = [run(good, labels, folds), run(rng.normal(0, 4, 300), labels, folds)]
        made, videos = blend(runs)
        assert made.weights[0] > 0.9
        assert made.fitted < made.equal
        assert "less than equal weights'" in made.reason
        assert made.alone[0] < made.equal < made.alone[1]
        assert len(videos) == 300

    def test_runs_of_one_kind_keep_equal_weights(self, truth):
        labels, folds, good, rng = truth
        runs = [run(good + rng.normal(0, 0.7, 300), labels, folds) for _ in range(3)]
        made, videos = blend(runs)
        assert made.weights == pytest.approx((1 / 3,) * 3)
        assert made.fitted >= made.equal
        assert videos[7].faces[0].logit == pytest.approx(sum(r[7].faces[0].logit for r in runs) / 3, abs=1e-12)

    def test_the_losses_are_those_of_the_blended_videos(self, truth):
        labels, folds, good, rng = truth
        made, videos = blend([run(good, labels, folds), run(rng.normal(0, 4, 300), labels, folds)])
        found = np.clip(sigmoid([video.faces[0].logit for video in videos]), 0.01, 0.99)
        assert made.fitted == pytest.approx(balanced_log_loss(labels, found), abs=1e-9)

    def test_a_fold_is_blended_by_weights_fitted_on_the_others(self, truth):
        """Flipping some of a fold's labels changes the weights of the other folds, but nothing of its own."""
        labels, folds, good, rng = truth
        other = 0.6 * good + rng.normal(0, 2, 300)
        turned = np.where((folds == 2) & (np.arange(300) % 20 < 6), 1 - labels, labels)
        (a, straight), (b, crooked) = (blend([run(good, y, folds), run(other, y, folds)]) for y in (labels, turned))
        assert a.fitted < a.equal
        assert b.fitted < b.equal
        pairs = list(zip(straight, crooked, strict=True))
        assert all(x.faces == y.faces for x, y in pairs if x.fold == 2)
        assert any(x.faces != y.faces for x, y in pairs if x.fold != 2)

    def test_a_run_that_failed_for_a_video_is_left_out_there(self):
        labels, folds = [0, 1] * 6, [0, 0, 1, 1, 2, 2] * 2
        first, second = (run([-2, 2] * 6, labels, folds) for _ in range(2))
        second[3] = Judged((), 1, 1)
        first[4] = second[4] = Judged((), 0, 2)
        _, videos = blend([first, second])
        assert videos[3].faces == first[3].faces
        assert videos[4].faces == ()

    def test_segments_scored_only_by_zero_weight_runs_are_not_scored(self, truth):
        labels, folds, good, _ = truth
        first, second = run(good, labels, folds), run(-good, labels, folds)
        first[0] = Judged((), int(labels[0]), int(folds[0]))
        made, videos = blend([first, second])
        assert made.weights == (1.0, 0.0)
        assert videos[0].faces == ()

    def test_runs_are_blended_only_on_shared_segments(self):
        labels, folds = [0, 1] * 2, [0, 0, 1, 1]  # too few to fit weights, so they are equal
        four, two = run([-1, 3] * 2, labels, folds, (1, 2, 5, 7)), run([-1, 1] * 2, labels, folds, (2, 6))
        _, videos = blend([four, two])
        assert [(face.segment, face.logit) for face in videos[1].faces] == [(1, 3), (2, 2), (5, 3), (6, 1), (7, 3)]

    def test_two_folds_are_too_few_to_evaluate(self):
        made, videos = blend([run([-1, 3] * 2, [0, 1] * 2, [0, 0, 1, 1])] * 2)
        assert (made.weights, made.equal) == ((0.5, 0.5), None)
        assert videos[1].faces == (FaceLogit(0, 0, 0.9, 3.0),)
        assert "three folds" in made.reason

    def test_round_trips_through_json(self, truth):
        labels, folds, good, _ = truth
        made, _ = blend([run(good, labels, folds)] * 2)
        assert type(made).model_validate_json(made.model_dump_json()) == made
        assert math.isclose(sum(made.weights), 1)


class TestDecideBlend:
    @pytest.mark.slow
    def test_a_folds_labels_do_not_affect_its_own_probabilities(self, truth):
        """Weights and rule are nested together: weights used for a fold were not fitted on it either."""
        labels, folds, good, rng = truth
        other = 0.6 * good + rng.normal(0, 2, 300)
        changed = labels.copy()
        inside = np.flatnonzero(folds == 2)
        changed[inside[::3]] = 1 - changed[inside[::3]]
        before, after = (
            decide_blend([run(3 * good, known, folds), run(other, known, folds)]) for known in (labels, changed)
        )
        mine = [(d.probabilities[i], v[i].faces) for _, v, d in (before, after) for i in inside]
        assert mine[: len(inside)] == mine[len(inside) :]
        assert before[2].probabilities != after[2].probabilities
        assert before[0].weights != after[0].weights

    @pytest.mark.slow
    def test_a_video_that_no_run_could_score_is_left_out(self, truth):
        labels, folds, good, rng = truth
        runs = [run(3 * good, labels, folds), run(good + rng.normal(0, 2, 300), labels, folds)]
        for one in runs:
            one[7] = Judged((), int(labels[7]), int(folds[7]))
        made, videos, decision = decide_blend(runs)
        assert (len(videos), len(decision.probabilities)) == (300, 299)
        assert decision.after <= decision.before
        assert sum(made.weights) == pytest.approx(1)
