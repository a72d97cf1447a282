"""From a video's clips to its one logit, in two steps: clips to their track, tracks to the video.

Before both, several networks' logits of a clip are joined (over_members). Each way is a pure function of logits (N,),
N >= 1, with its name in CLIPS or TRACKS. Which one serves best is a question for out-of-fold predictions
(scoring/decide.py), never for the test.
"""

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError

Logits = Sequence[float]
CONFIDENT = np.log(0.8 / 0.2)
"""A clip is confident from a probability of 0.8, or down from 0.2 (the competition's winner, confident_strategy)."""


def mean_logit(logits: Logits) -> float:
    """The mean logit: the likeliest answer if clips err independently.

    >>> mean_logit([2.0, -1.0, 0.5])
    0.5
    """
    return float(np.mean(_some(logits)))


def mean_probability(logits: Logits) -> float:
    """The logit of the mean probability: one confident clip among doubtful ones counts for less than in mean_logit.

    >>> abs(round(mean_probability([2.0, -2.0]), 6))
    0.0
    """
    return logit(np.mean(sigmoid(_some(logits))))


def confident_mean(logits: Logits) -> float:
    """mean_probability of the confident clips alone where most clips are confident of the same; else of all.

    >>> round(confident_mean([3.0, 3.0, 0.0]), 6), confident_mean([3.0, 0.0]) == mean_probability([3.0, 0.0])
    (3.0, True)
    """
    values = _some(logits)
    for side in (values[values >= CONFIDENT], values[values <= -CONFIDENT]):
        if 2 * len(side) > len(values):
            return mean_probability(side.tolist())
    return mean_probability(logits)


def top_half(logits: Logits) -> float:
    """The mean of the higher half: a fake need not show in every clip.

    >>> top_half([4.0, 0.0, 2.0])
    3.0
    """
    values = np.sort(_some(logits))[::-1]
    return float(values[: (len(values) + 1) // 2].mean())


CLIPS: dict[str, Callable[[Logits], float]] = {
    "mean_logit": mean_logit,
    "mean_probability": mean_probability,
    "confident_mean": confident_mean,
    "top_half": top_half,
}
TRACKS = ("mean", "max", "confidence")
"""The mean over tracks; the most suspect one (of two faces one may be fake); the mean weighted by how sure the detector
was that there is a face."""


class Aggregation(Config):
    """How a video's clips become its logit."""

    clips: str = Field("mean_logit", description=f"clips to track: {', '.join(CLIPS)}")
    tracks: str = Field("mean", description=f"tracks to video: {', '.join(TRACKS)}")


def aggregate(tracks: Sequence[Logits], confidences: Sequence[float], how: Aggregation) -> float:
    """The video's logit from the clips' logits of each of its tracks.

    confidences: one a track, in [0,1]. Raises ValueError for a video without a clip; ConfigError for an unknown way.

    >>> aggregate([[1.0, 3.0], [-2.0]], [1.0, 0.5], Aggregation())
    0.0
    >>> aggregate([[1.0, 3.0], [-2.0]], [1.0, 0.5], Aggregation(tracks="max"))
    2.0
    >>> round(aggregate([[1.0, 3.0], [-2.0]], [1.0, 0.5], Aggregation(tracks="confidence")), 4)
    0.6667
    """
    if how.clips not in CLIPS or how.tracks not in TRACKS:
        raise ConfigError(f"{how.clips!r}, {how.tracks!r}: there are {', '.join(CLIPS)} and {', '.join(TRACKS)}")
    each = _some([CLIPS[how.clips](logits) for logits in tracks])
    if how.tracks == "max":
        return float(each.max())
    if how.tracks == "confidence" and sum(confidences) > 0:
        return float(np.average(each, weights=confidences))
    return float(each.mean())


def over_members(answers: Sequence[Logits], weights: Sequence[float] = ()) -> tuple[float, ...]:
    """One track's logits out of several networks' for it: their weighted mean, clip by clip.

    answers: each network's logits, one a clip. weights: one a network, above 0 and of any sum, so that the rest stands
    in for a network that is left out; alike where none are given. Networks with clips of other numbers, and so other
    clips, give one logit: the weighted mean of their means.

    >>> over_members([[1.0, 3.0], [-2.0, 0.0]]), over_members([[1.0, 3.0], [-2.0, 0.0]], [3.0, 1.0])
    ((-0.5, 1.5), (0.25, 2.25))
    >>> over_members([[1.0, 3.0], [-1.0]], [0.75, 0.25])
    (1.25,)
    """
    share = np.asarray(weights or np.ones(len(answers)), float)
    share /= share.sum()
    if len({len(logits) for logits in answers}) > 1:
        return (float(share @ [mean_logit(logits) for logits in answers]),)
    return tuple((share @ np.asarray(answers, float)).tolist())


def sigmoid(logits: np.ndarray | float) -> np.ndarray:
    """Probabilities in (0, 1) of logits of any size.

    >>> float(sigmoid(0.0)), float(sigmoid(-1000.0)) > 0
    (0.5, True)
    """
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def logit(probability: np.ndarray | float) -> float:
    """The logit of one probability, finite at 0 and 1.

    >>> logit(0.5)
    0.0
    """
    p = float(np.clip(probability, 1e-15, 1 - 1e-15))
    return float(np.log(p / (1 - p)))


def _some(logits: Logits) -> np.ndarray:
    if not len(logits):
        raise ValueError("a video without a clip has no logit")
    return np.asarray(logits, float)
