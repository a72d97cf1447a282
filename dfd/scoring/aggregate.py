"""Aggregate the logits of a video's tracklets in two steps: faces of a segment, then segments of the video.

Before that, the logits of several networks are averaged per tracklet (over_members). Each step is a pure function,
selected by name in FACES or SEGMENTS. The choice is made on out-of-fold predictions (scoring/decide.py), never on the
test set.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError
from dfd.types import FaceLogit

Logits = Sequence[float]
CONFIDENT = np.log(0.8 / 0.2)
"""A segment is confident at a probability of 0.8 or more, or 0.2 or less (confident_strategy of DFDC's winner)."""


def mean_logit(logits: Logits) -> float:
    """The mean logit: optimal if the errors of segments are independent.

    >>> mean_logit([2.0, -1.0, 0.5])
    0.5
    """
    return float(np.mean(_some(logits)))


def mean_probability(logits: Logits) -> float:
    """The logit of the mean probability. One confident segment among doubtful ones weighs less than in mean_logit.

    >>> abs(round(mean_probability([2.0, -2.0]), 6))
    0.0
    """
    return logit(np.mean(sigmoid(_some(logits))))


def confident_mean(logits: Logits) -> float:
    """mean_probability of the confident segments alone if most are confident of the same class; else of all.

    >>> round(confident_mean([3.0, 3.0, 0.0]), 6), confident_mean([3.0, 0.0]) == mean_probability([3.0, 0.0])
    (3.0, True)
    """
    values = _some(logits)
    for side in (values[values >= CONFIDENT], values[values <= -CONFIDENT]):
        if 2 * len(side) > len(values):
            return mean_probability(side.tolist())
    return mean_probability(logits)


def top_half(logits: Logits) -> float:
    """The mean of the higher half, since a fake need not show in every segment.

    >>> top_half([4.0, 0.0, 2.0])
    3.0
    """
    values = np.sort(_some(logits))[::-1]
    return float(values[: (len(values) + 1) // 2].mean())


SEGMENTS: dict[str, Callable[[Logits], float]] = {
    "mean_logit": mean_logit,
    "mean_probability": mean_probability,
    "confident_mean": confident_mean,
    "top_half": top_half,
}
FACES = ("mean", "max", "confidence")
"""Aggregations of the faces of a segment. mean: of all. max: the most suspect face, since one of several may be fake.
confidence: mean weighted by detection confidence."""


class Aggregation(Config):
    """How the logits of a video's tracklets become its logit."""

    faces: str = Field("mean", description=f"faces to their segment: {', '.join(FACES)}")
    segments: str = Field("mean_logit", description=f"segments to the video: {', '.join(SEGMENTS)}")


def aggregate(faces: Sequence[FaceLogit], how: Aggregation) -> float:
    """Aggregate to the video's logit. Raises ValueError for a video without a face, ConfigError for an unknown name.

    >>> two = [FaceLogit(0, 0, 1.0, 1.0), FaceLogit(0, 1, 0.5, -2.0), FaceLogit(3, 0, 1.0, 3.0)]
    >>> aggregate(two, Aggregation()), aggregate(two, Aggregation(faces="max"))
    (1.25, 2.0)
    >>> aggregate(two, Aggregation(faces="confidence"))
    1.5
    """
    if how.faces not in FACES or how.segments not in SEGMENTS:
        raise ConfigError(f"{how.faces!r}, {how.segments!r}: there are {', '.join(FACES)} and {', '.join(SEGMENTS)}")
    segments = groupby(sorted(faces), key=lambda face: face.segment)
    return SEGMENTS[how.segments]([over_faces(list(group), how.faces) for _, group in segments])


def over_faces(faces: Sequence[FaceLogit], how: str) -> float:
    """Aggregate the logits of a segment's faces.

    >>> over_faces([FaceLogit(0, 0, 1.0, -1.0), FaceLogit(0, 1, 1.0, 4.0)], "max")
    4.0
    """
    logits, sure = np.array([(face.logit, face.confidence) for face in faces], float).T
    if how == "max":
        return float(logits.max())
    return float(np.average(logits, weights=sure if how == "confidence" and sure.sum() > 0 else None))


def over_members(answers: Sequence[Sequence[FaceLogit]], weights: Sequence[float] = ()) -> tuple[FaceLogit, ...]:
    """Average several networks' logits for a video, per tracklet, over the networks that score it.

    weights: one above 0 per network, not normalised, so that leaving a network out needs no change; equal if empty.
    A segment that only some networks score gets their mean alone.

    >>> one, other = [FaceLogit(0, 0, 1.0, 1.0), FaceLogit(2, 0, 1.0, 3.0)], [FaceLogit(0, 0, 1.0, -2.0)]
    >>> [face.logit for face in over_members([one, other])], over_members([one, other], [3.0, 1.0])[0].logit
    ([-0.5, 3.0], 0.25)
    """
    given: dict[tuple[int, int, float], list[tuple[float, float]]] = {}
    for faces, weight in zip(answers, weights or [1.0] * len(answers), strict=True):
        for face in faces:
            given.setdefault(face[:3], []).append((face.logit, weight))
    joined = {place: np.array(each).T for place, each in given.items()}
    return tuple(
        FaceLogit(*place, float(np.average(joined[place][0], weights=joined[place][1]))) for place in sorted(joined)
    )


def sigmoid(logits: np.ndarray | float) -> np.ndarray:
    """Probabilities in (0, 1), for logits of any size.

    >>> float(sigmoid(0.0)), float(sigmoid(-1000.0)) > 0
    (0.5, True)
    """
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def logit(probability: np.ndarray | float) -> float:
    """The logit of a probability, finite at 0 and 1.

    >>> logit(0.5)
    0.0
    """
    p = float(np.clip(probability, 1e-15, 1 - 1e-15))
    return float(np.log(p / (1 - p)))


def _some(logits: Logits) -> np.ndarray:
    if not len(logits):
        raise ValueError("a video without a face has no logit")
    return np.asarray(logits, float)
