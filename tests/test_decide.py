import math

import numpy as np
import pytest

from dfd.scoring.aggregate import FACES, SEGMENTS, Aggregation, aggregate
from dfd.scoring.calibrate import Calibration
from dfd.scoring.decide import Judged, Rule, choose, decide
from dfd.scoring.metrics import balanced_log_loss
from dfd.types import FaceLogit


def videos(count=200, scale=1.0, signal=1.5, folds=5, segments=3, seed=0):
    """Videos of `segments` segments, a face in each; logits are calibrated when divided by `scale`."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        label = number % 2
        centre = (label * 2 - 1) * signal**2 / 2 + rng.normal(0, signal)
        logits = [float(scale * (centre + rng.normal(0, 0.3))) for _ in range(segments)]
        faces = tuple(FaceLogit(segment, 0, 0.99, logit) for segment, logit in enumerate(logits))
        made.append(Judged(faces, label, number // 2 % folds))
    return made


def test_overconfident_logits_are_scaled_down():
    made = decide(videos(scale=3.0))
    assert made.after < made.before
    assert made.rule.calibration.scale == pytest.approx(1 / 3, rel=0.35)
    assert "less than the plain rule's" in made.reason


def test_noise_keeps_the_default_rule():
    made = decide(videos(count=40, signal=1e-6, seed=3))
    assert made.rule == Rule()
    assert "not less than" in made.reason
    assert made.before == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.slow
def test_a_fold_is_scored_by_a_rule_fitted_on_the_others():
    """Flipping a fold's labels changes the other folds' rules, but none of its own predictions."""
    straight = videos(count=60, scale=2.0)
    turned = [Judged(v.faces, 1 - v.label if v.fold == 2 else v.label, v.fold) for v in straight]
    a, b = decide(straight).probabilities, decide(turned).probabilities
    assert all(x == y for x, y, v in zip(a, b, straight, strict=True) if v.fold == 2)
    assert any(x != y for x, y, v in zip(a, b, straight, strict=True) if v.fold != 2)


def test_the_losses_are_those_of_the_probabilities():
    made = decide(videos(scale=3.0))
    labels = [video.label for video in videos(scale=3.0)]
    assert made.after == pytest.approx(balanced_log_loss(labels, made.probabilities), abs=1e-12)


def test_the_fake_one_of_two_faces_decides():
    rng = np.random.default_rng(0)
    made = []
    for number in range(200):
        label = number % 2
        faces = [
            FaceLogit(segment, face, 0.9, float(rng.normal(3 if label and face else -3, 2)))
            for segment in range(2)
            for face in range(2)
        ]
        made.append(Judged(tuple(faces), label, number // 2 % 5))
    assert choose(made).aggregation.faces == "max"


def test_face_rules_are_tried_only_when_a_segment_shows_several_faces(monkeypatch):
    tried = set()

    def watched(faces, how):
        tried.add((how.faces, how.segments))
        return aggregate(faces, how)

    monkeypatch.setattr("dfd.scoring.decide.aggregate", watched)
    some = videos(count=20)
    choose(some)
    assert tried == {("mean", segments) for segments in SEGMENTS}
    choose([*some[:-1], Judged((*some[-1].faces, FaceLogit(2, 1, 0.9, 0.0)), some[-1].label, some[-1].fold)])
    assert tried == {(faces, segments) for faces in FACES for segments in SEGMENTS}


@pytest.mark.parametrize(
    ("labels", "folds"),
    [([], []), ([1, 1, 1], [0, 1, 2]), ([1, 0, 1, 0], [0, 0, 1, 1]), ([1, 1, 0], [0, 1, 2])],
)
def test_too_few_videos_keep_the_default_rule(labels, folds):
    made = decide([Judged((FaceLogit(0, 0, 1.0, 1.0),), y, k) for y, k in zip(labels, folds, strict=True)])
    assert (made.rule, made.before) == (Rule(), None)


def test_a_rule_round_trips_through_json_and_describes_itself():
    rule = Rule(aggregation=Aggregation(faces="max"), calibration=Calibration(scale=0.5, offset=1.0))
    assert Rule.model_validate_json(rule.model_dump_json()) == rule
    assert rule.probability([FaceLogit(0, 0, 1.0, 1.0), FaceLogit(0, 1, 1.0, -2.0)]) == pytest.approx(
        1 / (1 + math.exp(-1.5))
    )
