"""The clock of a training: it stops in time, and no kill costs more than the last few minutes."""

import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import OutOfTimeError
from dfd.training.curve import Curve

import pytorch_lightning as pl  # isort: skip

SAVE_EVERY = 600.0
"""Seconds between two checkpoints, and two points of the curve, where epochs are longer."""

RESTS = 9
"""Times as long as a point of the curve takes, training goes on before there is another within an epoch."""


@dataclass(frozen=True)
class Means:
    """By what means a training is carried out; they do not change what it learns.

    until: time.monotonic() at which it must have stopped; None for no such time. devices: GPUs, or processes where
    there is none, that share each batch, on each of `nodes` machines.
    """

    until: float | None = None
    devices: int = 1
    nodes: int = 1

    @classmethod
    def of(cls, hours: float | None, devices: int = 1, nodes: int = 1) -> "Means":
        """Means that last `hours` from now."""
        return cls(None if hours is None else time.monotonic() + 3600 * hours, devices, nodes)

    @property
    def processes(self) -> int:
        """How many share each batch, on all machines."""
        return self.devices * self.nodes

    def check(self) -> None:
        """Raises OutOfTimeError when the time is up."""
        if self.until is not None and time.monotonic() >= self.until:
            raise OutOfTimeError("the time was up")


ALONE = Means()
"""One device, and no hurry."""


class Clock(pl.Callback):
    """After each step of a ClipClassifier: saves when that is long ago, and stops when there is no time for another.

    Raises OutOfTimeError out of the loop then, once all is saved; likewise after a SIGTERM. The steps of an epoch that
    are done are done.
    """

    def __init__(self, checkpoint: Path, until: float | None, curve: Curve) -> None:
        self.checkpoint, self.until, self.curve = checkpoint, until, curve
        self.asked = False
        self.slowest = self.saving = 0.0
        self.last = self.saved = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Lightning's own answer to SIGTERM saves nothing; it puts back what was there before, at its end."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Between two epochs: the last one's checkpoint is written."""
        self.last = self.saved = time.monotonic()
        if self.slowest and self._agreed(trainer, self._up()):
            self._stop(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Between two steps, where weights and counts agree; at an epoch's end its own checkpoint is next."""
        now = time.monotonic()
        self.slowest, self.last = max(0.99 * self.slowest, now - self.last), now
        if trainer.is_last_batch or trainer.fit_loop._should_accumulate():
            return
        up, due = self._agreed(trainer, self._up()), self._agreed(trainer, now - self.saved >= SAVE_EVERY)
        if up or due:
            self._save(trainer)
        if up:
            self._stop(trainer, module)
        if due and self._agreed(trainer, now - self.curve.begun >= RESTS * self._measuring(), every=True):
            self.curve.point(trainer, module)
            self.saved = self.last = time.monotonic()

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def _up(self) -> bool:
        """Whether another step would be too long."""
        more = 2 * self.slowest + self.saving + self._measuring()
        return self.asked or (self.until is not None and time.monotonic() + more >= self.until)

    def _measuring(self) -> float:
        """Seconds that a point of the curve takes at most: known to the first device alone, which measures."""
        return sum(self.curve.took.values())

    def _agreed(self, trainer: pl.Trainer, decision: bool, every: bool = False) -> bool:
        """What is so on one device, or on `every` one, is so on all: no two clocks agree."""
        return decision if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(decision, all=every)

    def _stop(self, trainer: pl.Trainer, module: Any) -> None:
        why = "SIGTERM came" if self.asked else "the time was up"
        at = f"step {trainer.global_step} of {module.steps}, in epoch {trainer.current_epoch + 1}"
        raise OutOfTimeError(f"{why} at {at}")

    def _save(self, trainer: pl.Trainer) -> None:
        begun = time.monotonic()
        trainer.save_checkpoint(self.checkpoint)
        self.saved = self.last = time.monotonic()
        self.saving = max(self.saving, self.saved - begun)
