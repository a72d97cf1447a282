"""Weights of several runs and the temperature of their blend, fitted on videos of several sets.

A set is a dataset of its own: other cameras, other people, other kinds of fakes. Weights and a temperature fitted
within a set fail on new kinds of fakes, which is what a detector meets in use. So each way of fitting is evaluated by
leaving whole sets out: fitted on the others, scored on the one left out. The measures of a set are nested: its own
labels do not affect its probabilities, not even by the choice of the way. Few numbers are fitted: one per run.

A run also knows the kind of fakes that it was trained on, in a set that it has never seen. In use some fakes are of a
kind that no run knows. So the temperature is fitted on each set twice: as the blend scores it, and with logits of 0
from the runs that know its kind of fakes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError
from dfd.scoring.aggregate import sigmoid
from dfd.scoring.calibrate import Calibration, temperature
from dfd.scoring.ensemble import fit_weights
from dfd.scoring.metrics import balanced_log_loss, evaluate

Floats = NDArray[np.float64]
ALONE = "a set can only be left out of two or more: name several datasets"


@dataclass(frozen=True)
class JudgedSet:
    """The videos of one set with the logits of each run.

    logits: (N,R). labels: (N,), 1 fake, 0 real; both occur. groups: (N,), videos to resample together. known: (R,),
    whether a run was trained on this set's kind of fakes; empty: all were.
    """

    name: str
    logits: Floats
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    known: tuple[bool, ...] = ()

    def views(self, weights: Sequence[float]) -> list[Floats]:
        """Logits (N,) of the runs' blend; if only some runs know these fakes, also with those runs' logits set to 0.

        >>> of = JudgedSet("a", np.array([[4.0, 1.0]]), np.array([1]), ("x",), known=(True, False))
        >>> [view.tolist() for view in of.views([0.5, 0.5])]
        [[2.5], [0.5]]
        """
        blended = self.logits @ np.array(weights)
        if len(set(self.known)) < 2:
            return [blended]
        return [blended, self.logits @ (np.array(weights) * ~np.array(self.known))]

    def probabilities(self, weights: Sequence[float], calibration: Calibration) -> list[float]:
        """Probabilities (N,) of being fake, by the runs' blend."""
        return [calibration.probability(x) for x in (self.logits @ np.array(weights)).tolist()]

    def measure(self, probabilities: Sequence[float]) -> dict[str, Any]:
        """The measures of evaluate() for these probabilities, and `alone`, the AUC of each run."""
        alone = [evaluate(self.labels, sigmoid(run), rounds=0)["auc"] for run in self.logits.T]
        return {**evaluate(self.labels, probabilities, self.groups), "alone": alone}


class SetBlend(Config):
    """How runs are blended, and how well that does on each set when fitted on the others."""

    way: str = Field(description="how the weights were fitted: one of WAYS")
    weights: tuple[float, ...] = Field(description="what each run's logits count for: at least 0, with sum 1")
    calibration: Calibration
    losses: dict[str, float] = Field(description="of each way, the mean over the sets of the loss without the set")
    sets: dict[str, dict[str, Any]] = Field(description="of each set its measures, by what was fitted on the others")

    @property
    def reason(self) -> str:
        """The choice in words."""
        tried = ", ".join(f"{way} {loss:.4f}" for way, loss in self.losses.items())
        return f"{self.way} weights: mean balanced log loss of {len(self.sets)} sets, each left out of the fit: {tried}"


def equal(logits: Floats, labels: NDArray[np.int64], shares: Floats) -> tuple[float, ...]:
    """Equal weights."""
    del labels, shares
    return tuple([1 / logits.shape[1]] * logits.shape[1])


def calibrated(logits: Floats, labels: NDArray[np.int64], shares: Floats) -> tuple[float, ...]:
    """Scale each run by its own temperature, and weight the scaled runs equally. An uninformative run gets 0."""
    scales = np.array([temperature(run, labels, shares).scale for run in logits.T])
    return tuple((scales / scales.sum()).tolist()) if scales.sum() > 0 else equal(logits, labels, shares)


def fitted(logits: Floats, labels: NDArray[np.int64], shares: Floats) -> tuple[float, ...]:
    """Scale each run by its own temperature, and fit the weights of the scaled runs."""
    scales = np.array([temperature(run, labels, shares).scale for run in logits.T])
    together = scales * np.array(fit_weights(logits * scales, labels, shares))
    return tuple((together / together.sum()).tolist()) if together.sum() > 0 else equal(logits, labels, shares)


WAYS: dict[str, Callable[[Floats, NDArray[np.int64], Floats], tuple[float, ...]]] = {
    "equal": equal,
    "calibrated": calibrated,
    "fitted": fitted,
}
"""Maps logits (N,R), labels (N,) and weights of the videos (N,) to weights of the runs (R,)."""
USUAL = "equal"
"""The default if too few sets remain to choose by: it fits the fewest numbers."""


def blend_sets(sets: Sequence[JudgedSet]) -> SetBlend:
    """Fit weights and temperature for runs scored on `sets`, in the way that does best on a set left out.

    Raises ConfigError with fewer than two sets, or if a set lacks a class.
    """
    if len(sets) < 2:
        raise ConfigError(ALONE)
    for of in sets:
        if len(set(of.labels.tolist())) < 2:
            raise ConfigError(f"{of.name} has videos of one class only: it takes both to judge by")
    losses = _losses(sets)
    way = min(losses, key=losses.__getitem__)
    weights, calibration = _fit(way, sets)
    unseen = zip(sets, unseen_probabilities(sets), strict=True)
    measures = {of.name: of.measure(probabilities) for of, probabilities in unseen}
    return SetBlend(way=way, weights=weights, calibration=calibration, losses=losses, sets=measures)


def unseen_probabilities(sets: Sequence[JudgedSet]) -> list[list[float]]:
    """Probabilities of each set's videos, by what the other sets choose and fit. Needs two sets or more."""
    return [of.probabilities(*_chosen(_others(sets, of))) for of in sets]


def left_out_probabilities(sets: Sequence[JudgedSet], way: str) -> list[list[float]]:
    """Probabilities of each set's videos, by what `way` fits on the other sets. Needs two sets or more."""
    return [of.probabilities(*_fit(way, _others(sets, of))) for of in sets]


def _others(sets: Sequence[JudgedSet], of: JudgedSet) -> list[JudgedSet]:
    return [other for other in sets if other is not of]


def _losses(sets: Sequence[JudgedSet]) -> dict[str, float]:
    """Each way's balanced log loss on sets left out of its fit, averaged over the sets."""
    return {
        way: float(
            np.mean([balanced_log_loss(of.labels, of.probabilities(*_fit(way, _others(sets, of)))) for of in sets])
        )
        for way in WAYS
    }


def _chosen(sets: Sequence[JudgedSet]) -> tuple[tuple[float, ...], Calibration]:
    """What these sets alone choose and fit. A single set leaves nothing to choose by, and gets USUAL."""
    losses = _losses(sets) if len(sets) > 1 else {USUAL: 0.0}
    return _fit(min(losses, key=losses.__getitem__), sets)


def _fit(way: str, sets: Sequence[JudgedSet]) -> tuple[tuple[float, ...], Calibration]:
    """Weights by `way`, and the temperature of their blend. Each set, and each class in it, has the same weight."""
    logits = np.concatenate([of.logits for of in sets])
    weights = WAYS[way](logits, *_of_each([(of, 1) for of in sets]))
    views = [(of, of.views(weights)) for of in sets]
    together = np.concatenate([view for _, of_set in views for view in of_set])
    return weights, temperature(together, *_of_each([(of, len(of_set)) for of, of_set in views]))


def _of_each(sets: Sequence[tuple[JudgedSet, int]]) -> tuple[NDArray[np.int64], Floats]:
    """Labels and weights of all videos, each set a number of times. Together the copies of a set weigh 1."""
    labels = [np.tile(of.labels, times) for of, times in sets]
    shares = [np.tile(_shares(of.labels) / times, times) for of, times in sets]
    return np.concatenate(labels), np.concatenate(shares)


def _shares(labels: NDArray[np.int64]) -> Floats:
    """Weights (N,) of the videos that balance the classes, with sum 1.

    >>> _shares(np.array([0, 1, 1])).tolist()
    [0.5, 0.25, 0.25]
    """
    return np.where(labels == 1, 0.5 / max(1, labels.sum()), 0.5 / max(1, (1 - labels).sum()))
