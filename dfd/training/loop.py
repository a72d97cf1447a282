"""Run one training on one or several devices: Lightning's Trainer with our module, loader and callbacks."""

import errno
import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from dfd.clips.dataset import EpochSampler, TrainingClips, collate, one_thread
from dfd.errors import DfdError, OutOfTimeError, TrainingError
from dfd.models.checkpoint import Header, build_model
from dfd.models.weights import write_tensors
from dfd.training.clock import Clock, Runtime
from dfd.training.curve import Curve
from dfd.training.held import HeldVideos
from dfd.training.module import ClipClassifier
from dfd.training.patience import Patience
from dfd.training.recipes import Recipe
from dfd.types import Clips

import pytorch_lightning as pl  # isort: skip
from pytorch_lightning.callbacks import ModelCheckpoint  # isort: skip
from pytorch_lightning.plugins import TorchCheckpointIO  # isort: skip
from pytorch_lightning.strategies import DDPStrategy  # isort: skip

CHECKPOINT = Path("checkpoints") / "last.ckpt"
"""Path in a run folder."""
LOADERS = "in DataLoader worker process"
PATIENT = timedelta(hours=6)
"""How long a device waits for the first, which measures held-out videos. devices.py detects one that died."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a full disk or quota."""


@dataclass(frozen=True)
class Job:
    """A training, in a form that can be sent to a process. out: its run folder.

    held: videos for the curve; judged: videos for patience; None for none.
    """

    recipe: Recipe
    header: Header
    clips: TrainingClips
    out: Path
    runtime: Runtime
    held: HeldVideos | None = None
    judged: HeldVideos | None = None

    @property
    def checkpoint(self) -> Path:
        """The file to write the model to."""
        return self.out / CHECKPOINT


def seeded_model(recipe: Recipe) -> nn.Module:
    """The untrained network of `recipe`, seeded. Raises ConfigError, CheckpointError."""
    torch.manual_seed(recipe.train.seed)
    return build_model(recipe.model, recipe.clip)


def learn(job: Job, rank: int) -> None:
    """Train, resuming from the checkpoint if there is one. rank: of this process among those that share each batch.

    Raises OutOfTimeError when time is up or after a SIGTERM, TrainingError when the disk is full; the last checkpoint
    stays complete.
    """
    config, runtime = job.recipe.train, job.runtime
    model, loader = seeded_model(job.recipe), ClipLoader(job, rank)
    # Count the steps here: Lightning would create the loaders to count them, before it restores their state.
    module = ClipClassifier(model, config, job.header, steps=config.epochs * -(-len(loader) // config.accumulate))
    curve = Curve(job.out / "metrics.csv", runtime.what, runtime.progress, job.held)
    clock = Clock(job.checkpoint, runtime.until, curve)
    patience = [Patience(job.judged, config.patience, curve)] if job.judged else []
    with _quiet(), _from_loaders(), _full_disk(job.checkpoint):
        trainer = pl.Trainer(
            max_epochs=config.epochs,
            accelerator="auto",
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            strategy=DDPStrategy(timeout=PATIENT) if runtime.processes > 1 else "auto",
            precision=config.precision,  # type: ignore[arg-type]
            gradient_clip_val=config.clip_norm,
            accumulate_grad_batches=config.accumulate,
            plugins=WholeCheckpoints(),
            logger=False,
            callbacks=[
                *patience,
                curve,
                clock,
                # Lightning calls ModelCheckpoint last.
                ModelCheckpoint(job.checkpoint.parent, job.checkpoint.stem, save_top_k=1, enable_version_counter=False),
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        resumed = job.checkpoint if job.checkpoint.is_file() else None
        try:
            trainer.fit(module, loader, ckpt_path=resumed, weights_only=True)
        except SystemExit:  # Lightning turns Ctrl-C into this, and then ignores it
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        if patience and rank == 0:
            patience[0].keep_best(job.checkpoint)
    if clock.asked:
        raise OutOfTimeError(f"SIGTERM came at the end of {runtime.what}")


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints atomically and durably. Lightning's own go through /tmp, which may be on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a complete checkpoint or none. Raises OSError when the disk is full."""
        write_tensors(Path(path), checkpoint, durable=True)


class ClipLoader(DataLoader[Clips]):
    """Batches of training clips for one device. It can resume in the middle of an epoch."""

    def __init__(self, job: Job, rank: int) -> None:
        config, devices = job.recipe.train, job.runtime.processes
        self.order = EpochSampler(len(job.clips), config.seed, rank, devices)
        super().__init__(
            job.clips,
            batch_size=config.batch // job.clips.clips // devices,
            sampler=self.order,
            collate_fn=collate,
            num_workers=config.loaders,
            worker_init_fn=one_thread,
            persistent_workers=config.loaders > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, since the global one differs after a resume
        )
        self.batches = self.done = 0

    def __iter__(self) -> Any:
        """Yield the rest of the epoch's batches, counting them when used, not when prefetched."""
        self.batches, self.done = self.done, 0
        for batch in super().__iter__():
            self.batches += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Number of batches done in this epoch; Lightning saves it in the checkpoint."""
        return {"batches": self.batches % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the finished batches, in the next epoch only."""
        self.done = state["batches"]
        self.order.skip = self.done * (self.batch_size or 1)


@contextmanager
def _from_loaders() -> Iterator[None]:
    """Context that strips the traceback that torch adds to errors of loader processes."""
    try:
        yield
    except DfdError as error:
        if LOADERS not in str(error):
            raise
        raise type(error)(str(error).strip().splitlines()[-1].partition(": ")[2]) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Context that silences Lightning's warnings about intended settings."""
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        yield


@contextmanager
def _full_disk(checkpoint: Path) -> Iterator[None]:
    """Context that turns the error of a full disk into one line. Only a complete checkpoint replaces the last one."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        kept = f"{checkpoint} is as it was: the same command goes on" if checkpoint.is_file() else "nothing was kept"
        raise TrainingError(f"the disk is full ({error.strerror}) at {error.filename or checkpoint}; {kept}") from error
