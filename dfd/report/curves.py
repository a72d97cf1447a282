"""The curve of a run as a picture: loss and accuracy on training clips, by epoch."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfd.files import whole

COIN = 0.6931
"""Loss of always saying 0.5 of as many real as fake clips."""


def draw_curve(run: Path) -> Path:
    """Draw the metrics.csv of the run folder `run`, a line a fold where it has folds, into its curve.png."""
    table = pd.read_csv(run / "metrics.csv")
    folds = [part for _, part in table.groupby("fold")] if "fold" in table else [table]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for part in folds:
        label = f"fold {int(part['fold'].iloc[0])}" if "fold" in part else None
        left.plot(part["epoch"] + 1, part["loss"], marker=".", label=label)
        right.plot(part["epoch"] + 1, part["accuracy"], marker=".", label=label)
    left.axhline(COIN, color="grey", linestyle=":", label="a coin")
    right.axhline(0.5, color="grey", linestyle=":")
    left.set(title="loss on training clips", xlabel="epoch", ylim=(0, None))
    right.set(title="accuracy on training clips", xlabel="epoch", ylim=(0, 1.02))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize="small")
    with whole(run / "curve.png") as partial:
        figure.savefig(partial, dpi=120, format="png")
    return run / "curve.png"
