"""Which aggregation and calibration serve best: chosen out of fold, and judged where the choice was not made.

A choice made and scored on the same predictions flatters itself. So the whole procedure, choosing included, is judged
nested: every fold is scored by a rule that was chosen and fitted on the other folds. It is adopted only if that lowers
the balanced log loss; otherwise the plain rule stays, with the reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dfd.config import Config
from dfd.scoring.aggregate import FACES, SEGMENTS, Aggregation, aggregate
from dfd.scoring.calibrate import METHODS, Calibration, methods_for
from dfd.scoring.metrics import balanced_log_loss
from dfd.types import FaceLogit

UNJUDGED = "it takes three folds, or sets where there are several, and both classes outside of each to judge by"


@dataclass(frozen=True)
class Judged:
    """One video's out-of-fold prediction. faces: the logits of its tracklets; none where it could not be scored.

    fold: the part of the videos that it is left out with; of several sets its set (sets.parts).
    """

    faces: tuple[FaceLogit, ...]
    label: int
    fold: int


class Rule(Config):
    """From the logits of a video's tracklets to a probability."""

    aggregation: Aggregation = Aggregation()
    calibration: Calibration = Calibration()

    def probability(self, faces: Sequence[FaceLogit]) -> float:
        """A video's probability of being fake.

        >>> Rule().probability([FaceLogit(0, 0, 1.0, 1.0), FaceLogit(1, 0, 1.0, -1.0)])
        0.5
        """
        return self.calibration.probability(aggregate(faces, self.aggregation))


@dataclass(frozen=True)
class Decision:
    """The rule adopted, and balanced log losses out of fold: `before` with the plain rule, `after` with the procedure.

    probabilities: each video's under a rule that was chosen without its fold. Both losses are None where there is too
    little to judge by.
    """

    rule: Rule
    before: float | None
    after: float | None
    reason: str
    probabilities: tuple[float, ...] = ()


Without = Callable[[int], tuple[Sequence[Judged], Sequence[Judged]]]
"""Of a fold: the other folds' videos, and its own, both as predicted with nothing that was fitted on it."""


def decide(videos: Sequence[Judged], without: Without | None = None) -> Decision:
    """The rule for a bundle of the models that made `videos`.

    without: where the predictions themselves were fitted on labels, as weights of a blend are. Raises SubmissionError
    when a logit is not finite.
    """
    folds = np.array([video.fold for video in videos])
    labels = np.array([video.label for video in videos])
    if not judgeable(folds, labels):
        return Decision(Rule(), None, None, UNJUDGED)
    plain = [Rule().probability(video.faces) for video in videos]
    before = balanced_log_loss(labels, plain)
    probabilities = np.empty(len(videos))
    for fold in np.unique(folds).tolist():
        others, own = (without or partial(_parted, videos))(fold)
        rule = choose(others)
        probabilities[folds == fold] = [rule.probability(video.faces) for video in own]
    after = balanced_log_loss(labels, probabilities)
    if after >= before:
        reason = (
            f"choosing and fitting on the other folds gave {after:.4f}, not less than the plain rule's {before:.4f}"
        )
        return Decision(Rule(), before, after, reason, tuple(probabilities.tolist()))
    reason = f"choosing and fitting on the other folds gave {after:.4f}, less than the plain rule's {before:.4f}"
    return Decision(choose(videos), before, after, reason, tuple(probabilities.tolist()))


def _parted(videos: Sequence[Judged], fold: int) -> tuple[list[Judged], list[Judged]]:
    return [video for video in videos if video.fold != fold], [video for video in videos if video.fold == fold]


def judgeable(folds: np.ndarray, labels: np.ndarray) -> bool:
    """Whether something can be fitted on the other folds for each of three or more: both classes are there."""
    known = np.unique(folds)
    return len(known) >= 3 and all(len(set(labels[folds != fold].tolist())) == 2 for fold in known)


def choose(videos: Sequence[Judged]) -> Rule:
    """The aggregation and calibration with the least balanced log loss on folds that they were not fitted on.

    The plain rule where no other is better.
    """
    labels = [video.label for video in videos]
    folds = np.array([video.fold for video in videos])
    best, least = ("identity", Aggregation()), np.inf
    for aggregation in _aggregations(videos):
        logits = np.array([aggregate(video.faces, aggregation) for video in videos])
        for method in methods_for(len(videos)):
            loss = _left_out(logits, np.array(labels), folds, method)
            if loss < least - 1e-9:  # of equals the first, which is the plainest
                best, least = (method, aggregation), loss
    method, aggregation = best
    logits = np.array([aggregate(video.faces, aggregation) for video in videos])
    return Rule(aggregation=aggregation, calibration=METHODS[method](logits.tolist(), labels))


def _aggregations(videos: Sequence[Judged]) -> list[Aggregation]:
    """All ways; of faces only the mean where no segment shows several."""
    several = any(face.face > 0 for video in videos for face in video.faces)
    return [Aggregation(faces=f, segments=s) for f in (FACES if several else FACES[:1]) for s in SEGMENTS]


def _left_out(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, method: str) -> float:
    """Balanced log loss when every fold is calibrated by a fit on the others; infinite where that cannot be."""
    probabilities = np.empty(len(logits))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        if len(set(labels[outside].tolist())) < 2:
            return float("inf")
        fitted = METHODS[method](logits[outside].tolist(), labels[outside].tolist())
        probabilities[inside] = [fitted.probability(value) for value in logits[inside]]
    return balanced_log_loss(labels, probabilities)
