"""Early stopping on a held-out fifth of the training videos."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import ConfigError
from dfd.models.weights import write_tensors
from dfd.scoring.folds import assign_folds, check_folds
from dfd.training.config import TrainConfig
from dfd.training.curve import Curve
from dfd.training.held import HeldVideos

import pytorch_lightning as pl  # isort: skip

INNER = 5
"""Number of parts into which the training videos are split; one is held out."""


def judges(rows: Iterable[tuple[str, int, str]], config: TrainConfig) -> set[str]:
    """Names of the videos to hold out. rows: (name, label, group); groups stay whole. Empty without patience.

    Raises ConfigError when the rows cannot be split so that all parts have both classes.
    """
    if not config.patience:
        return set()
    names, labels, groups = zip(*rows, strict=True)
    try:
        frame = assign_folds(names, labels, groups, INNER, config.seed)
    except ConfigError as error:
        raise ConfigError(f"--train.patience takes one of {INNER} parts to judge by: {error}") from None
    check_folds(frame)
    return set(frame.loc[frame["fold"] == 0, "filename"])


class Patience(pl.Callback):
    """After each epoch: measures the model on `held` and keeps the best weights so far.

    Ends the training after `epochs` epochs without a lower balanced log loss. Must run before `curve`, whose row
    includes the loss as inner_loss. Its state is saved in the checkpoint.
    """

    def __init__(self, held: HeldVideos, epochs: int, curve: Curve) -> None:
        self.held, self.epochs, self.curve = held, epochs, curve
        self.best, self.since, self.weights = float("inf"), 0, dict[str, torch.Tensor]()

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Stop at once if the run had ended."""
        trainer.should_stop = trainer.should_stop or self.since >= self.epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Measure on the first device; all devices stop together."""
        loss = float("nan")
        if trainer.is_global_zero:
            loss = self.curve.measure(self.held, "judging", trainer, module)["held_loss"]
        loss = float(trainer.strategy.broadcast(loss))
        self.curve.more = {"inner_loss": loss}
        self.since += 1
        if loss < self.best:
            self.best, self.since = loss, 0
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in module.kept().state_dict().items()}
        trainer.should_stop = trainer.should_stop or self.since >= self.epochs

    def state_dict(self) -> dict[str, Any]:
        """Its state in the checkpoint."""
        return {"best": self.best, "since": self.since, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore that state."""
        self.best, self.since, self.weights = state["best"], state["since"], state["weights"]

    def keep_best(self, checkpoint: Path) -> None:
        """At the end replace the checkpoint's last weights by the best. Raises OSError on a full disk."""
        if not self.weights:
            return
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        saved["state_dict"] = {f"model.{name}": tensor for name, tensor in self.weights.items()}
        write_tensors(checkpoint, saved, durable=True)
