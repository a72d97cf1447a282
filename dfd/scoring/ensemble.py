"""Weights of several runs in a bundle: equal, unless fitted weights are shown to be better.

Fitted weights are evaluated like every choice (scoring/decide.py): each fold with weights fitted on the others.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from dfd.config import Config
from dfd.scoring.aggregate import Aggregation, aggregate, over_members
from dfd.scoring.calibrate import Calibration
from dfd.scoring.decide import UNJUDGED, Decision, Judged, decide, judgeable
from dfd.scoring.metrics import Floats, Integers, balanced_log_loss

FAINT = 1e-3
"""A run with less weight is left out: its networks would cost time and change nothing."""


class Blend(Config):
    """How several runs are blended, and balanced log losses, out of fold, by the plain rule.

    alone: each run's own. equal: of equal weights. fitted: of weights that were fitted on the other folds. The losses
    are None, or absent, if there are too few videos to evaluate.
    """

    weights: tuple[float, ...] = Field(description="what each run's logits count for: at least 0, with sum 1")
    alone: tuple[float, ...] = ()
    equal: float | None = None
    fitted: float | None = None
    reason: str


def blend(runs: Sequence[Sequence[Judged]]) -> tuple[Blend, list[Judged]]:
    """Fit the weights of `runs`, and blend their out-of-fold predictions.

    runs: each run's predictions of the same videos in the same order, without faces where it failed. A run that failed
    for a video is left out there, and the other weights are renormalised. Each video is blended with weights fitted
    on the other folds, so its own label does not affect its prediction.
    """
    folds = {video.fold for video in runs[0]}
    by_fold = {fold: weigh([_outside(run, fold) for run in runs]).weights for fold in folds} if len(folds) > 1 else {}
    made = weigh(runs)
    return made, [_joined(parts, by_fold.get(parts[0].fold, made.weights)) for parts in zip(*runs, strict=True)]


def decide_blend(runs: Sequence[Sequence[Judged]]) -> tuple[Blend, list[Judged], Decision]:
    """Like `blend`, and choose the rule. Weights and rule are evaluated together, each fold by those of the others."""
    made, videos = blend(runs)

    def without(fold: int) -> tuple[list[Judged], list[Judged]]:
        others = blend([_outside(run, fold) for run in runs])[1]
        return [video for video in others if video.faces], [v for v in videos if v.fold == fold and v.faces]

    return made, videos, decide([video for video in videos if video.faces], without)


def weigh(runs: Sequence[Sequence[Judged]]) -> Blend:
    """Fitted weights if they beat equal ones on folds that they were not fitted on, else equal weights."""
    videos = list(zip(*runs, strict=True))
    by_all = [parts for parts in videos if all(part.faces for part in parts)]
    labels = np.array([parts[0].label for parts in by_all])
    folds = np.array([parts[0].fold for parts in by_all])
    alike = tuple([1 / len(runs)] * len(runs))
    if not judgeable(folds, labels):
        return Blend(weights=alike, reason=f"equal weights: {UNJUDGED}")
    logits = np.array([[aggregate(part.faces, Aggregation()) for part in p] for p in by_all])
    without = {fold: fit_weights(logits[folds != fold], labels[folds != fold]) for fold in np.unique(folds).tolist()}
    nested = np.array([without[fold] for fold in folds.tolist()])
    alone = tuple(_loss(labels, column) for column in logits.T)
    equal, fitted = _loss(labels, logits.mean(axis=1)), _loss(labels, (logits * nested).sum(axis=1))
    losses = {"alone": alone, "equal": equal, "fitted": fitted}
    found = f"weights fitted on the other folds gave {fitted:.4f}"
    if fitted >= equal:
        reason = f"{found}, not less than equal weights' {equal:.4f}"
        return Blend(weights=alike, reason=reason, **losses)
    return Blend(weights=fit_weights(logits, labels), reason=f"{found}, less than equal weights' {equal:.4f}", **losses)


def _outside(run: Sequence[Judged], fold: int) -> list[Judged]:
    return [video for video in run if video.fold != fold]


def fit_weights(logits: Floats, labels: Integers, shares: Floats | None = None) -> tuple[float, ...]:
    """Non-negative weights (R,) with sum 1 that minimise the balanced log loss of logits (N,R).

    shares: (N,) weights of the videos, if not balanced by class. The loss is convex in the weights, so the minimum is
    global. A run given twice gets half of the weight each time.

    >>> fit_weights(np.array([[-2.0, 2.0], [2.0, -2.0]]), np.array([0, 1]))
    (1.0, 0.0)
    """
    side = np.where(labels == 1, 1.0, -1.0)
    balanced = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())
    share = balanced if shares is None else shares / shares.sum()

    def loss(weights: Floats) -> tuple[float, Floats]:
        """Weighted log loss, and its gradient."""
        right = side * (logits @ weights)
        wrong = np.exp(-np.logaddexp(0, right))  # the probability of the wrong class
        return float(share @ np.logaddexp(0, -right)), -(share * side * wrong) @ logits

    runs = logits.shape[1]
    from scipy.optimize import minimize  # takes half a second to import; only fitting needs it

    found = minimize(
        loss,
        np.full(runs, 1 / runs),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * runs,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10},
    ).x
    kept = np.where(found < FAINT, 0.0, found)
    return tuple((kept / kept.sum()).tolist())


def _loss(labels: Integers, logits: Floats) -> float:
    return balanced_log_loss(labels, [Calibration().probability(value) for value in logits.tolist()])


def _joined(parts: Sequence[Judged], weights: Sequence[float]) -> Judged:
    """One video's predictions as a bundle of these runs makes them; without faces if every run failed."""
    there = [(part.faces, weight) for part, weight in zip(parts, weights, strict=True) if part.faces and weight > 0]
    joined = over_members([faces for faces, _ in there], [weight for _, weight in there])
    return Judged(joined, parts[0].label, parts[0].fold)
