"""One training: a run folder with its settings, its curve and a checkpoint that carries all it takes to be used.

config.json              recipe, seed, data, versions
metrics.csv              a row an epoch and every ten minutes: loss and accuracy on training clips, and the balanced
                         log loss and AUC of what is kept aside, if anything is
checkpoints/last.ckpt    weights, optimizer, header; what a stopped run goes on from
done                     there once the training has ended
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from dfd.clips.balance import balance
from dfd.clips.dataset import SliceDataset, TrainingClips
from dfd.clips.pairs import PairDataset
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.records import VideoRecord
from dfd.faces.tracklets import FacesConfig
from dfd.files import digest, sweep, write_bytes, write_json
from dfd.models.checkpoint import Header
from dfd.training.clock import ALONE, Means
from dfd.training.devices import carry_out
from dfd.training.held import Held, HeldVideos
from dfd.training.lineage import lineage
from dfd.training.loop import Job, seeded_model
from dfd.training.patience import judges
from dfd.training.recipes import Recipe
from dfd.versions import versions

CHECKPOINT = Path("checkpoints") / "last.ckpt"
DONE = "done"
ABOUT = ("versions", "parameters")
"""What config.json says beside the settings: they do not tell one run from another."""


def usable(videos: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The videos that can be trained on: with a label and a face."""
    return [video for video in videos if video.label is not None and video.tracklets]


def content(videos: Sequence[VideoRecord]) -> str:
    """What tells one dataset from another: names, labels, sources, and films, whose names hold their digest."""
    return digest(
        (v.video, v.label, v.source, *sorted({getattr(t.film, "name", "") for t in v.tracklets})) for v in videos
    )


def train(
    videos: Sequence[VideoRecord],
    faces: FacesConfig,
    recipe: Recipe,
    out: Path,
    what: str = "training",
    progress: Progress | None = None,
    means: Means = ALONE,
    held: Sequence[VideoRecord] = (),
    groups: Mapping[str, str] | None = None,
) -> Path:
    """Train on `videos` in the run folder `out`; returns the checkpoint's path.

    held: videos that are kept aside, on which the curve measures the model. groups: what patience keeps together, by
    video; sources if None.
    A finished run with the same settings and data is returned as it is, a stopped one goes on. Raises ConfigError when
    `out` holds another run, a class is missing, or the clips are wider than the stored crops; OutOfTimeError at
    `means.until`; StoreError naming a film that cannot be read; TrainingError when the disk is full.
    """
    videos = usable(videos)
    check_margin(recipe, faces)
    grouped = groups or {video.video: video.source for video in videos}
    judging = judges(((v.video, v.label or 0, grouped[v.video]) for v in videos), recipe.train)
    clips, prior = training_clips([video for video in videos if video.video not in judging], recipe)
    header = Header(
        model=recipe.model,
        clip=recipe.clip,
        faces=faces,
        prior=prior,
        training=recipe.model_dump(mode="json", exclude={"model", "clip"}),
        videos=lineage(recipe.model.weights, *((v.video, v.source, *v.people) for v in videos)),
    )
    data = {"videos": {video.video: video.label for video in videos}, "content": content([*videos, *held])}
    kept_aside = HeldVideos(tuple(held), header) if held else None
    judged = HeldVideos(tuple(v for v in videos if v.video in judging), header) if judging else None
    return run(clips, header, recipe, data, out, what, progress, means, kept_aside, judged)


def check_margin(recipe: Recipe, faces: FacesConfig) -> None:
    """Raises ConfigError where the clips are wider than the stored crops."""
    if recipe.clip.margin > faces.margin:
        raise ConfigError(
            f"clip.margin is {recipe.clip.margin}, wider than the stored crops' {faces.margin}: "
            "lower it, or build the crops wider"
        )


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
    means: Means = ALONE,
    held: Held | None = None,
    judged: Held | None = None,
) -> Path:
    """Train `recipe` on `clips` in the run folder `out`, or go on there; returns the checkpoint's path.

    data: what is trained on: another run's folder is told by it. Raises as train does.
    """
    _check_batch(recipe, clips.clips, means.devices)
    model = seeded_model(recipe)  # before anything is written: a model that cannot be built leaves no folder
    claim(out, settings(recipe, header.faces, data), model)
    if not (out / DONE).exists():
        carry_out(
            Job(recipe, header, clips, out / CHECKPOINT, out / "metrics.csv", what, means, held, judged), progress
        )
        write_bytes(out / DONE, b"", durable=True)
    return out / CHECKPOINT


def _check_batch(recipe: Recipe, together: int, devices: int) -> None:
    """Raises ConfigError unless each device gets a part of a batch that holds the clips that come together."""
    batch = recipe.train.batch
    if batch < together * devices:
        shared = f" on each of {devices} devices" if devices > 1 else ""
        raise ConfigError(
            f"batch is {batch}, less than the {together} clips that come together{shared}: raise it, or lower "
            f"per_load, {recipe.train.per_load}"
        )
    if batch // together % devices:
        raise ConfigError(
            f"batch is {batch}, {batch // together} times the {together} clips that come together, which {devices} "
            f"devices cannot share alike: make it a multiple of {together * devices}"
        )


def settings(recipe: Recipe, faces: FacesConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a run, but for the versions that it was made with."""
    return {"recipe": recipe.model_dump(mode="json"), "faces": faces.model_dump(mode="json"), **data}


def claim(out: Path, config: dict[str, Any], model: nn.Module) -> None:
    """Make `out` the folder of a run of `model` with `config`, or check that it is.

    Raises ConfigError when it is another's.
    """
    path = out / "config.json"
    config = json.loads(json.dumps({**config}, default=str))
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            there = None
        there = {key: value for key, value in there.items() if key not in ABOUT} if isinstance(there, dict) else {}
        if there != config:
            changed = ", ".join(_changed(there, config)[:4]) or "its contents"
            raise ConfigError(
                f"{out} is a run with other settings or data ({changed}): name another folder, or delete it"
            )
        sweep(out)
        return
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"{out} is not empty and not a run (no config.json): name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    about = {"versions": versions(), "parameters": sum(parameter.numel() for parameter in model.parameters())}
    write_json(path, {**config, **about}, durable=True)


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
