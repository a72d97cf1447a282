"""Measures of predicted probabilities, their confidence intervals, and what they mean.

Throughout: labels (N,) are 1 fake, 0 real; probabilities (N,) are of being fake, in [0, 1]; losses are in nats.
Invalid input raises a SubmissionError that names the first bad index.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfd.errors import SubmissionError

CLIP = 1e-15
"""Distance from 0 and 1 at which probabilities are clipped for the logarithm: one confident error costs 34.5 nats."""
BINS = 15
"""Number of equal-width bins for the calibration error (Guo et al. 2017)."""
NEGLIGIBLE = 5e-4
"""A difference of losses too small to show in three decimals."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def clip(probabilities: ArrayLike) -> Floats:
    """Clip `probabilities` to [CLIP, 1 - CLIP] in float64, where 1 - CLIP is less than 1.

    >>> clip([0, 0.25, 1]).tolist()
    [1e-15, 0.25, 0.999999999999999]
    """
    return np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP)


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of -ln(probability of the true class), as Kaggle computes it. It depends on the class mix.

    >>> round(log_loss([1, 1, 1, 0], [0.5, 0.5, 0.5, 0.5]), 4)
    0.6931
    >>> round(log_loss([1, 1, 1, 0], [0.75, 0.75, 0.75, 0.75]), 4)
    0.5623
    """
    return float(_losses(*checked(labels, probabilities)).mean())


def balanced_log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of the real videos' log loss and the fakes': the log loss at balanced classes, as in DFDC's test sets.

    Raises SubmissionError when a class is missing.

    >>> round(balanced_log_loss([1, 1, 1, 0], [0.75, 0.75, 0.75, 0.75]), 4)
    0.837
    """
    y, p = checked(labels, probabilities)
    if y.min() == y.max():
        raise SubmissionError(f"every label is {y[0]}: a balanced log loss takes real videos (0) and fakes (1)")
    losses = _losses(y, p)
    return float((losses[y == 0].mean() + losses[y == 1].mean()) / 2)


def evaluate(
    labels: ArrayLike, probabilities: ArrayLike, groups: Sequence[str] | None = None, rounds: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compute every measure, ready for JSON; None, never NaN, if a required class is missing.

    groups: (N,) rows to resample together for the intervals, such as a real video with its fakes; None for single rows.
    `*_interval`: [low, high], the 2.5th and 97.5th percentile over `rounds` group bootstraps (those that drew both
    classes); None with fewer than two groups. average_error: mean |probability - label|. quantized_average_error: the
    same with rounded probabilities; exactly 0.5 becomes 0. calibration_error: over BINS bins. The order of the rows
    does not matter.

    >>> result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> result["confusion"], result["auc"], result["average_error"], result["quantized_average_error"]
    ({'real_as_real': 1, 'real_as_fake': 1, 'fake_as_real': 1, 'fake_as_fake': 1}, 0.75, 0.35, 0.5)
    """
    y, p = checked(labels, probabilities)
    order = np.lexsort((y, p))
    codes = np.arange(len(y)) if groups is None else group_numbers(groups, len(y))[order]
    y, p = y[order], p[order]
    losses = _losses(y, p)
    measures = {**_losses_by_class(y, losses), **_ranking(y, p), **_decisions(y, p), **_distances(y, p)}
    drawn = _bootstrap(y, losses, codes, rounds, seed, p)
    counts = {"videos": len(y), "fakes": int(y.sum()), "groups": int(codes.max()) + 1}
    return {**counts, **measures, **{f"{name}_interval": interval for name, interval in drawn.items()}}


def compare(
    labels: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    groups: Sequence[str] | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Test whether `b` is better than `a` on the same videos: losses of b minus those of a, paired by row.

    Returns log_loss and balanced_log_loss (negative: b is better), each with its `_interval` as in evaluate(), and
    `sentence`, a description in words.

    >>> compare([0, 0, 1, 1], [0.5] * 4, [0.2] * 2 + [0.8] * 2)["sentence"]
    'b is better than a by 0.470 of balanced log loss (95 % interval 0.470 to 0.470).'
    """
    y, first = checked(labels, a)
    _, second = checked(labels, b)
    gained = _losses(y, second) - _losses(y, first)
    codes = np.arange(len(y)) if groups is None else group_numbers(groups, len(y))
    means = _losses_by_class(y, gained)
    drawn = _bootstrap(y, gained, codes, rounds, seed)
    result = {name: means[name] for name in drawn} | {f"{name}_interval": drawn[name] for name in drawn}
    return {**result, "sentence": _verdict(result, len(y))}


def explain_score(result: Mapping[str, Any]) -> list[str]:
    """Explain the numbers of evaluate() in sentences. A log loss is always given with its class mix.

    >>> for line in explain_score(evaluate([1, 1, 1, 0], [0.75] * 4, rounds=0)):
    ...     print(line)
    4 videos: 3 fake, 1 real.
    Log loss 0.562 on this mix (75 % fake), where the constant 0.75 gives 0.562: no better than knowing the mix alone.
    Balanced log loss 0.837, on a mix of half fakes, where the constant 0.5 gives 0.693: worse than a constant.
    DFDC's first place had 0.428 on the private board, half fakes: about what AUC 0.88 gives; the AUC here is 0.500.
    """
    videos, fakes = result["videos"], result["fakes"]
    share = fakes / videos
    chance = _entropy(share)
    lines = [f"{videos:,} videos: {fakes:,} fake, {videos - fakes:,} real."]
    unlabelled, missing = result.get("unlabelled", 0), result.get("missing", 0)
    if unlabelled or missing:
        lines.append(f"Left out: {unlabelled:,} rows without a label, {missing:,} labels without a row.")
    worth = "better" if result["log_loss"] < chance - NEGLIGIBLE else "no better"
    lines.append(
        f"Log loss {result['log_loss']:.3f} on this mix ({100 * share:.0f} % fake), where the constant {share:.2f} "
        f"gives {chance:.3f}: {worth} than knowing the mix alone."
    )
    if result["balanced_log_loss"] is None:
        return [*lines, "With one class alone nothing says how well real and fake are separated."]
    return lines + _explain_balanced(result)


def _explain_balanced(result: Mapping[str, Any]) -> list[str]:
    loss, interval, chance = result["balanced_log_loss"], result["balanced_log_loss_interval"], math.log(2)
    worth = "as good as"
    if abs(loss - chance) > NEGLIGIBLE:
        worth = "better than" if loss < chance else "worse than"
    lines = [
        f"Balanced log loss {loss:.3f}, on a mix of half fakes, where the constant 0.5 gives {chance:.3f}: "
        f"{worth} a constant."
    ]
    if interval is not None:
        low, high = interval
        doubt = ": too few videos to tell it from a constant's" if low <= chance <= high else ""
        lines.append(f"Its 95 % interval, resampling {result['groups']:,} groups, is {low:.3f} to {high:.3f}{doubt}.")
    lines.append(
        "DFDC's first place had 0.428 on the private board, half fakes: about what AUC 0.88 gives; "
        f"the AUC here is {result['auc']:.3f}."
    )
    return lines


def _verdict(result: Mapping[str, Any], videos: int) -> str:
    name = "log_loss" if result["balanced_log_loss"] is None else "balanced_log_loss"
    what = "log loss on one class alone" if name == "log_loss" else "balanced log loss"
    difference, interval = result[name], result[f"{name}_interval"]
    if interval is None:
        return f"b differs from a by {difference:+.3f} of {what}; one group alone says nothing of how sure that is."
    low, high = sorted(abs(bound) for bound in interval)
    if interval[0] <= 0 <= interval[1]:
        between = f"{interval[0]:+.3f} to {interval[1]:+.3f}"
        return f"{videos} videos do not tell a and b apart: {difference:+.3f} of {what} (95 % interval {between})."
    better, worse = ("b", "a") if difference < 0 else ("a", "b")
    by = f"by {abs(difference):.3f} of {what} (95 % interval {low:.3f} to {high:.3f})"
    return f"{better} is better than {worse} {by}."


def checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Integers, Floats]:
    """Convert both to arrays (N,) and check them. Raises SubmissionError."""
    given = np.asarray(labels, dtype=object)
    try:
        p = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SubmissionError(f"probabilities must be numbers from 0 to 1: {error}") from None
    if given.ndim != 1 or given.shape != p.shape:
        raise SubmissionError(f"labels {given.shape} and probabilities {p.shape} must be two lists of one length")
    if not len(p):
        raise SubmissionError("there is nothing to score: no labels and no probabilities")
    for index, label in enumerate(given.tolist()):
        if label not in (0, 1):
            raise SubmissionError(f"label at index {index} is {label!r}, not 0 (real) or 1 (fake)")
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))  # comparisons with NaN are false
    if len(wrong):
        raise SubmissionError(f"probability at index {wrong[0]} is {p[wrong[0]]}, not a number from 0 to 1")
    return given.astype(np.int64), p


def group_numbers(groups: Sequence[str], rows: int) -> Integers:
    """Number the groups from 0: the group of each row."""
    if len(groups) != rows:
        raise SubmissionError(f"there are {len(groups)} groups for {rows} rows: give each row its group")
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _losses(y: Integers, p: Floats) -> Floats:
    kept = clip(p)
    return -np.log(np.where(y == 1, kept, 1 - kept))


def _losses_by_class(y: Integers, losses: Floats) -> dict[str, float | None]:
    real, fake = _mean(losses[y == 0]), _mean(losses[y == 1])
    return {
        "log_loss": _mean(losses),
        "balanced_log_loss": None if real is None or fake is None else (real + fake) / 2,
        "real_log_loss": real,
        "fake_log_loss": fake,
    }


def _ranking(y: Integers, p: Floats) -> dict[str, float | None]:
    """Ranking measures, independent of the probabilities' scale. None with one class."""
    if y.min() == y.max():
        return {"auc": None, "average_precision": None, "equal_error_rate": None}
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve  # takes half a second to import

    false_alarms, caught, _ = roc_curve(y, p)
    equal = np.interp(0.0, false_alarms - (1 - caught), false_alarms)
    return {
        "auc": float(roc_auc_score(y, p)),
        "average_precision": float(average_precision_score(y, p)),
        "equal_error_rate": float(equal),
    }


def _decisions(y: Integers, p: Floats) -> dict[str, Any]:
    """Measures of the decisions at threshold 0.5."""
    from sklearn.metrics import confusion_matrix  # takes half a second to import

    (rr, rf), (fr, ff) = confusion_matrix(y, p > 0.5, labels=[0, 1]).tolist()
    return {
        "accuracy": (rr + ff) / len(y),
        "real_accuracy": rr / (rr + rf) if rr + rf else None,
        "fake_accuracy": ff / (fr + ff) if fr + ff else None,
        "quantized_average_error": (rf + fr) / len(y),
        "confusion": {"real_as_real": rr, "real_as_fake": rf, "fake_as_real": fr, "fake_as_fake": ff},
    }


def _distances(y: Integers, p: Floats) -> dict[str, float]:
    """Distances of the probabilities from the labels, by video and in bins."""
    from sklearn.metrics import brier_score_loss  # takes half a second to import

    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=p - y, minlength=BINS)
    return {
        "average_error": float(np.abs(p - y).mean()),
        "brier": float(brier_score_loss(y, p, pos_label=1)),
        "calibration_error": float(np.abs(gaps).sum() / len(y)),
    }


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _entropy(share: float) -> float:
    """Log loss in nats of the best constant, `share`, on a mix with that share of fakes."""
    return sum(-part * math.log(part) for part in (share, 1 - share) if part > 0)


def _bootstrap(
    y: Integers, losses: Floats, codes: Integers, rounds: int, seed: int, p: Floats | None = None
) -> dict[str, list[float] | None]:
    """95 % intervals of the loss, the balanced loss and, given `p`, the AUC, by group bootstrap.

    A round is a weight per group, so a loss is a product with the groups' sums, and an AUC one cumulative sum over the
    real videos. 1,000 rounds of 119,146 rows take seconds and the memory of one round.
    """
    groups = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, row, groups) for row in (y == 0, y == 1, losses * (y == 0), losses * (y == 1))])
    auc = None if p is None else weighted_auc(y, p, codes)
    totals, areas = np.empty((rounds, 4)), np.empty(rounds)
    with np.errstate(invalid="ignore", divide="ignore"):  # a round without one of the classes is NaN, and dropped
        for draw, weights in enumerate(group_draws(groups, rounds, seed)):
            totals[draw] = sums @ weights
            if auc is not None:
                areas[draw] = auc(weights)
        reals, fakes, of_reals, of_fakes = totals.T
        drawn = {
            "log_loss": (of_reals + of_fakes) / (reals + fakes),
            "balanced_log_loss": (of_reals / reals + of_fakes / fakes) / 2,
        } | ({"auc": areas} if auc is not None else {})
    return {name: _interval(values) if groups > 1 else None for name, values in drawn.items()}


def group_draws(groups: int, rounds: int, seed: int) -> Iterator[Floats]:
    """How often each of the groups (G,) is drawn in each round of a bootstrap."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(rng.integers(groups, size=groups), minlength=groups).astype(np.float64)


def weighted_auc(y: Integers, p: Floats, codes: Integers) -> Callable[[Floats], float]:
    """The AUC as a function of the groups' weights: the share of correctly ordered pairs of a real video and a fake."""
    real, fake = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    real = real[np.argsort(p[real], kind="stable")]
    below, upto = (np.searchsorted(p[real], p[fake], side) for side in ("left", "right"))
    group_of_real, group_of_fake = codes[real], codes[fake]

    def auc(weights: Floats) -> float:
        """The AUC with the groups (G,) weighted by `weights`."""
        passed = np.concatenate([[0.0], np.cumsum(weights[group_of_real])])
        of_fakes = weights[group_of_fake]
        return float(of_fakes @ (passed[below] + passed[upto]) / (2 * passed[-1] * of_fakes.sum()))  # a tie counts half

    return auc


def _interval(drawn: Floats) -> list[float] | None:
    drawn = drawn[np.isfinite(drawn)]
    return [float(bound) for bound in np.percentile(drawn, [2.5, 97.5])] if len(drawn) else None
