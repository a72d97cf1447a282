"""The learning curve of a run as an image: loss and accuracy on training clips, and measures on validation videos."""

import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfd.files import whole
from dfd.training.curve import gather_curves

CHANCE = 0.6931
"""Loss at chance level: the constant 0.5 on balanced clips."""

ASIDE = "\n(dashed: {} of the fold kept aside)"

PATIENT = 20
"""Drawing may take one part in this many of the training time."""


class LiveCurve:
    """Keeps curve.png of a training, and metrics.csv of a cross-validation, up to date during the run."""

    def __init__(self, run: Path) -> None:
        self._run, self._next = run, 0.0
        self._drawn: dict[Path, int] = {}

    def look(self, last: bool = False) -> None:
        """Draw new rows, if there are any. last: draw at the end of the run, however long it takes."""
        rows = self._rows()
        if not rows or (not last and (rows == self._drawn or time.monotonic() < self._next)):
            return
        begun = time.monotonic()
        if any(path.parent != self._run for path in rows):
            gather_curves(self._run)
        draw_curve(self._run)
        self._drawn, now = rows, time.monotonic()
        self._next = now + PATIENT * (now - begun)

    def _rows(self) -> dict[Path, int]:
        """Modification time of the curve of the run, or of each of its folds."""
        folds = list(self._run.glob("fold-*/metrics.csv"))
        return {path: path.stat().st_mtime_ns for path in folds or self._run.glob("metrics.csv")}


def draw_curve(run: Path) -> Path:
    """Draw metrics.csv of the run folder `run` into its curve.png, with one line per fold if it has folds."""
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
    left.axhline(CHANCE, color="grey", linestyle=":", label="chance level")
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
