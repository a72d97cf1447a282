"""Choose aggregation and calibration on out-of-fold predictions, and evaluate the choice by nested cross-validation.

A choice evaluated on the predictions it was made on is biased. So the whole procedure, choice included, is nested:
every fold is scored by a rule chosen and fitted on the other folds. The rule is adopted only if that lowers the
balanced log loss. Otherwise the plain rule stays, and the reason is reported.
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

UNJUDGED = "testing another choice takes three folds (or sets), and both classes outside of each"


@dataclass(frozen=True)
class Judged:
    """One video's out-of-fold prediction. faces: the logits of its tracklets; empty if it could not be scored.

    fold: the part of the videos that it is left out with; for several sets its set (sets.parts).
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
    """The adopted rule, and out-of-fold balanced log losses: `before` with the plain rule, `after` with the procedure.

    probabilities: of each video, under a rule chosen without its fold. Both losses are None if there are too few videos
    to evaluate.
    """

    rule: Rule
    before: float | None
    after: float | None
    reason: str
    probabilities: tuple[float, ...] = ()


Without = Callable[[int], tuple[Sequence[Judged], Sequence[Judged]]]
"""Maps a fold to the other folds' videos and its own, both predicted without anything fitted on that fold."""


def decide(videos: Sequence[Judged], without: Without | None = None) -> Decision:
    """Choose the rule for a bundle of the models behind `videos`.

    without: needed if the predictions themselves were fitted on labels, like the weights of a blend. Raises
    SubmissionError when a logit is not finite.
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
    """Whether there are three or more folds, and for each one both classes in the other folds."""
    known = np.unique(folds)
    return len(known) >= 3 and all(len(set(labels[folds != fold].tolist())) == 2 for fold in known)


def choose(videos: Sequence[Judged]) -> Rule:
    """The aggregation and calibration with the least balanced log loss, each fold scored by a fit on the others.

    The plain rule if no other is better.
    """
    labels = [video.label for video in videos]
    folds = np.array([video.fold for video in videos])
    best, least = ("identity", Aggregation()), np.inf
    for aggregation in _aggregations(videos):
        logits = np.array([aggregate(video.faces, aggregation) for video in videos])
        for method in methods_for(len(videos)):
            loss = _left_out(logits, np.array(labels), folds, method)
            if loss < least - 1e-9:  # on a tie the first and plainest wins
                best, least = (method, aggregation), loss
    method, aggregation = best
    logits = np.array([aggregate(video.faces, aggregation) for video in videos])
    return Rule(aggregation=aggregation, calibration=METHODS[method](logits.tolist(), labels))


def _aggregations(videos: Sequence[Judged]) -> list[Aggregation]:
    """All combinations. Without segments that show several faces, only the mean over faces."""
    several = any(face.face > 0 for video in videos for face in video.faces)
    return [Aggregation(faces=f, segments=s) for f in (FACES if several else FACES[:1]) for s in SEGMENTS]


def _left_out(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, method: str) -> float:
    """Balanced log loss with every fold calibrated by a fit on the others; infinite if that fails."""
    probabilities = np.empty(len(logits))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        if len(set(labels[outside].tolist())) < 2:
            return float("inf")
        fitted = METHODS[method](logits[outside].tolist(), labels[outside].tolist())
        probabilities[inside] = [fitted.probability(value) for value in logits[inside]]
    return balanced_log_loss(labels, probabilities)
