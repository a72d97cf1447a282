"""Held-out videos, and scoring a network on them during training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from dfd.faces.records import VideoRecord
from dfd.inference.bundle import Bundle
from dfd.inference.forward import device_of
from dfd.inference.info import BundleInfo
from dfd.inference.predict import score_videos
from dfd.models.checkpoint import Header
from dfd.scoring.metrics import evaluate

Done = Callable[[int, int], None]
"""Called with (number done, total)."""

ON_CURVE = 1000
"""Maximum number of videos for a row of metrics.csv: with thousands, measuring would take longer than training."""


@dataclass(frozen=True)
class HeldVideos:
    """Videos that a training does not see. It can be pickled.

    They are scored as in cross-validation, by the plain rule: a video without a face gets 0.5.
    """

    records: tuple[VideoRecord, ...]
    header: Header

    @classmethod
    def sampled(cls, records: Sequence[VideoRecord], header: Header) -> "HeldVideos | None":
        """At most ON_CURVE of `records`, evenly spread; None without records."""
        return cls(tuple(records[:: math.ceil(len(records) / ON_CURVE)]), header) if records else None

    def labels(self) -> dict[str, int]:
        """1 fake or 0 real, by name."""
        return {record.video: int(record.label or 0) for record in self.records}

    def probabilities(self, model: nn.Module, progress: Done | None = None) -> dict[str, float]:
        """Probability of being fake, by name, from a model in evaluation mode.

        NaN for a video whose faces cannot be read or whose logits are not finite.
        """
        bundle = Bundle(BundleInfo(faces=self.header.faces, members=()), ((model, self.header),))
        found: dict[str, float] = {}
        for start in range(0, len(self.records), bundle.at_once.videos):
            part = self.records[start : start + bundle.at_once.videos]
            scores = score_videos(part, bundle)
            found |= {score.name: math.nan if score.status == "error" else score.probability for score in scores}
            if progress:
                progress(len(found), len(self.records))
        return found

    def measure(self, model: nn.Module, progress: Done | None = None) -> dict[str, float]:
        """held_loss, the balanced log loss, and held_auc; NaN if a class is missing or a score is not finite.

        The random state and the model's mode are restored.
        """
        learning, device = model.training, device_of(model)
        model.eval()
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                found, labels = self.probabilities(model, progress), self.labels()
        finally:
            model.train(learning)
        if not all(map(math.isfinite, found.values())):
            return {"held_loss": math.nan, "held_auc": math.nan}
        measures = evaluate([labels[name] for name in found], list(found.values()), rounds=0)
        return {"held_loss": _number(measures["balanced_log_loss"]), "held_auc": _number(measures["auc"])}


def _number(measure: float | None) -> float:
    return math.nan if measure is None else measure
