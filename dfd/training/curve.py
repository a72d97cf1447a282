"""The curve of a training: metrics.csv, a row an epoch, and what is told of every step."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.faces.build import Progress
from dfd.files import whole

import pytorch_lightning as pl  # isort: skip


class Curve(pl.Callback):
    """Writes metrics.csv, rows of earlier epochs kept, and tells `progress` of every step of a ClipClassifier."""

    def __init__(self, path: Path, what: str, progress: Progress | None) -> None:
        self.path, self.what, self.progress = path, what, progress
        self.begun = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """After each step."""
        if self.progress and trainer.is_global_zero:
            self.progress(trainer.global_step, module.steps, f"{self.what}, epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """After each epoch: its averages. seconds: since the epoch before, or since the run went on."""
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **module.averages(),
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": round(time.monotonic() - self.begun, 2),
        }
        self.begun = time.monotonic()
        if trainer.is_global_zero:
            add_row(self.path, row)


def add_row(path: Path, row: dict[str, float]) -> None:
    """Put an epoch's row into the CSV at `path`, in place of that epoch and later ones; atomic."""
    table = pd.DataFrame([row])
    if path.is_file():
        earlier = pd.read_csv(path)
        table = pd.concat([earlier[earlier["epoch"] < row["epoch"]], table])
    with whole(path) as partial:
        table.to_csv(partial, index=False)
