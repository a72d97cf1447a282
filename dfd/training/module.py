"""The training step of any model: binary cross-entropy on clips, warm-up and cosine schedule, EMA of the weights."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.models.checkpoint import KEY, Header
from dfd.models.frozen import fold_frozen
from dfd.training.config import TrainConfig
from dfd.training.optimizers import create_optimizer
from dfd.types import Clips

import pytorch_lightning as pl  # isort: skip

LEARNING = "learning"
"""Key of a checkpoint: the weights being trained, when "state_dict" holds their EMA."""
Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]
SUMS = "told"
"""Key of a checkpoint: sums of its epoch so far. Existing checkpoints have it: do not rename it."""


class ClipClassifier(pl.LightningModule):
    """Any model of the registry as a LightningModule.

    steps: steps of the whole training, for the learning rate schedule.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, header: Header, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.model = model
        self.config = config
        self.header = header
        # In a list: as an attribute it would be registered as a submodule, and saved twice.
        self.average = [AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)] if config.ema else []
        self.sums = torch.zeros(3, dtype=torch.float64)

    def on_fit_start(self) -> None:
        """Set frozen layers to eval mode, through model.train(), and fold them; move the EMA to the model's device."""
        self.model.train()
        fold_frozen(self.model)  # not the EMA's, which is measured as it will be used
        for average in self.average:
            average.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Reset the epoch's sums of loss, correct clips and clips. A run resumed within an epoch keeps them."""
        self.sums.zero_()

    def on_train_batch_start(self, batch: Clips, batch_idx: int) -> None:
        """Seed dropout with the batch's number, so that a resumed run draws the same."""
        place = [self.config.seed, self.current_epoch, batch_idx, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def training_step(self, batch: Clips, _: int) -> torch.Tensor:
        """Mean loss of the batch."""
        logits = self.model(batch.images)
        targets = batch.labels * (1 - 2 * self.config.smoothing) + self.config.smoothing
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        with torch.no_grad():
            plain = F.binary_cross_entropy_with_logits(logits, batch.labels)
            right = ((logits > 0) == (batch.labels > 0.5)).sum()
            self.sums += torch.tensor([float(plain) * len(logits), float(right), len(logits)], dtype=torch.float64)
        return loss

    def running_loss(self) -> float:
        """Mean loss of the epoch's training clips so far, on this device."""
        return float(self.sums[0] / self.sums[2].clamp(min=1))

    def kept(self) -> nn.Module:
        """The model to save: the EMA if there is one, else the network itself."""
        return self.average[0].module if self.average else self.model

    def averages(self) -> dict[str, float]:
        """Loss and accuracy on the epoch's training clips so far, on all devices, before label smoothing."""
        loss, right, clips = self._of_all_devices().tolist()
        return {"loss": loss / max(1.0, clips), "accuracy": right / max(1.0, clips)}

    def _of_all_devices(self) -> torch.Tensor:
        """`sums` averaged over devices."""
        mean = self.trainer.strategy.reduce(self.sums.to(self.device, torch.float32), reduce_op="mean")
        return torch.as_tensor(mean, dtype=torch.float64).cpu()

    def configure_optimizers(self) -> Any:
        """Parameter groups: pretrained weights at a lower rate, biases and normalisation without decay."""
        pretrained = {id(p) for p in self._pretrained()}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.setdefault((id(parameter) in pretrained, parameter.ndim > 1), []).append(parameter)
        optimizer = create_optimizer(
            self.config.optimizer,
            [
                {
                    "params": parameters,
                    "lr": self.config.lr * (self.config.backbone_lr if slow else 1),
                    "weight_decay": self.config.weight_decay if decays else 0.0,
                }
                for (slow, decays), parameters in groups.items()
            ],
            fused=self.config.precision == "32-true",
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update the EMA after each step, not after each accumulated batch."""
        super().optimizer_step(*args, **kwargs)
        for average in self.average:
            average.update_parameters(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the header; save the EMA as the weights, if there is one."""
        checkpoint[KEY] = self.header.model_dump(mode="json")
        checkpoint[SUMS] = self._of_all_devices()
        for average in self.average:
            checkpoint[LEARNING] = checkpoint["state_dict"]
            mean = average.module.state_dict()
            checkpoint["state_dict"] = {f"model.{name}": tensor for name, tensor in mean.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the trained weights, the EMA and the epoch's sums."""
        self.sums = checkpoint[SUMS]
        for average in self.average:
            mean = checkpoint["state_dict"]
            average.module.load_state_dict({name.removeprefix("model."): tensor for name, tensor in mean.items()})
            average.n_averaged.fill_(checkpoint["global_step"])
            checkpoint["state_dict"] = checkpoint[LEARNING]

    def transfer_batch_to_device(self, batch: Clips, device: torch.device, dataloader_idx: int) -> Clips:
        """Move a batch. Lightning's default assigns to the dataclass, which is frozen."""
        return Clips(
            batch.images.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True), batch.names
        )

    def _pretrained(self) -> list[nn.Parameter]:
        """The backbone's parameters, if it started from weights; else none."""
        backbone = getattr(self.model, "backbone", None)
        return list(backbone.parameters()) if self.header.model.weights and isinstance(backbone, nn.Module) else []

    def _average(self, means: Tensors, now: Tensors, steps: torch.Tensor | int) -> None:
        """Move EMA tensors, all of one type, by one step, in place. All at once: one by one it takes twice as long.

        The decay rises from 0.1, so that the initial weights fade quickly.
        """
        if not means[0].is_floating_point():
            torch._foreach_copy_(means, now)
            return
        decay = min(self.config.ema, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(means, now, 1 - decay)

    def _rate(self, step: int) -> float:
        """Factor on the learning rate: linear warm-up, then half a cosine down to 0."""
        rise = max(1, round(self.config.warmup * self.steps))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, self.steps - rise))))
