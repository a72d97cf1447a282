"""The curve of a run as a picture: loss and accuracy on training clips, and how good it is on what is kept aside."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfd.files import whole

COIN = 0.6931
"""Loss of always saying 0.5 of as many real as fake clips."""

ASIDE = "\n(dashed: {} of the fold kept aside)"


def draw_curve(run: Path) -> Path:
    """Draw the metrics.csv of the run folder `run`, a line a fold where it has folds, into its curve.png."""
    table = pd.read_csv(run / "metrics.csv")
    folds = [part for _, part in table.groupby("fold")] if "fold" in table else [table]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for part in folds:
        label = f"fold {int(part['fold'].iloc[0])}" if "fold" in part else None
        for axes, learned, held in ((left, "loss", "held_loss"), (right, "accuracy", "held_auc")):
            (line,) = axes.plot(part["step"], part[learned], marker=".", label=label)
            if held in part:
                axes.plot(part["step"], part[held], marker=".", linestyle="--", color=line.get_color())
    left.axhline(COIN, color="grey", linestyle=":", label="a coin")
    right.axhline(0.5, color="grey", linestyle=":")
    aside = "held_loss" in table
    left.set(title="loss on training clips" + ASIDE.format("balanced log loss") * aside, xlabel="step", ylim=(0, None))
    right.set(title="accuracy on training clips" + ASIDE.format("AUC") * aside, xlabel="step", ylim=(0, 1.02))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize="small")
    with whole(run / "curve.png") as partial:
        figure.savefig(partial, dpi=120, format="png")
    return run / "curve.png"
