"""Recipes: which model, which clips, which training. Each a short function; options on the command line override."""

from collections.abc import Callable

from dfd.clips.augment import AugmentConfig
from dfd.clips.blend import BlendConfig
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
    augment: AugmentConfig = AugmentConfig()
    blend: BlendConfig = BlendConfig()


def tiny() -> Recipe:
    """Seconds on two cores: shows the machinery, learns next to nothing."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="all", hidden=32),
        clip=ClipConfig(length=8, size=96, clips=2),
        train=TrainConfig(epochs=3, slices=1, batch=8, lr=3e-3),
    )


def cpu() -> Recipe:
    """Minutes on two cores: a small backbone, fine-tuned gently, with an LSTM that can only add to it."""
    return Recipe(
        model=ModelConfig(name="lstm", freeze="stem", hidden=64),
        clip=ClipConfig(length=4, fps=7.5, size=160, margin=1.0, clips=4),
        train=TrainConfig(
            epochs=6, slices=1, batch=8, lr=4e-4, backbone_lr=1.0, weight_decay=0.02, self_blend=0.3, ema=0.98
        ),
    )


def gpu() -> Recipe:
    """Hours on one big GPU: 2D weights that learn motion, on clips of a second at full size."""
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
    """A session of 8.5 hours on one or two cards of 15 GB (T4): as gpu, smaller, in 16 bits, steps of two batches."""
    base = gpu()
    return base.replace(
        clip=base.clip.replace(length=8, fps=7.5, size=192),
        train=base.train.replace(
            epochs=8, slices=1, batch=32, accumulate=2, precision="16-mixed", loaders=2, ema=0.998
        ),
    )


def stills() -> Recipe:
    """Single frames, as pictures of faces are: 40 minutes on two cores for 15,000 of them."""
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


def dfdc() -> Recipe:
    """Pictures of DFDC's faces, real ones paired with fakes of their own source: an hour on two cores for 50,000. Needs
    --model.weights of ImageNet."""
    base = stills()
    return base.replace(
        model=base.model.replace(dropout=0.3, drop_path=0.1),
        clip=base.clip.replace(size=128),
        train=base.train.replace(epochs=2, loaders=2, weight_decay=0.05, smoothing=0.02, warmup=0.1),
        augment=base.augment.replace(reduce=0.4, jpeg=0.4, noise=0.15, blur=0.15, codec=0.05, cutout=0.3),
    )


def dfdc_gpu() -> Recipe:
    """As dfdc, for a GPU: a larger backbone at a larger size, in 16 bits. Needs `dfd weights imagenet-lite2`."""
    base = dfdc()
    return base.replace(
        model=base.model.replace(backbone="tf_efficientnet_lite2", freeze="none", drop_path=0.2),
        clip=base.clip.replace(size=192),
        train=base.train.replace(epochs=8, batch=128, lr=1e-3, ema=0.999, precision="bf16-mixed", loaders=12),
    )


def blend() -> Recipe:
    """Real faces alone, each paired with a fake made of it, to find the seams of any swap. 35 minutes for 14,000 on
    two cores. Needs faces stored at a margin of 1.6 or more, --model.weights of ImageNet, and --blend.mesh: without
    it masks are ovals."""
    base = stills()
    return base.replace(
        model=base.model.replace(dropout=0.3, drop_path=0.15),
        clip=base.clip.replace(size=192, margin=1.25),
        train=base.train.replace(epochs=3, loaders=2, lr=7e-4, weight_decay=0.05, self_blend=1.0),
        augment=AugmentConfig(
            zoom=0.2, shift=0.04, colour=0.4, grey=0.05, blur=0.15, noise=0.0, reduce=0.4, reduce_to=0.35, jpeg=0.6,
            codec=0.1, rate=0.0, cutout=0.0,
        ),
        blend=BlendConfig(shift=0.06, turn=1.0),
    )  # fmt: skip


def changes(recipe: Recipe) -> dict[str, object]:
    """What a recipe sets, where that is not the default, by the names of the options that override it.

    >>> changes(Recipe(model=ModelConfig(name="gru"), clip=ClipConfig(), train=TrainConfig(lr=0.1)))
    {'model.name': 'gru', 'train.lr': 0.1}
    """
    plain = Recipe(model=ModelConfig(), clip=ClipConfig(), train=TrainConfig()).model_dump()
    return {
        f"{part}.{name}".replace("_", "-"): value
        for part, settings in recipe.model_dump().items()
        for name, value in settings.items()
        if value != plain[part][name] or (part, name) == ("model", "name")
    }


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tiny": tiny,
    "cpu": cpu,
    "gpu": gpu,
    "kaggle": kaggle,
    "stills": stills,
    "dfdc": dfdc,
    "dfdc-gpu": dfdc_gpu,
    "blend": blend,
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises ConfigError naming the choices.

    >>> recipe("tiny").model.name
    'lstm'
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
