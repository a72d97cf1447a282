"""Data of a score's diagrams: ROC curve, reliability diagram and histogram, with confidence intervals.

labels, probabilities and groups are as in scoring/metrics.py. Both classes are weighted equally throughout, as in the
competition's test sets, whatever the class mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dfd.scoring.metrics import Floats, checked, group_draws, group_numbers

PLACES = 101
"""Number of false positive rates, from 0 to 1, at which a ROC curve is sampled."""
Z = 1.959964
"""Half-width of a 95 % interval, in standard deviations of a normal distribution."""


@dataclass(frozen=True)
class Roc:
    """false_alarms: (PLACES,) false positive rates, from 0 to 1. caught: (PLACES,) true positive rates at these. low,
    high: (PLACES,) their 95 % interval; None with only one group.
    """

    false_alarms: Floats
    caught: Floats
    low: Floats | None
    high: Floats | None


@dataclass(frozen=True)
class ReliabilityBin:
    """The videos with a probability in [low, high), in the last bin [low, high].

    said: their mean probability. share: of fakes among them. between: its 95 % interval, by Wilson, where a group
    counts as one video.
    """

    low: float
    high: float
    videos: int
    fakes: int
    said: float
    share: float
    between: tuple[float, float]


def roc(
    labels: ArrayLike, probabilities: ArrayLike, groups: Sequence[str] | None = None, rounds: int = 200, seed: int = 0
) -> Roc | None:
    """The ROC curve, with a 95 % interval from `rounds` group bootstraps; None if a class is missing.

    >>> curve = roc([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> curve.caught[[0, 49, 50, 100]].tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    y, p = checked(labels, probabilities)
    if y.min() == y.max():
        return None
    codes = np.arange(len(y)) if groups is None else group_numbers(groups, len(y))
    at = np.linspace(0, 1, PLACES)
    step = np.unique(-p, return_inverse=True)[1]  # distinct probabilities, decreasing: each is a possible threshold

    def caught(weights: Floats) -> Floats:
        """True positive rates at the sampled false positive rates, for these weights of the videos."""
        passed = [np.cumsum(np.bincount(step, weights * (y == kind), step.max() + 1)) for kind in (0, 1)]
        false, true = (np.concatenate([[0.0], part / part[-1]]) for part in passed)
        exact = true[np.searchsorted(false, at + 1e-12, "right") - 1]  # a step function: no interpolation
        return np.asarray(exact, np.float64)

    count = int(codes.max()) + 1
    drawn = [caught(w[codes]) for w in group_draws(count, rounds, seed) if _both(w[codes], y)] if count > 1 else []
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if drawn else (None, None)
    return Roc(at, caught(np.ones(len(y))), low, high)


def _both(weights: Floats, y: np.ndarray) -> bool:
    """Whether a bootstrap draw has both classes."""
    return bool(weights[y == 0].sum() and weights[y == 1].sum())


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, groups: Sequence[str] | None = None, bins: int = 10
) -> list[ReliabilityBin]:
    """Share of fakes among videos of similar probability: the non-empty bins, in increasing order.

    Empty if a class is missing.

    >>> [(bin.said, bin.share) for bin in reliability([0, 0, 0, 1, 1, 1], [0.25] * 3 + [0.75] * 2 + [0.25])]
    [(0.25, 0.25), (0.75, 1.0)]
    """
    y, p = checked(labels, probabilities)
    if y.min() == y.max():
        return []
    codes = np.arange(len(y)) if groups is None else group_numbers(groups, len(y))
    reals, fakes = int((y == 0).sum()), int(y.sum())
    counts = np.where(y == 1, 0.5 / fakes, 0.5 / reals)
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    found = []
    for number in np.unique(place).tolist():
        inside = place == number
        low, high = wilson(float(y[inside].mean()), len(np.unique(codes[inside])))
        found.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                videos=int(inside.sum()),
                fakes=int(y[inside].sum()),
                said=float(np.average(p[inside], weights=counts[inside])),
                share=alike(float(y[inside].mean()), reals, fakes),
                between=(alike(low, reals, fakes), alike(high, reals, fakes)),
            )
        )
    return found


def alike(share: float, reals: int, fakes: int) -> float:
    """Convert a share of fakes among `reals` and `fakes` videos to a balanced mix of classes.

    >>> round(alike(0.5, 1, 3), 6), alike(1.0, 1, 3)
    (0.25, 1.0)
    """
    return share / fakes / (share / fakes + (1 - share) / reals)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share observed among `count` (Wilson 1927).

    >>> [round(bound, 3) for bound in wilson(0.5, 10)], [round(bound, 3) for bound in wilson(1.0, 3)]
    ([0.237, 0.763], [0.439, 1.0])
    """
    scale = 1 / (1 + Z**2 / count)
    middle = scale * (share + Z**2 / (2 * count))
    half = scale * Z * float(np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)))
    return max(0.0, middle - half), min(1.0, middle + half)


def histogram(labels: ArrayLike, probabilities: ArrayLike, bins: int = 20) -> tuple[list[int], list[int]]:
    """Count the real videos, and the fakes, with a probability in each of `bins` of equal width.

    >>> histogram([0, 0, 1], [0.1, 0.2, 1.0], bins=2)
    ([2, 0], [0, 1])
    """
    y, p = checked(labels, probabilities)
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    real, fake = (np.bincount(place[y == kind], minlength=bins).tolist() for kind in (0, 1))
    return real, fake
