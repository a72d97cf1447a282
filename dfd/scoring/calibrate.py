"""Calibration: turn a logit into a reliable probability.

METHODS names the ways to fit one. scoring/decide.py chooses among them, or none, on out-of-fold predictions.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from dfd.config import Config
from dfd.scoring.aggregate import logit, sigmoid

PENALTY = 1e-4
"""L2 penalty on half the squared slope, for logits scaled to unit standard deviation. It keeps the fit finite when the
classes are separable. It does not depend on the logits' scale, and for 60 overlapping videos it costs less than
1e-4."""
ISOTONIC_FROM = 1000
"""Least number of videos for isotonic regression. With fewer it overfits (scikit-learn's user guide)."""


class Calibration(Config):
    """probability = sigmoid(scale * logit + offset), or the line through `knots`, kept within [limit, 1 - limit].

    The identity is scale 1, offset 0, no knots. The limit bounds what one confident error costs: 4.6 at 0.01, 34.5
    without; to a calibrated model of AUC 0.97 it costs 0.0015.

    >>> Calibration().probability(0.0), Calibration(limit=0.01).probability(20.0)
    (0.5, 0.99)
    >>> Calibration(knots=((-1.0, 0.2), (1.0, 0.6))).probability(0.0)
    0.4
    """

    method: str = Field("identity", description="how it was fitted")
    scale: float = Field(1.0, ge=0, description="factor on the logit: below 1 softens, above 1 sharpens")
    offset: float = Field(0.0, description="added to the scaled logit: corrects a mix that differs from 50/50")
    knots: tuple[tuple[float, float], ...] = Field((), description="(logit, probability) of an isotonic fit")
    limit: float = Field(0.01, ge=0, lt=0.5, description="least distance of a probability from 0 and 1")

    @property
    def constant(self) -> bool:
        """Whether every logit has the same probability, because the logits it was fitted on carried no information.

        >>> Calibration(scale=0.0).constant, Calibration(knots=((-1.0, 0.2), (1.0, 0.6))).constant
        (True, False)
        """
        return len({p for _, p in self.knots}) == 1 if self.knots else self.scale == 0

    def probability(self, value: float) -> float:
        """The probability of a fake for the logit `value`, in [limit, 1 - limit]."""
        if self.knots:
            probability = np.interp(value, *np.transpose(self.knots))
        else:
            probability = sigmoid(self.scale * value + self.offset)
        return float(np.clip(probability, self.limit, 1 - self.limit))


def prior_offset(trained: float, tested: float = 0.5) -> float:
    """Logit offset for a model trained with a share `trained` of fakes and tested with a share `tested`.

    Exact, by Bayes' rule, if only the class prior differs (Saerens et al. 2002). For DFDC's training set:

    >>> round(prior_offset(0.839), 3)
    -1.651
    """
    return logit(tested) - logit(trained)


def identity(logits: Sequence[float], labels: Sequence[int]) -> Calibration:
    """Keep the logits unchanged."""
    del logits, labels
    return Calibration()


def temperature(logits: ArrayLike, labels: ArrayLike, shares: ArrayLike | None = None) -> Calibration:
    """Fit one factor for all logits, with equal class weights (Guo et al. 2017).

    shares: weights of the videos; None for equal class weights.
    """
    return _line("temperature", np.asarray(logits, float), labels, middle=None, shares=shares)


def platt(logits: Sequence[float], labels: Sequence[int]) -> Calibration:
    """Fit Platt's sigmoid with equal class weights, so that it suits a balanced test set (Platt 1999)."""
    x = np.asarray(logits, float)
    return _line("platt", x, labels, middle=float(x.mean()))


def isotonic(logits: Sequence[float], labels: Sequence[int]) -> Calibration:
    """Fit a monotonic curve with equal class weights (Zadrozny and Elkan 2002)."""
    y = np.asarray(labels)
    weights = np.where(y == 1, 0.5 / max(1, y.sum()), 0.5 / max(1, (1 - y).sum()))
    from sklearn.isotonic import IsotonicRegression  # takes half a second to import; only fitting needs it

    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(logits, y, weights)
    knots = zip(curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist(), strict=True)
    return Calibration(method="isotonic", knots=tuple(knots))


METHODS: dict[str, Callable[[Sequence[float], Sequence[int]], Calibration]] = {
    "identity": identity,
    "temperature": temperature,
    "platt": platt,
    "isotonic": isotonic,
}


def methods_for(videos: int) -> list[str]:
    """The methods that can be used with this number of videos.

    >>> methods_for(400)
    ['identity', 'temperature', 'platt']
    """
    return [name for name in METHODS if name != "isotonic" or videos >= ISOTONIC_FROM]


def _line(
    method: str, x: NDArray[np.float64], labels: ArrayLike, middle: float | None, shares: ArrayLike | None = None
) -> Calibration:
    """Fit a logistic curve to logits (N,): through 0 if `middle` is None, else with an offset, fitted about `middle`.

    A falling curve means that the logits carry no information; the probability is then 0.5 everywhere.
    """
    from sklearn.linear_model import LogisticRegression  # takes half a second to import; only fitting needs it

    centre = middle or 0.0
    unit = float(np.sqrt(np.mean((x - centre) ** 2))) or 1.0
    weights = None if shares is None else np.asarray(shares) * (len(x) / np.sum(shares))  # sum N, as without shares
    line = LogisticRegression(
        C=1 / PENALTY,
        class_weight="balanced" if shares is None else None,
        fit_intercept=middle is not None,
        solver="newton-cholesky",
        tol=1e-10,
    ).fit(((x - centre) / unit).reshape(-1, 1), labels, weights)
    scale, offset = float(line.coef_[0, 0]) / unit, float(np.ravel(line.intercept_)[0])
    if scale <= 0:
        return Calibration(method=method, scale=0.0)
    return Calibration(method=method, scale=scale, offset=offset - scale * centre)
