"""The clock of a training: it stops in time, and no kill costs more than the last few minutes."""

import signal
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import OutOfTimeError
from dfd.faces.build import Progress
from dfd.training.curve import Curve

import pytorch_lightning as pl  # isort: skip

SAVE_EVERY = 600.0
"""Seconds between two checkpoints, and two points of the curve, where epochs are longer."""

RESTS = 9
"""Times as long as a point of the curve takes, training goes on before there is another within an epoch."""


@dataclass(frozen=True)
class Runtime:
    """How a training runs, which does not change what it learns.

    progress: called with (done, of how many, a few words); None for silence. until: the time.monotonic() at which it
    must have stopped; None for no limit. devices: GPUs, or processes without a GPU, that share each batch, on each of
    `nodes` machines. what: begins each message.
    """

    progress: Progress | None = None
    until: float | None = None
    devices: int = 1
    nodes: int = 1
    what: str = "training"

    @staticmethod
    def deadline(hours: float | None) -> float | None:
        """`until`, `hours` from now; None for no limit."""
        return None if hours is None else time.monotonic() + 3600 * hours

    @property
    def processes(self) -> int:
        """How many processes share each batch, on all machines."""
        return self.devices * self.nodes

    def report(self, done: int, total: int, words: str) -> None:
        """Report progress. Raises OutOfTimeError when the time is up."""
        if self.until is not None and time.monotonic() >= self.until:
            raise OutOfTimeError("the time was up")
        if self.progress:
            self.progress(done, total, f"{self.what}, {words}")

    def part(self, number: int, of: int, what: str) -> "Runtime":
        """The same for one of `of` equal parts, from 0: its progress is a share of the whole."""
        return replace(self, progress=self.progress and partial(_shift, self.progress, number, of), what=what)


def _shift(progress: Progress, number: int, of: int, done: int, total: int, words: str) -> None:
    progress(number * total + done, of * total, words)


PLAIN = Runtime()
"""One device, no limit, no progress."""


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
