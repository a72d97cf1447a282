"""The training clips of a recipe: pairs or slices of each dataset, and each dataset's share of an epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfd.clips.balance import balance
from dfd.clips.dataset import ClipRecipe, SliceDataset, TrainingClips
from dfd.clips.joined import JoinedClips
from dfd.clips.meshes import MeshFile
from dfd.clips.pairs import PairDataset
from dfd.errors import ConfigError
from dfd.faces.records import VideoRecord
from dfd.training.recipes import Recipe

MESHES = "meshes-"
"""Prefix of the files in a run folder with the meshes of each dataset's pictures. They go when the training ends."""


def training_clips(
    videos: Sequence[VideoRecord], recipe: Recipe, mix: Mapping[str, float], out: Path | None = None
) -> tuple[TrainingClips, float]:
    """The clips that `recipe` draws from `videos`, and their share of fakes. mix: sampling rate of each dataset, by
    name. out: folder for files that keep the meshes of pictures, MESHES; None to compute a mesh whenever it is needed.

    Raises ConfigError when a class is missing, or a dataset has nothing to draw from.
    """
    config = recipe.train
    if config.balance == "slices" and (config.self_blend or config.mixup or config.cutmix):
        raise ConfigError("self_blend, mixup and cutmix need a real clip with each fake: set balance to pairs")
    parts = []
    for place, name in enumerate(mix):
        own, others = ([v for v in videos if (v.dataset == name) == inside] for inside in (True, False))
        try:
            meshes = MeshFile(out / f"{MESHES}{place}") if out else None
            own_recipe = recipe.replace(train=config.replace(seed=config.seed + place))
            parts.append(_of_one(own, others, own_recipe, meshes))
        except ConfigError as error:
            raise (ConfigError(f"{name}: {error}") if name else error) from None
    clips, priors = zip(*parts, strict=True)
    if not mixed(mix):
        return clips[0], priors[0]
    joined = JoinedClips(clips, list(mix.values()), config.seed)
    return joined, float(np.average(priors, weights=joined.counts))


def mixed(mix: Mapping[str, float]) -> dict[str, Any]:
    """The mix for config.json; empty for a single dataset with rate 1."""
    return {} if list(mix.values()) == [1.0] else {"mix": dict(mix)}


def _of_one(
    own: Sequence[VideoRecord], others: Sequence[VideoRecord], recipe: Recipe, meshes: MeshFile | None
) -> tuple[TrainingClips, float]:
    """The clips drawn from one dataset, and their share of fakes. others: the videos of the other datasets.

    If self_blend is above 0, a dataset of real videos gets only made fakes. A dataset of fakes is paired with real
    videos of the others.
    """
    if not own:
        raise ConfigError("none of its videos is left to learn from: each was unlabelled, without a face or held out")
    config = recipe.train
    if config.balance == "slices":
        share = balance([video.label or 0 for video in own], config.slices)
        return SliceDataset(own, clip_recipe(recipe), share), share.prior
    reals, labels = [video for video in others if video.label == 0], {video.label for video in own}
    if labels == {0} and others and config.self_blend:
        recipe = recipe.replace(train=config.replace(self_blend=1))
    if labels == {1} and config.self_blend == 1:
        raise ConfigError(
            "it has only fakes, and self_blend 1 makes all fakes of real videos: leave it out, or lower self_blend"
        )
    return PairDataset(own, clip_recipe(recipe), reals, meshes), 0.5


def clip_recipe(recipe: Recipe) -> ClipRecipe:
    """The part of `recipe` that its training clips depend on."""
    return ClipRecipe(recipe.clip, recipe.train, recipe.augment, recipe.blend)
