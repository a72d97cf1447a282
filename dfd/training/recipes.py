"""Recipes: which model, which clips, which training. Each a short function; options on the command line override."""

from collections.abc import Callable

from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import ConfigError
from dfd.models import ModelConfig
from dfd.training.module import TrainConfig


class Recipe(Config):
    """The settings of one training."""

    model: ModelConfig
    clip: ClipConfig
    train: TrainConfig


def tiny() -> Recipe:
    """Seconds on two cores: shows the machinery, learns next to nothing."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="all", hidden=32),
        clip=ClipConfig(length=8, size=96, clips=2),
        train=TrainConfig(epochs=3, slices=2, batch=8, lr=3e-3),
    )


def cpu() -> Recipe:
    """Minutes on two cores: a small backbone, fine-tuned slowly, with an LSTM that can only add to it."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="stem", hidden=64),
        clip=ClipConfig(length=8, fps=7.5, size=128, clips=4),
        train=TrainConfig(epochs=8, slices=2, batch=8, lr=1e-3),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny, "cpu": cpu}


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises ConfigError naming the choices.

    >>> recipe("tiny").model.name
    'lstm'
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
