"""Write metrics.csv, one row per epoch and every ten minutes, and report the progress of each step."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.faces.build import Progress
from dfd.files import whole
from dfd.training.held import HeldVideos
from dfd.types import Clips

import pytorch_lightning as pl  # isort: skip


class Curve(pl.Callback):
    """Writes metrics.csv, keeping the rows of earlier steps, and calls `progress` after each step.

    held: videos on which each row measures the model; None for none. more: further columns of an epoch's last row.
    took: the longest time in seconds of each kind of measuring.
    """

    def __init__(self, path: Path, what: str, progress: Progress | None, held: HeldVideos | None = None) -> None:
        self.path, self.what, self.progress, self.held = path, what, progress, held
        self.begun = self.since = time.monotonic()
        self.more: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.clips = 0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start counting clips per second."""
        self.clips, self.since = 0, time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, _: Any, batch: Clips, *__: Any) -> None:
        """Count the clips and report progress after each step."""
        self.clips += len(batch.labels) * trainer.world_size
        rate = self.clips / max(1e-9, time.monotonic() - self.since)
        loss = f"loss {module.running_loss():.3f}"
        self._tell(trainer, module, f"epoch {trainer.current_epoch + 1}, {loss}, {rate:.0f} clips/s")

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Add a row after each epoch."""
        self.point(trainer, module, **self.more)

    def point(self, trainer: pl.Trainer, module: Any, **more: float) -> None:
        """Add a row: the epoch's averages so far, and `more`. seconds: since the last row, or since a resume."""
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **module.averages(),
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
        }
        if trainer.is_global_zero:
            row |= self.measure(self.held, "fold kept aside", trainer, module) if self.held else {}
            add_row(self.path, {**row, **more, "seconds": round(time.monotonic() - self.begun, 2)})
        self.begun = self.since = time.monotonic()
        self.clips = 0

    def measure(self, held: HeldVideos, what: str, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Measure on `held` the model that would be saved."""

        def tell(done: int, total: int) -> None:
            self._tell(trainer, module, f"{what}, {done} of {total}")

        begun = time.monotonic()
        measures = held.measure(module.kept(), tell)
        self.took[what] = max(self.took.get(what, 0.0), time.monotonic() - begun)
        return measures

    def _tell(self, trainer: pl.Trainer, module: Any, last: str) -> None:
        if self.progress and trainer.is_global_zero:
            self.progress(trainer.global_step, module.steps, f"{self.what}, {last}")


def gather_curves(run: Path) -> None:
    """Write metrics.csv of a cross-validation from the rows of its started folds."""
    found = sorted((int(path.parent.name.removeprefix("fold-")), path) for path in run.glob("fold-*/metrics.csv"))
    with whole(run / "metrics.csv") as partial:
        pd.concat([pd.read_csv(path).assign(fold=fold) for fold, path in found]).to_csv(partial, index=False)


def add_row(path: Path, row: dict[str, float]) -> None:
    """Append a row to the CSV at `path`, atomically, after dropping rows of the same and later steps."""
    table = pd.DataFrame([row])
    if path.is_file():
        earlier = pd.read_csv(path)
        table = pd.concat([earlier[earlier["step"] < row["step"]], table])
    with whole(path) as partial:
        table.to_csv(partial, index=False)
