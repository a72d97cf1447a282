"""The time limit of a training, and checkpoints within long epochs, so that a kill costs at most ten minutes."""

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
"""Seconds between two checkpoints, and between two rows of metrics.csv, within an epoch."""

RESTS = 9
"""A row within an epoch waits until training has taken this many times as long as measuring did."""


@dataclass(frozen=True)
class Runtime:
    """Settings of a training that do not affect what it learns.

    progress: called with (number done, total, a few words); None for silence. until: value of time.monotonic() at which
    it must have stopped; None for no limit. devices: number of GPUs, or of processes without a GPU, that share each
    batch, on each of `nodes` machines. what: prefix of each message. allow_seen: accept starting weights that were
    trained on some of the videos to score; the score says on how many.
    """

    progress: Progress | None = None
    until: float | None = None
    devices: int = 1
    nodes: int = 1
    what: str = "training"
    allow_seen: bool = False

    @staticmethod
    def deadline(hours: float | None) -> float | None:
        """`until`, `hours` from now; None for no limit."""
        return None if hours is None else time.monotonic() + 3600 * hours

    @property
    def processes(self) -> int:
        """Total number of processes that share each batch."""
        return self.devices * self.nodes

    def report(self, done: int, total: int, words: str) -> None:
        """Report progress. Raises OutOfTimeError when time is up."""
        if self.until is not None and time.monotonic() >= self.until:
            raise OutOfTimeError("the time was up")
        if self.progress:
            self.progress(done, total, f"{self.what}, {words}")

    def part(self, number: int, of: int, what: str) -> "Runtime":
        """Settings for one of `of` equal parts, counted from 0: its progress is a share of the whole."""
        return replace(self, progress=self.progress and partial(_shift, self.progress, number, of), what=what)


def _shift(progress: Progress, number: int, of: int, done: int, total: int, words: str) -> None:
    progress(number * total + done, of * total, words)


PLAIN = Runtime()
"""One device, no limit, no progress."""


class Clock(pl.Callback):
    """After each step: saves every SAVE_EVERY seconds, and stops when no time is left for another step.

    It stops, also after a SIGTERM, by saving and raising OutOfTimeError. A resumed run repeats no step.
    """

    def __init__(self, checkpoint: Path, until: float | None, curve: Curve) -> None:
        self.checkpoint, self.until, self.curve = checkpoint, until, curve
        self.asked = False
        self.slowest = self.saving = 0.0
        self.last = self.saved = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Replace Lightning's SIGTERM handler, which does not save. Lightning restores the first one at the end."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Check the time between two epochs, after the checkpoint of the last one."""
        self.last = self.saved = time.monotonic()
        if self.slowest and self._agreed(trainer, self._up()):
            self._stop(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Check the time between two steps, except at the end of an epoch, whose own checkpoint comes next."""
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
        """Whether no time is left for another step."""
        more = 2 * self.slowest + self.saving + self._measuring()
        return self.asked or (self.until is not None and time.monotonic() + more >= self.until)

    def _measuring(self) -> float:
        """Longest measuring time in seconds. Only the first device measures and knows it."""
        return sum(self.curve.took.values())

    def _agreed(self, trainer: pl.Trainer, decision: bool, every: bool = False) -> bool:
        """Agree on a decision, since the devices' clocks differ: true if any device or, with `every`, all say so."""
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
