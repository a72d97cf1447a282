"""The plots of a run's page."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from dfd.report.plots import Axis, Bars, Line, bar_plot, line_plot
from dfd.report.run_facts import RunFacts
from dfd.scoring.diagrams import ReliabilityBin, Roc, histogram, reliability, roc

CHANCE = math.log(2)
"""Loss at chance level: the constant 0.5."""
GREY = 5
"""The tone of baselines."""
TONES = (1, 2, 3, 4, 6)
"""Tones of the folds, repeated from the sixth fold on."""
POINTS = 120
"""Maximum number of points in the learning curves of all folds together."""
BINS = 20


def roc_plot(runs: Sequence[RunFacts]) -> Markup:
    """The ROC curve of each run, with its interval."""
    lines = [Line("chance level", [(0, 0), (1, 1)], tone=GREY, dashed=True)]
    for tone, run in enumerate(runs, 1):
        videos = run.videos
        curve = roc(videos["label"], videos["probability"], videos["group"].tolist())
        if curve:
            lines += _roc_lines(curve, run.name if len(runs) > 1 else "out of fold", tone)
    share = Axis("share of the real videos that are called fake", 0, 1)
    about = "ROC curve: the share of the fakes that are called fake against that of the real videos, at each threshold."
    return line_plot(lines, share, Axis("share of the fakes that are called fake", 0, 1), about)


def _roc_lines(curve: Roc, name: str, tone: int) -> list[Line]:
    """The line with its interval, and the interactive points."""
    points = list(zip(curve.false_alarms.tolist(), curve.caught.tolist(), strict=True))
    band = [] if curve.low is None or curve.high is None else list(zip(curve.low, curve.high, strict=True))
    places = [1, 2, 5, *range(10, 100, 10)]
    tips = [
        f"{name}: {points[at][1]:.0%} of the fakes are called fake where {at} % of the real videos are"
        + (f" (95 % interval {band[at][0]:.0%} to {band[at][1]:.0%})" if band else "")
        for at in places
    ]
    return [
        Line(name, points, tone, band=[(float(low), float(high)) for low, high in band]),
        Line("", [points[at] for at in places], tone, tips, dots=True),
    ]


def reliability_plot(videos: pd.DataFrame) -> Markup:
    """The reliability diagram: share of fakes by probability, as submitted and calibrated out of fold."""
    lines = [Line("as it should be", [(0, 0), (1, 1)], tone=GREY, dashed=True)]
    for tone, (name, column) in enumerate((("as submitted", "probability"), ("calibrated", "after")), 1):
        known = videos.dropna(subset=[column])
        bins = reliability(known["label"], known[column], known["group"].tolist()) if len(known) else []
        if bins:
            lines.append(_reliability_line(bins, name, tone))
    about = "Reliability diagram: the share of fakes among videos of about the same probability, against that."
    fakes = Axis("share of fakes, both classes counted alike", 0, 1)
    return line_plot(lines, Axis("probability of a fake that was given", 0, 1), fakes, about)


def _reliability_line(bins: Sequence[ReliabilityBin], name: str, tone: int) -> Line:
    tips = [
        f"{name}, {part.low:.1f} to {part.high:.1f}: {part.videos} videos, {part.fakes} of them fakes; where half of "
        f"all are fakes {part.share:.0%} ({part.between[0]:.0%} to {part.between[1]:.0%})"
        for part in bins
    ]
    points = [(part.said, part.share) for part in bins]
    return Line(name, points, tone, tips, band=[part.between for part in bins] if tone == 1 else ())


def histogram_plot(videos: pd.DataFrame) -> Markup:
    """Histogram of the probabilities of each class."""
    counts = histogram(videos["label"], videos["probability"], BINS)
    edges = np.linspace(0, 1, BINS + 1)
    bars, most = [], 0.0
    for tone, (name, found) in enumerate(zip(("real", "fake"), counts, strict=True), 1):
        shares = [100 * count / max(1, sum(found)) for count in found]
        tips = [
            f"{count} {name} videos ({share:.1f} %) from {low:.2f} to {high:.2f}"
            for count, share, low, high in zip(found, shares, edges, edges[1:], strict=False)
        ]
        bars.append(Bars(name, shares, tips, tone))
        most = max(most, *shares)
    about = "Histogram of the probabilities, of the real videos and of the fakes."
    labels = [f"{low:g}" for low in edges[:-1].round(2)]
    return bar_plot(labels, bars, Axis("% of the class", 0, most), about, "probability of a fake, from")


def curve_plots(curve: pd.DataFrame) -> list[Markup]:
    """Learning curves by step: losses, then accuracy and AUC. Dashed: on validation videos."""
    last = max(float(curve["step"].max()), 1)
    plots = []
    for learned, held, what, of_held, chance in (
        ("loss", "held_loss", "loss", "balanced log loss", CHANCE),
        ("accuracy", "held_auc", "accuracy", "AUC", 0.5),
    ):
        lines = [Line("chance level", [(0, chance), (last, chance)], tone=GREY)]
        lines += _curve_lines(curve, learned, f"{what} on training clips", dashed=False)
        lines += _curve_lines(curve, held, f"{of_held} of what was kept aside", dashed=True)
        top = max((value for line in lines for _, value in line.points), default=1)
        about = f"Learning curve: {what} on training clips, and {of_held} of what was kept aside, against steps."
        y = Axis(f"{what}; dashed: {of_held} of what was kept aside", 0, 1 if chance == 0.5 else min(top, 2.0))
        plots.append(line_plot(lines, Axis("step", 0, last), y, about))
    return plots


def _curve_lines(curve: pd.DataFrame, column: str, what: str, dashed: bool) -> Iterator[Line]:
    """One line per fold; none if the column is missing or empty."""
    if column not in curve or curve[column].isna().all():
        return
    parts = list(curve.groupby("fold")) if "fold" in curve else [("", curve)]
    most = max(4, POINTS // len(parts))
    for number, (fold, rows) in enumerate(parts):
        rows = rows.dropna(subset=[column])
        rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
        name = "fold " + str(fold) if "fold" in curve else ""
        points = list(zip(rows["step"].astype(float), rows[column].astype(float), strict=True))
        about = f"{what}, {name}" if name else what
        tips = [f"{about}, step {step:.0f}: {value:.3f}" for step, value in points]
        legend = "" if dashed else name
        yield Line(legend, points, TONES[number % len(TONES)], tips, dashed=dashed)
