"""The training step: any model of the registry, binary cross-entropy on clips, AdamW with warm-up and cosine."""

import math
from typing import Any

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.config import Config
from dfd.models.checkpoint import KEY, Header
from dfd.types import Clips

import pytorch_lightning as pl  # isort: skip


class TrainConfig(Config):
    """How a model is trained. Saved with it."""

    epochs: int = Field(8, ge=1, le=10_000, description="times that every training video is gone through")
    slices: int = Field(
        2, ge=1, le=1000, description="clips an epoch of each video of the commoner class; the rarer gives more"
    )
    per_load: int = Field(2, ge=1, le=100, description="clips taken of a track each time that it is opened")
    batch: int = Field(8, ge=1, le=4096, description="clips a step")
    lr: float = Field(1e-3, gt=0, le=1, description="peak learning rate of what starts untrained")
    backbone_lr: float = Field(0.1, gt=0, le=1, description="learning rate of a pretrained backbone, as a factor of lr")
    weight_decay: float = Field(0.01, ge=0, le=1, description="AdamW's weight decay")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    smoothing: float = Field(
        0.05, ge=0, lt=0.5, description="label smoothing: 1 becomes 1 - smoothing, 0 becomes smoothing"
    )
    flip: bool = Field(True, description="mirror half of the clips")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient")
    precision: str = Field(
        "32-true", pattern="^(32-true|bf16-mixed|16-mixed)$", description="of arithmetic: 32-true, bf16-mixed, 16-mixed"
    )
    loaders: int = Field(0, ge=0, le=64, description="processes that load clips; 0 loads in the training process")
    seed: int = Field(0, ge=0, description="of weights, clips and order")


class ClipClassifier(pl.LightningModule):
    """A model of the registry under Lightning's loop, which never asks which one it holds."""

    def __init__(self, model: nn.Module, config: TrainConfig, header: Header) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.header = header

    def on_train_epoch_start(self) -> None:
        """An epoch's dropout and mirroring hang on its number alone, so that a resumed run draws the same."""
        torch.manual_seed(self.config.seed * 100_003 + self.current_epoch)

    def training_step(self, batch: Clips, _: int) -> torch.Tensor:
        """Mean loss of the batch."""
        images = batch.images
        if self.config.flip:
            mirrored = torch.rand(len(images), device=images.device) < 0.5
            images = torch.where(mirrored[:, None, None, None, None], images.flip(-1), images)
        logits = self.model(images)
        targets = batch.labels * (1 - 2 * self.config.smoothing) + self.config.smoothing
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        with torch.no_grad():
            plain = F.binary_cross_entropy_with_logits(logits, batch.labels)
            right = ((logits > 0) == (batch.labels > 0.5)).float().mean()
        values = {"loss": plain, "accuracy": right}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW: pretrained weights slowly, the rest at lr; no decay of biases and normalisation."""
        pretrained = {id(p) for p in self._pretrained()}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.setdefault((id(parameter) in pretrained, parameter.ndim > 1), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": self.config.lr * (self.config.backbone_lr if slow else 1),
                    "weight_decay": self.config.weight_decay if decays else 0.0,
                }
                for (slow, decays), parameters in groups.items()
            ]
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint says what it is and how to feed it."""
        checkpoint[KEY] = self.header.model_dump(mode="json")

    def transfer_batch_to_device(self, batch: Clips, device: torch.device, dataloader_idx: int) -> Clips:
        """Lightning rebuilds dataclasses in place, which frozen ones refuse."""
        return Clips(
            batch.images.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True), batch.names
        )

    def _pretrained(self) -> list[nn.Parameter]:
        """The backbone's parameters, where it started from weights."""
        backbone = getattr(self.model, "backbone", None)
        return list(backbone.parameters()) if self.header.model.weights and isinstance(backbone, nn.Module) else []

    def _rate(self, step: int) -> float:
        """The factor on the learning rate: linear warm-up, then half a cosine down to 0."""
        steps = int(self.trainer.estimated_stepping_batches)
        rise = max(1, round(self.config.warmup * steps))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))
