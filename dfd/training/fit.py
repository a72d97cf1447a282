"""One training: a run folder with its settings, its curve and a checkpoint that carries all it takes to be used.

config.json              recipe, seed, data, versions
metrics.csv              a row an epoch: loss and accuracy on training clips
checkpoints/last.ckpt    weights, optimizer, header; what a stopped run goes on from
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from dfd.clips.balance import balance
from dfd.clips.dataset import EpochSampler, SliceDataset, TrainingClips, collate, one_thread
from dfd.clips.pairs import PairDataset
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.extract import FacesConfig
from dfd.faces.store import VideoRecord
from dfd.models.checkpoint import Header, build_model, versions
from dfd.training.module import ClipClassifier
from dfd.training.recipes import Recipe

import pytorch_lightning as pl  # isort: skip
from pytorch_lightning.callbacks import ModelCheckpoint  # isort: skip
from pytorch_lightning.loggers import CSVLogger  # isort: skip

CHECKPOINT = Path("checkpoints") / "last.ckpt"


class Told(pl.Callback):
    """Tells `progress` of every step."""

    def __init__(self, progress: Progress, what: str) -> None:
        self.progress, self.what = progress, what

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """After each step."""
        steps = int(trainer.estimated_stepping_batches)
        self.progress(trainer.global_step, steps, f"{self.what}, epoch {trainer.current_epoch + 1}")


def usable(videos: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The videos that can be trained on: with a label and a track."""
    return [video for video in videos if video.label is not None and video.tracks]


def train(
    videos: Sequence[VideoRecord],
    faces: FacesConfig,
    recipe: Recipe,
    out: Path,
    what: str = "training",
    progress: Progress | None = None,
) -> Path:
    """Train on `videos` in the run folder `out`; returns the checkpoint's path.

    A finished run with the same settings and data is returned as it is, a stopped one goes on. Raises ConfigError when
    `out` holds another run, a class is missing, or the clips are wider than the stored crops.
    """
    videos = usable(videos)
    if recipe.clip.margin > faces.margin:
        raise ConfigError(
            f"clip.margin is {recipe.clip.margin}, wider than the stored crops' {faces.margin}: "
            "lower it, or build the crops wider"
        )
    clips, prior = training_clips(videos, recipe)
    header = Header(
        model=recipe.model,
        clip=recipe.clip,
        faces=faces,
        prior=prior,
        training=recipe.model_dump(mode="json", exclude={"model", "clip"}),
        videos=tuple(video.video for video in videos),
    )
    data = {"videos": {video.video: video.label for video in videos}}
    return run(clips, header, recipe, data, out, what, progress)


def training_clips(videos: Sequence[VideoRecord], recipe: Recipe) -> tuple[TrainingClips, float]:
    """What `recipe` draws from `videos`, and the share of fakes in it. Raises ConfigError when a class is missing."""
    config = recipe.train
    if config.balance == "pairs":
        return PairDataset(videos, recipe.clip, config, recipe.augment, recipe.blend), 0.5
    if config.self_blend or config.mixup or config.cutmix:
        raise ConfigError("self_blend, mixup and cutmix need a real clip beside each fake: set balance to pairs")
    share = balance([video.label or 0 for video in videos], config.slices)
    return SliceDataset(videos, recipe.clip, share, config, recipe.augment), share.prior


def run(
    clips: TrainingClips,
    header: Header,
    recipe: Recipe,
    data: dict[str, Any],
    out: Path,
    what: str = "training",
    progress: Progress | None = None,
) -> Path:
    """Train `recipe` on `clips` in the run folder `out`, or go on there; returns the checkpoint's path.

    data: names of what is trained on, with labels: another run's folder is told by it. Raises ConfigError when `out`
    holds another run.
    """
    if recipe.train.batch < clips.clips:
        raise ConfigError(
            f"batch is {recipe.train.batch}, less than the {clips.clips} clips that come together: raise it, or lower "
            f"per_load, {recipe.train.per_load}"
        )
    model = seeded_model(recipe)  # before anything is written: a model that cannot be built leaves no folder
    claim(out, settings(recipe, header.faces, data))
    if not (out / "done").exists():
        _fit(ClipClassifier(model, recipe.train, header), clips, out, what, progress)
        (out / "done").touch()
    return out / CHECKPOINT


def settings(recipe: Recipe, faces: FacesConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a run, but for the versions that it was made with."""
    return {"recipe": recipe.model_dump(mode="json"), "faces": faces.model_dump(mode="json"), **data}


def claim(out: Path, config: dict[str, Any]) -> None:
    """Make `out` the folder of a run with `config`, or check that it is. Raises ConfigError when it is another's."""
    path = out / "config.json"
    config = json.loads(json.dumps({**config}, default=str))
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            there = None
        there = {key: value for key, value in there.items() if key != "versions"} if isinstance(there, dict) else {}
        if there != config:
            changed = ", ".join(_changed(there, config)[:4]) or "its contents"
            raise ConfigError(
                f"{out} is a run with other settings or data ({changed}): name another folder, or delete it"
            )
        return
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"{out} is not empty and not a run (no config.json): name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    partial = out / ".config.json.partial"
    partial.write_text(json.dumps({**config, "versions": versions()}, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def seeded_model(recipe: Recipe) -> nn.Module:
    """The network of `recipe` as it is before training, by its seed. Raises ConfigError, CheckpointError."""
    torch.manual_seed(recipe.train.seed)
    return build_model(recipe.model, recipe.clip)


def _fit(module: ClipClassifier, dataset: TrainingClips, out: Path, what: str, progress: Progress | None) -> None:
    config, checkpoint = module.config, out / CHECKPOINT
    loader = DataLoader(
        dataset,
        batch_size=max(1, config.batch // dataset.clips),
        sampler=EpochSampler(len(dataset), config.seed),
        collate_fn=collate,
        num_workers=config.loaders,
        worker_init_fn=one_thread,
        persistent_workers=config.loaders > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, or it would draw from the model's, and elsewhere when resumed
    )
    keeper = ModelCheckpoint(checkpoint.parent, checkpoint.stem, save_top_k=1, enable_version_counter=False)
    with _quiet():
        trainer = pl.Trainer(
            max_epochs=config.epochs,
            accelerator="auto",
            devices=1,
            precision=config.precision,  # type: ignore[arg-type]
            gradient_clip_val=config.clip_norm,
            accumulate_grad_batches=config.accumulate,
            logger=CSVLogger(out, name="", version=""),
            callbacks=[keeper, *([Told(progress, what)] if progress else [])],
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, loader, ckpt_path=checkpoint if checkpoint.is_file() else None, weights_only=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's remarks are about its defaults, which are chosen here with care."""
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        yield


def _changed(old: dict[str, Any], new: dict[str, Any], at: str = "") -> list[str]:
    """Names of the settings that differ."""
    names = []
    for key in {**old, **new}:
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _changed(a, b, f"{at}{key}.")
        elif a != b:
            names.append(f"{at}{key}: {a!r}, now {b!r}")
    return names
