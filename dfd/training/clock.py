"""The clock of a training: it stops in time, and no kill costs more than the last few minutes."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import OutOfTimeError

import pytorch_lightning as pl  # isort: skip

SAVE_EVERY = 600.0
"""Seconds between two checkpoints, where epochs are longer."""


@dataclass(frozen=True)
class Means:
    """By what means a training is carried out; they do not change what it learns.

    until: time.monotonic() at which it must have stopped; None for no such time. devices: GPUs, or processes where
    there is none, that share each batch.
    """

    until: float | None = None
    devices: int = 1

    @classmethod
    def of(cls, hours: float | None, devices: int = 1) -> "Means":
        """Means that last `hours` from now."""
        return cls(None if hours is None else time.monotonic() + 3600 * hours, devices)

    def check(self) -> None:
        """Raises OutOfTimeError when the time is up."""
        if self.until is not None and time.monotonic() >= self.until:
            raise OutOfTimeError("the time was up")


ALONE = Means()
"""One device, and no hurry."""


class Clock(pl.Callback):
    """After each step of a ClipClassifier: saves when that is long ago, and stops when another step would be too long.

    Raises OutOfTimeError out of the loop then, once all is saved. The steps of an epoch that are done are done.
    """

    def __init__(self, checkpoint: Path, until: float | None) -> None:
        self.checkpoint, self.until = checkpoint, until
        self.slowest = self.saving = 0.0
        self.last = self.saved = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Between two steps, where weights and counts agree; at an epoch's end its own checkpoint is next."""
        now = time.monotonic()
        self.slowest, self.last = max(0.99 * self.slowest, now - self.last), now
        if trainer.is_last_batch or trainer.fit_loop._should_accumulate():
            return
        up = self.until is not None and now + 2 * self.slowest + self.saving >= self.until
        due = now - self.saved >= SAVE_EVERY
        if trainer.world_size > 1:  # no two clocks agree: all stop where one must
            up, due = (trainer.strategy.reduce_boolean_decision(decision, all=False) for decision in (up, due))
        if up or due:
            self._save(trainer, now)
        if up:
            at = f"step {trainer.global_step} of {module.steps}, in epoch {trainer.current_epoch + 1}"
            raise OutOfTimeError(f"the time was up at {at}")

    def _save(self, trainer: pl.Trainer, now: float) -> None:
        trainer.save_checkpoint(self.checkpoint)
        self.saved = self.last = time.monotonic()
        self.saving = max(self.saving, self.saved - now)
