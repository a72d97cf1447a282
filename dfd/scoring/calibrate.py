"""From a logit to a probability that can be believed: fitted out of fold, kept only where it proves itself there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from dfd.config import Config
from dfd.scoring.metrics import balanced_log_loss


class Calibration(Config):
    """probability = sigmoid(scale * logit + offset), kept within [limit, 1 - limit].

    The identity is scale 1, offset 0. The limit bounds what one confident error costs: 4.6 at 0.01, 34.5 without.

    >>> Calibration().probability(0.0), Calibration(limit=0.01).probability(20.0)
    (0.5, 0.99)
    """

    scale: float = Field(1.0, ge=0, description="factor on the logit: below 1 softens, above 1 sharpens")
    offset: float = Field(0.0, description="added to the scaled logit: corrects a training mix that differs from 50/50")
    limit: float = Field(0.01, ge=0, lt=0.5, description="least distance of a probability from 0 and 1")

    def probability(self, logit: float) -> float:
        """The probability of a fake, in [limit, 1 - limit]."""
        odds = np.exp(np.clip(self.scale * logit + self.offset, -500, 500))
        return float(np.clip(odds / (1 + odds), self.limit, 1 - self.limit))


@dataclass(frozen=True)
class Fitted:
    """A calibration and what it was chosen by: balanced log loss out of fold without it, and nested with it
    (None where it could not be judged)."""

    calibration: Calibration
    before: float | None
    after: float | None
    reason: str


def fit(logits: Sequence[float], labels: Sequence[int]) -> Calibration:
    """Platt's sigmoid on `logits`, both classes weighted alike: a logistic regression with one input.

    Source: Platt 1999; the class weights make the result right for a test that is half fakes, as DFDC's is.
    """
    x = np.asarray(logits, float).reshape(-1, 1)
    line = LogisticRegression(class_weight="balanced", C=1.0).fit(x, labels)
    return Calibration(scale=max(0.0, float(line.coef_[0, 0])), offset=float(line.intercept_[0]))


def nested(logits: Sequence[float], labels: Sequence[int], folds: Sequence[int]) -> list[float]:
    """Every video's probability under a calibration fitted on the other folds alone."""
    x, y, k = np.asarray(logits, float), np.asarray(labels), np.asarray(folds)
    chosen = {fold: fit(x[k != fold], y[k != fold]) for fold in np.unique(k)}
    return [chosen[fold].probability(logit) for logit, fold in zip(x, k, strict=True)]


def fit_if_better(logits: Sequence[float], labels: Sequence[int], folds: Sequence[int]) -> Fitted:
    """The calibration fitted on everything, if nested it lowers the balanced log loss; otherwise the identity."""
    plain = Calibration()
    y, k = np.asarray(labels), np.asarray(folds)
    if len(set(y.tolist())) < 2 or any(len(set(y[k != fold].tolist())) < 2 for fold in np.unique(k)):
        return Fitted(plain, None, None, "it takes videos of both classes outside of every fold to judge a calibration")
    before = balanced_log_loss(labels, [plain.probability(logit) for logit in logits])
    after = balanced_log_loss(labels, nested(logits, labels, folds))
    if after >= before:
        return Fitted(
            plain, before, after, f"fitted on the other folds it gave {after:.4f}, not less than {before:.4f}"
        )
    return Fitted(
        fit(logits, labels), before, after, f"fitted on the other folds it gave {after:.4f}, less than {before:.4f}"
    )
