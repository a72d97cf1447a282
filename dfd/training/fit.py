"""Run one training in its run folder: settings, curve, and a checkpoint with everything needed to use it.

config.json              recipe, seed, data, versions
metrics.csv              a row per epoch and every ten minutes: loss and accuracy on training clips, and balanced log
                         loss and AUC on held-out videos, if there are any
checkpoints/last.ckpt    weights, optimizer, header; a stopped run resumes from it
people.json              pairs of videos that show the same person, if faces were compared
done                     exists once the training has ended
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from dfd.clips.made import MadeFake
from dfd.errors import ConfigError
from dfd.faces.records import VideoRecord
from dfd.faces.tracklets import FacesConfig
from dfd.files import PARTIAL, sweep, write_bytes, write_json
from dfd.models.checkpoint import Header
from dfd.training.clock import PLAIN, Runtime
from dfd.training.datasets import Data, Datasets, content, usable
from dfd.training.devices import carry_out
from dfd.training.groups import PEOPLE
from dfd.training.held import HeldVideos
from dfd.training.launch import check_launch, wait_for
from dfd.training.lineage import lineage
from dfd.training.loop import CHECKPOINT as CHECKPOINT
from dfd.training.loop import Job, seeded_model
from dfd.training.material import MESHES, mixed, training_clips
from dfd.training.patience import judges
from dfd.training.recipes import Recipe
from dfd.versions import versions

DONE = "done"
FOLDS = "fold-*"
"""May exist before config.json: folds of a cross-validation, trained on other machines."""
ABOUT = ("versions", "parameters")
"""Keys of config.json that do not identify a run."""


def train(
    videos: Sequence[VideoRecord],
    store: Data,
    recipe: Recipe,
    out: Path,
    runtime: Runtime = PLAIN,
    held: Sequence[VideoRecord] = (),
    groups: Mapping[str, str] | None = None,
) -> Path:
    """Train on `videos` of `store` in the run folder `out`. Returns the checkpoint's path.

    held: held-out videos on which the curve measures the model. groups: what patience keeps together, by video
    (groups.grouped); None for sources.
    A finished run with the same settings and data is kept; a stopped one resumes. Raises ConfigError when `out` holds
    another run, a class is missing, or the clips are wider than the stored crops; OutOfTimeError at `runtime.until`;
    StoreError naming a film that cannot be read; TrainingError when the disk is full.
    """
    data = Datasets.of(store)
    videos, mix = usable(videos), data.mix
    check_margin([*videos, *held], recipe.clip.margin)
    grouped = groups or {video.video: video.source for video in videos}
    judging = judges(((v.video, v.label or 0, grouped[v.video]) for v in videos), recipe.train)
    learned = [video for video in videos if not isinstance(video, MadeFake)]
    clips, prior = training_clips([video for video in learned if video.video not in judging], recipe, mix, out)
    header = Header(
        model=recipe.model,
        clip=recipe.clip,
        faces=data.config,
        prior=prior,
        training={**recipe.model_dump(mode="json", exclude={"model", "clip"}), **mixed(mix)},
        videos=lineage(recipe.model.weights, *((v.video, v.source, *v.people) for v in learned)),
    )
    about = {"videos": {v.video: v.label for v in learned}, "content": content([*videos, *held]), **mixed(mix)}
    about |= {"judging": sorted(judging)} if judging else {}
    judged = HeldVideos(tuple(v for v in videos if v.video in judging), header) if judging else None
    return run(Job(recipe, header, clips, out, runtime, HeldVideos.sampled(held, header), judged), about)


def check_margin(videos: Sequence[VideoRecord], margin: float) -> None:
    """Raise ConfigError unless every stored crop is at least as wide as `margin`."""
    for video in videos:
        narrow = min((tracklet.margin for tracklet in video.tracklets), default=margin)
        if margin > narrow:
            stored = f"{narrow} in {video.dataset}" if video.dataset else f"{narrow}"
            raise ConfigError(
                f"clip.margin is {margin}, wider than the stored crops' {stored}: lower it, or build the crops wider"
            )


def run(job: Job, data: dict[str, Any]) -> Path:
    """Train in the job's run folder, or resume there. Returns the checkpoint's path.

    data: describes the training videos, to identify the run. Raises as train does.
    """
    recipe, out = job.recipe, job.out
    _check_batch(recipe, job.clips.clips, job.runtime.processes)
    launched = check_launch(job.runtime)
    model = seeded_model(recipe)  # build it first: if that fails, no folder is left
    if launched.rank:  # only rank 0 creates the folder
        wait_for(out / "config.json")
    claim(out, settings(recipe, job.header.faces, data), model)
    if not (out / DONE).exists():
        carry_out(job)
        if not launched.rank:
            write_bytes(out / DONE, b"", durable=True)
            for meshes in out.glob(f"{MESHES}*"):
                meshes.unlink(missing_ok=True)
    return job.checkpoint


def _check_batch(recipe: Recipe, together: int, devices: int) -> None:
    """Raise ConfigError unless a batch can be divided among the devices without splitting pairs of clips."""
    batch = recipe.train.batch
    if batch < together * devices:
        shared = f" on each of {devices} devices" if devices > 1 else ""
        raise ConfigError(
            f"batch is {batch}, less than the {together} clips that are loaded together{shared}: raise it, or lower "
            f"per_load, {recipe.train.per_load}"
        )
    if batch // together % devices:
        raise ConfigError(
            f"batch is {batch}, {batch // together} times the {together} clips that are loaded together, which "
            f"{devices} devices cannot share alike: make it a multiple of {together * devices}"
        )


def settings(recipe: Recipe, faces: FacesConfig, data: dict[str, Any]) -> dict[str, Any]:
    """The contents of config.json, except the keys in ABOUT."""
    return {"recipe": recipe.model_dump(mode="json"), "faces": faces.model_dump(mode="json"), **data}


def claim(out: Path, config: dict[str, Any], model: nn.Module) -> None:
    """Make `out` the folder of a run of `model` with `config`, or check that it is one.

    Raises ConfigError when it is the folder of another run.
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
    check_free(out)
    out.mkdir(parents=True, exist_ok=True)
    about = {"versions": versions(), "parameters": sum(parameter.numel() for parameter in model.parameters())}
    write_json(path, {**config, **about}, durable=True)


def check_free(out: Path) -> None:
    """Raise ConfigError when `out` is neither a run folder nor empty. Another machine may make it one meanwhile."""
    expected = (FOLDS, PEOPLE, f".*{PARTIAL}")
    others = any(not any(map(path.match, expected)) for path in out.iterdir()) if out.is_dir() else out.exists()
    if others and not (out / "config.json").is_file():  # looked for last, because it is written first
        raise ConfigError(f"{out} is not empty and not a run (no config.json): name a new folder")


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
