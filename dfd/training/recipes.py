"""Recipes: named training settings. Each is a short function whose docstring begins with its purpose.

A YAML file or command-line options change some of the settings.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

import dfd
from dfd.clips.augment import AugmentConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import ConfigError
from dfd.models import ModelConfig
from dfd.training.config import TrainConfig

UNREADABLE = (OSError, yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""PyYAML's exceptions, which vary with the defect of a file."""


class Recipe(Config):
    """The settings of one training."""

    model: ModelConfig = Field(description="the network")
    clip: ClipConfig = Field(description="what it is fed")
    train: TrainConfig = Field(description="how it learns")
    augment: AugmentConfig = Field(AugmentConfig(), description="how training clips are changed")
    blend: BlendConfig = Field(BlendConfig(), description="how self-blended fakes are made")


def tiny() -> Recipe:
    """Seconds on two cores: a smoke test that learns next to nothing."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="all", hidden=32),
        clip=ClipConfig(length=8, size=96, clips=2),
        train=TrainConfig(epochs=3, slices=1, batch=8, lr=3e-3),
    )


def cpu() -> Recipe:
    """Minutes on two cores: a small backbone, fine-tuned gently, and an LSTM over its frames."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="stem", hidden=64),
        clip=ClipConfig(length=4, fps=7.5, size=160, margin=1.0, clips=4),
        train=TrainConfig(
            epochs=6, slices=1, batch=8, lr=4e-4, backbone_lr=1.0, weight_decay=0.02, self_blend=0.3, ema=0.98
        ),
    )


def gpu() -> Recipe:
    """Hours on one large GPU: a 2D backbone inflated to 3D, on clips of one second."""
    return Recipe(
        model=ModelConfig(name="inflated", dropout=0.4, drop_path=0.2),
        clip=ClipConfig(length=16, fps=15, size=224, clips=6),
        train=TrainConfig(
            epochs=20,
            slices=2,
            batch=64,
            lr=1e-3,
            backbone_lr=0.3,
            weight_decay=0.02,
            smoothing=0.01,
            self_blend=0.25,
            mixup=0.3,
            ema=0.999,
            precision="bf16-mixed",
            loaders=12,
        ),
        augment=AugmentConfig(codec=0.4, reduce=0.4, cutout=0.3),
    )


def kaggle() -> Recipe:
    """As gpu, smaller: 8.5 hours on one or two T4 of 15 GB, in 16 bits, with gradient accumulation of 2."""
    base = gpu()
    return base.replace(
        clip=base.clip.replace(length=8, fps=7.5, size=192),
        train=base.train.replace(
            epochs=8, slices=1, batch=32, accumulate=2, precision="16-mixed", loaders=2, ema=0.998
        ),
    )


def stills() -> Recipe:
    """Face crops (single frames): 40 minutes on two cores for 15,000."""
    return Recipe(
        model=ModelConfig(name="frame", freeze="stem", dropout=0.2),
        clip=ClipConfig(length=1, size=160, margin=1.0, clips=12),
        train=TrainConfig(
            epochs=6,
            slices=1,
            per_load=1,
            batch=32,
            lr=5e-4,
            backbone_lr=1.0,
            weight_decay=0.02,
            warmup=0.15,
            smoothing=0.01,
            clip_norm=5.0,
            aligned=1.0,
            ema=0.998,
        ),
        augment=AugmentConfig(zoom=0.2, reduce=0.3, jpeg=0.3, codec=0.0, cutout=0.0),
    )


def finetune() -> Recipe:
    """Minutes on two cores: a trained network of single frames, trained on gently with clips of your own.

    Needs --model.weights of such a network: dfd/pretrained/member-1.pt, whose backbone, margin and size these are. The
    settings of `stills` made it worse on few clips.
    """
    base = stills()
    return base.replace(
        model=base.model.replace(backbone="tf_efficientnet_lite2", dropout=0.3),
        clip=base.clip.replace(size=192, margin=1.1),
        train=base.train.replace(epochs=3, slices=4, lr=1e-4, ema=0.9),
    )


def dfdc() -> Recipe:
    """Face crops of DFDC, each fake paired with its source: an hour on two cores for 50,000.

    Needs --model.weights of ImageNet: `dfd weights imagenet-lite0`.
    """
    base = stills()
    return base.replace(
        model=base.model.replace(dropout=0.3, drop_path=0.1),
        clip=base.clip.replace(size=128),
        train=base.train.replace(epochs=2, loaders=2, weight_decay=0.05, smoothing=0.02, warmup=0.1),
        augment=base.augment.replace(reduce=0.4, jpeg=0.4, noise=0.15, blur=0.15, codec=0.05, cutout=0.3),
    )


def dfdc_gpu() -> Recipe:
    """As dfdc, for a GPU: a larger backbone and crops, more epochs, stronger damage, in 16 bits.

    Needs --model.weights of ImageNet: `dfd weights imagenet-lite2`. Four minutes on an H100 for 50,000, with six cores
    that load.
    """
    base = dfdc()
    return base.replace(
        model=base.model.replace(backbone="tf_efficientnet_lite2", freeze="none", dropout=0.4, drop_path=0.2),
        clip=base.clip.replace(size=192),
        train=base.train.replace(epochs=5, batch=128, lr=1e-3, smoothing=0.05, precision="bf16-mixed", loaders=6),
        augment=base.augment.replace(reduce=0.5, jpeg=0.5, noise=0.2, blur=0.2, cutout=0.4),
    )


def blend() -> Recipe:
    """Real faces alone, against self-blended fakes of them: an hour on two cores for 19,000.

    Needs faces stored at a margin of 1.4 or more (tight crops are cut as they are), --model.weights of ImageNet, and
    --blend.mesh: without it masks are ovals.
    """
    base = stills()
    return base.replace(
        model=base.model.replace(dropout=0.3, drop_path=0.15),
        clip=base.clip.replace(size=192, margin=1.1),
        train=base.train.replace(epochs=2, loaders=2, lr=7e-4, weight_decay=0.05, self_blend=1.0),
        augment=AugmentConfig(
            zoom=0.2, shift=0.04, colour=0.4, grey=0.05, blur=0.2, noise=0.25, reduce=0.5, reduce_to=0.2, jpeg=0.5,
            codec=0.15, rate=0.0, cutout=0.0,
        ),
        blend=BlendConfig(shift=0.06, turn=1.0),
    )  # fmt: skip


def blend_gpu() -> Recipe:
    """As blend, for a GPU: a larger backbone, more epochs, in 16 bits.

    Needs what blend needs, and the weights of `dfd weights imagenet-lite2`. Four minutes on an H100 for 19,000, with
    eight cores that load.
    """
    base = blend()
    return base.replace(
        model=base.model.replace(backbone="tf_efficientnet_lite2", freeze="none", dropout=0.4, drop_path=0.2),
        train=base.train.replace(epochs=7, batch=128, lr=1e-3, warmup=0.1, precision="bf16-mixed", loaders=8),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tiny": tiny,
    "cpu": cpu,
    "gpu": gpu,
    "kaggle": kaggle,
    "stills": stills,
    "finetune": finetune,
    "dfdc": dfdc,
    "dfdc-gpu": dfdc_gpu,
    "blend": blend,
    "blend-gpu": blend_gpu,
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises ConfigError naming the choices.

    >>> recipe("tiny").model.name
    'lstm'
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


def purpose(name: str) -> str:
    """The purpose of a recipe, in a line.

    >>> purpose("tiny")
    'Seconds on two cores: a smoke test that learns next to nothing.'
    """
    return (RECIPES[name].__doc__ or "").splitlines()[0]


def changed(base: Recipe, changes: Mapping[str, Any], where: str) -> Recipe:
    """`base` with some settings changed, and validated again. changes: by part, then by name. where: for error
    messages.

    Raises ConfigError.

    >>> changed(tiny(), {"train": {"lr": 0.1}}, "here").train.lr
    0.1
    >>> changed(tiny(), {"train": {"wings": 2}}, "here")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dfd.errors.ConfigError: here: unknown setting 'train.wings'; there are balance, slices, ...
    """
    known = base.model_dump()
    merged = {
        part: {**known[part], **settings} if part in known and isinstance(settings, Mapping) else settings
        for part, settings in changes.items()
    }
    return Recipe.read({**known, **merged}, where)


def read_yaml(path: Path, base: Recipe) -> Recipe:
    """`base` updated from a YAML file with all settings, as as_yaml writes it, or a few. Raises ConfigError."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there: `dfd recipes cpu > {path}` writes one to edit") from None
    except UNREADABLE as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path} holds no settings: it has parts, {', '.join(Recipe.model_fields)}, each of settings")
    return changed(
        base, {str(part): {} if settings is None else settings for part, settings in given.items()}, str(path)
    )


def as_yaml(recipe: Recipe, title: str) -> str:
    """Every setting as YAML that read_yaml reads, with its description as a comment. title: the first line.

    >>> as_yaml(tiny(), "Tiny").splitlines()[2]
    '  name: "lstm"  # architecture, a name that `dfd models` lists'
    """
    lines = [f"# {title} (dfd {dfd.__version__})"]
    for part, settings in recipe.model_dump(mode="json").items():
        lines.append(f"{part}:  # {Recipe.model_fields[part].description}")
        fields = type(getattr(recipe, part)).model_fields
        for name, value in settings.items():  # JSON values are valid YAML
            lines.append(f"  {name}: {json.dumps(value, ensure_ascii=False)}  # {fields[name].description}")
    return "\n".join(lines) + "\n"
