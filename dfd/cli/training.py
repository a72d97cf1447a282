"""Commands that train models."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.cli.options import FOLD, FOLDER, FOLDS, HOURS, NEW_FILE, NEW_FOLDER, whole
from dfd.clips.augment import AugmentConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.sampling import ClipConfig
from dfd.config import Config
from dfd.errors import CheckpointError, OutOfTimeError
from dfd.faces.build import Progress
from dfd.faces.store import FaceStore
from dfd.models import ModelConfig
from dfd.models.checkpoint import read_checkpoint
from dfd.report import terminal as show
from dfd.report.curves import LiveCurve
from dfd.report.sheet import write_sheet
from dfd.report.tracking import NONE, Mirror, default_store
from dfd.scoring.seen import SEEN
from dfd.training import crossval as cv
from dfd.training import fit, robustness
from dfd.training import zero_shot as untrained
from dfd.training.clock import Means
from dfd.training.datasets import Datasets
from dfd.training.groups import Grouping
from dfd.training.launch import launched
from dfd.training.module import TrainConfig
from dfd.training.recipes import RECIPES, Recipe, changes
from dfd.training.recipes import recipe as named_recipe

RECIPE_HELP = "\n\n".join(
    f"{name}: {(make.__doc__ or '').strip()} ({', '.join(f'{key} {value}' for key, value in changes(make()).items())})"
    for name, make in RECIPES.items()
)
RecipeName = Annotated[str, Parameter(help=f"Settings to start from; the options below override.\n\n{RECIPE_HELP}")]
Model = Annotated[ModelConfig, Parameter(show_default=False)]
Clip = Annotated[ClipConfig, Parameter(show_default=False)]
Train = Annotated[TrainConfig, Parameter(name="--train", show_default=False)]
Augment = Annotated[AugmentConfig, Parameter(show_default=False)]
Blend = Annotated[BlendConfig, Parameter(show_default=False)]
Folders = Annotated[list[Path], Parameter(negative=()), FOLDER]
Groups = Annotated[Grouping, Parameter(name="*")]
AllowSeen = Annotated[bool, Parameter(negative=())]
Hours = Annotated[float | None, HOURS]
Devices = Annotated[int, whole(1, 64)]
NO_MODEL, NO_CLIP, NO_TRAIN, NO_AUGMENT, NO_BLEND = (
    ModelConfig(), ClipConfig(), TrainConfig(), AugmentConfig(), BlendConfig(),
)  # fmt: skip


def train(
    faces: Folders,
    /,
    *,
    out: Annotated[Path, NEW_FOLDER],
    mix: str | None = None,
    recipe: RecipeName = "cpu",
    fold: Annotated[int | None, FOLD] = None,
    folds: Annotated[int, FOLDS] = 5,
    groups: Groups = Grouping(),
    allow_seen: AllowSeen = False,
    hours: Hours = None,
    devices: Devices = 1,
    nodes: Devices = 1,
    track: str | None = None,
    model: Model = NO_MODEL,
    clip: Clip = NO_CLIP,
    train_: Train = NO_TRAIN,
    augment: Augment = NO_AUGMENT,
    blend: Blend = NO_BLEND,
) -> None:
    """Train one model on FACES; with --fold, without that fold, on which it is then scored.

    Args:
        faces: A dataset of dfd faces, or several.
        out: Run folder; a stopped run goes on.
        mix: How often each of several datasets is drawn, as in 1,0.5: of the second half an epoch, the other half in
            the next. By default each is drawn whole.
        fold: Fold to leave out, from 0.
        folds: How many there are.
        groups: What else stands in one fold.
        allow_seen: Go on where --model.weights has seen videos of the fold; the score then says so.
        hours: Stop cleanly within so many hours; the same command goes on from there.
        devices: GPUs that share each batch, or processes where there is no GPU.
        nodes: Machines with as many each, of which each runs this command under torchrun or srun.
        track: MLflow's store, a database or server; "none" for none. By default MLFLOW_TRACKING_URI, or mlflow.db
            beside the run folder, where MLflow is installed.
        model: The network.
        clip: What it is fed.
        train_: How it learns.
        augment: How training clips are changed.
        blend: How self-blended fakes are made.
    """
    settings = _recipe(recipe, model=model, clip=clip, train=train_, augment=augment, blend=blend)
    data = _data(faces, mix, settings)
    _heed_margin(settings)
    score = None
    with _session(out, "train", hours, devices, track, nodes) as (tell, means):
        if fold is None:
            cv.train_all(data, settings, out, tell, means, groups)
            data.note(out)
        else:
            score = cv.train_fold(data, settings, fold, folds, out, tell, means, groups, allow_seen)
    if launched().rank:  # the first process says it
        return
    show.say(f"The model is in {out / fit.CHECKPOINT}, its curve in {out / 'curve.png'} and metrics.csv.")
    if score:
        show.score(score)
    show.say(f"Next: dfd bundle {out} --out BUNDLE")


def sheet(
    faces: Annotated[Path, FOLDER],
    /,
    *,
    out: Annotated[Path, NEW_FILE],
    recipe: RecipeName = "blend",
    count: Annotated[int, whole(1, 10_000)] = 50,
    clip: Clip = NO_CLIP,
    train_: Train = NO_TRAIN,
    augment: Augment = NO_AUGMENT,
    blend: Blend = NO_BLEND,
) -> None:
    """Draw what training would show a network of FACES: real faces, fakes and masks.

    Args:
        faces: A dataset of dfd faces.
        out: Picture to write, .jpg or .png.
        count: Pairs to draw.
        clip: What the network is fed.
        train_: How it learns.
        augment: How training clips are changed.
        blend: How self-blended fakes are made.
    """
    settings = _recipe(recipe, clip=clip, train=train_, augment=augment, blend=blend)
    drawn = write_sheet(FaceStore.open(faces), settings, out, count)
    show.say(f"{drawn} pairs are in {out}: of each the real face, the fake, and the mask of what is changed.")
    show.say(f"Next: dfd train {faces} --recipe {recipe} with the same options, --model.weights FILE and --out RUN")


def crossval(
    faces: Folders,
    /,
    *,
    out: Annotated[Path, NEW_FOLDER],
    mix: str | None = None,
    recipe: RecipeName = "cpu",
    folds: Annotated[int, FOLDS] = 5,
    groups: Groups = Grouping(),
    allow_seen: AllowSeen = False,
    zero_shot: Annotated[bool, Parameter(negative=())] = False,
    distort: Annotated[bool, Parameter(negative=())] = False,
    hours: Hours = None,
    devices: Devices = 1,
    track: str | None = None,
    model: Model = NO_MODEL,
    clip: Clip = NO_CLIP,
    train_: Train = NO_TRAIN,
    augment: Augment = NO_AUGMENT,
    blend: Blend = NO_BLEND,
) -> None:
    """Train every fold of FACES and print the local leaderboard score, out of fold.

    Where --model.weights is a model of dfd's, it is scored too, as it is: training should do better.

    Args:
        faces: A dataset of dfd faces, or several.
        out: Run folder; what is finished there is kept.
        mix: How often each of several datasets is drawn, as in 1,0.5: of the second half an epoch, the other half in
            the next. By default each is drawn whole.
        folds: Parts that the videos are split into, each fake with its source.
        groups: What else stands in one fold.
        allow_seen: Go on where --model.weights has seen videos that are to be scored; the score then says so.
        zero_shot: Train nothing: score the model in --model.weights as it is, on the same folds.
        distort: Score the same models on distorted videos, too: a finished run is not trained again.
        hours: Stop cleanly within so many hours; the same command goes on from there.
        devices: GPUs that share each batch, or processes where there is no GPU.
        track: MLflow's store, a database or server; "none" for none. By default MLFLOW_TRACKING_URI, or mlflow.db
            beside the run folder, where MLflow is installed.
        model: The network.
        clip: What it is fed.
        train_: How it learns.
        augment: How training clips are changed.
        blend: How self-blended fakes are made.
    """
    settings = _recipe(recipe, model=model, clip=clip, train=train_, augment=augment, blend=blend)
    _heed_margin(settings)
    data = _data(faces, mix, settings)
    weights = settings.model.weights
    if zero_shot:
        with _session(out, "zero-shot", hours, devices, NONE) as (tell, means):
            seed = settings.train.seed
            found = untrained.zero_shot(data, weights, folds, seed, out, tell, means, groups, allow_seen)
        show.say(f"{weights} as it is, without training: {out / 'oof.csv'}, {found['videos']} videos", "bold")
        show.score(found)
        names = " ".join(map(str, faces))
        show.say(f"Next: dfd crossval {names} --recipe {recipe} --model.weights {weights} --folds-of {out} --out RUN")
        return
    with _session(out, "crossval", hours, devices, track) as (tell, means):
        made = cv.crossval(data, settings, folds, out, tell, means, groups, allow_seen)
        start = untrained.compare_with_start(data, weights, out, tell, means, groups)
        found = robustness.distort(data, out, tell, means) if distort else {}
    seen = "each scored by a model that has not seen it, nor what it was made from, nor what was made from it"
    if made.score[SEEN]:
        seen = f"of which the starting weights had seen {made.score[SEEN]}, or their sources or group"
    show.say(f"Local leaderboard: {out / 'oof.csv'}, {len(made.scores)} videos, {seen}", "bold")
    show.score(made.score)
    show.statuses(Counter(score.status for score in made.scores))
    show.decision(made.decision)
    if distort:
        show.say("")
        show.distortions(found)
    if start:
        show.start(start, made.score)
    show.say(f"Next: dfd bundle {out} --out BUNDLE")


def _data(faces: list[Path], mix: str | None, recipe: Recipe) -> Datasets:
    """What is trained on. Where a recipe makes all fakes, those to judge by are made too, if there is no other."""
    return Datasets.open(faces, mix, recipe.blend if recipe.train.self_blend == 1 else None)


@contextmanager
def _session(
    out: Path, what: str, hours: float | None, devices: int, track: str | None, nodes: int = 1
) -> Iterator[tuple[Progress, Means]]:
    """A bar and the means of a training, whose curve is drawn and mirrored as it grows; a stop in time is no error."""
    mirror, curve = _mirror(out, track), LiveCurve(out)
    try:
        with show.bar(what) as bar:

            def tell(done: int, total: int, last: str) -> None:
                bar(done, total, last)
                curve.look()
                if mirror:
                    mirror.look()

            yield tell, Means.of(hours, devices, nodes)
    except OutOfTimeError as stopped:
        show.say(f"Stopped: {stopped}. What was learned is in {out}.")
        show.say("Next: the same command again goes on from there.")
        raise SystemExit(0) from None
    finally:
        if not launched().rank:
            curve.look(last=True)
        if mirror:
            mirror.finish()
            if mirror.trouble:
                show.say(mirror.trouble)


def _mirror(out: Path, track: str | None) -> Mirror | None:
    if launched().rank or track == NONE or (track is None and find_spec("mlflow") is None):
        return None
    return Mirror(track or default_store(out), out)


def _heed_margin(recipe: Recipe) -> None:
    """Say so when the weights to start from know faces at another margin than they will see."""
    try:
        known = read_checkpoint(recipe.model.weights)[0].clip.margin if recipe.model.weights else recipe.clip.margin
    except CheckpointError:  # weights of somebody else, or none: building the network tells
        return
    if known != recipe.clip.margin:
        show.say(
            f"The weights were trained at a margin of {known:g}, and this run feeds {recipe.clip.margin:g}, at which "
            f"they lose much of what they know: --clip.margin {known:g} keeps it"
        )


def _recipe(name: str, **given: Config) -> Recipe:
    """The recipe with what was given on the command line in place of its own."""
    base = named_recipe(name)
    return Recipe(
        **{
            part: getattr(base, part).replace(**given[part].model_dump(exclude_unset=True))
            if part in given
            else getattr(base, part)
            for part in Recipe.model_fields
        }
    )
