"""Commands that train models."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from dfd.cli.options import FOLD, FOLDER, FOLDS, HOURS, NEW_FILE, NEW_FOLDER, whole
from dfd.cli.recipes import SheetSettings, TrainingSettings, chosen, missing, missing_mesh
from dfd.errors import CheckpointError, ConfigError, OutOfTimeError
from dfd.faces.store import FaceStore
from dfd.models.checkpoint import read_checkpoint
from dfd.report import terminal as show
from dfd.report.curves import LiveCurve
from dfd.report.sheet import write_sheet
from dfd.report.tracking import NONE, Mirror
from dfd.scoring.seen import SEEN
from dfd.training import crossval as cv
from dfd.training import fit, robustness
from dfd.training import zero_shot as untrained
from dfd.training.clock import Runtime
from dfd.training.datasets import Datasets
from dfd.training.groups import Grouping
from dfd.training.launch import launched
from dfd.training.recipes import Recipe, as_yaml

Folders = Annotated[list[Path], Parameter(negative=()), FOLDER]
DATA, RESOURCES = Parameter(group=Group("Data", sort_key=20)), Parameter(group=Group("Resources", sort_key=80))
OUTPUT = Parameter(group=Group("Output", sort_key=5))
Flag = Annotated[bool, Parameter(negative=())]
Devices = Annotated[int, whole(1, 64), RESOURCES]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of `dfd train` and `dfd crossval`."""

    out: Annotated[Path, NEW_FOLDER, OUTPUT]
    """Run folder. A stopped run goes on; what is finished is kept."""
    track: Annotated[str, OUTPUT] = NONE
    """Also log the run to MLflow: the address of its store, as in sqlite:///mlflow.db or http://host:5000."""
    settings: TrainingSettings = TrainingSettings()
    mix: Annotated[str | None, DATA] = None
    """How often each of several datasets is drawn, as in 1,0.5: of the second, half the videos in an epoch, the other
    half in the next. By default each is drawn whole."""
    folds: Annotated[int, FOLDS, DATA] = 5
    """Parts that the videos are split into, each fake with its source."""
    groups: Annotated[Grouping, Parameter(name="*"), DATA] = Grouping()
    allow_seen: Annotated[Flag, DATA] = False
    """Go on where --model.weights was trained on videos that are scored here; the score then says so."""
    hours: Annotated[float | None, HOURS, RESOURCES] = None
    """Stop cleanly within so many hours; the same command goes on from there."""
    devices: Devices = 1
    """GPUs that share each batch, or processes where there is no GPU."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingOptions):
    """Options of `dfd train`."""

    fold: Annotated[int | None, FOLD, DATA] = None
    """Fold to leave out of the training and score, from 0. Without it, all videos are trained on."""
    nodes: Devices = 1
    """Machines with as many devices each; each runs this command under torchrun or srun."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CrossvalOptions(TrainingOptions):
    """Options of `dfd crossval`."""

    zero_shot: Annotated[Flag, DATA] = False
    """Train nothing: score the model in --model.weights as it is, on the same folds."""
    distort: Annotated[Flag, DATA] = False
    """Also score the same models on distorted videos; a finished run is not trained again."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """Options of `dfd sheet`."""

    out: Annotated[Path, NEW_FILE, OUTPUT]
    """Image to write, .jpg or .png."""
    count: Annotated[int, whole(1, 10_000), OUTPUT] = 50
    """Pairs to draw."""
    settings: SheetSettings = SheetSettings()


def train(faces: Folders, /, *, options: TrainOptions) -> None:
    """Train one model on FACES; with --fold, without that fold, on which it is then scored.

    Args:
        faces: A dataset of dfd faces, or several.
    """
    recipe, out = chosen(options.settings), options.out
    if options.settings.print_config:
        return print(as_yaml(recipe, "Settings of dfd train"), end="")
    _check_groups(options, options.fold is not None)
    data = _data(faces, options.mix, recipe)
    _advise(recipe)
    score = None
    with _session(options, "train", options.nodes) as runtime:
        if options.fold is None:
            cv.train_all(data, recipe, out, runtime, options.groups)
            data.note(out)
        else:
            fold = cv.Fold(options.fold, options.folds)
            score = cv.train_fold(data, recipe, fold, out, runtime, options.groups)
    if launched().rank:  # the first process prints
        return None
    show.say(f"The model is in {out / fit.CHECKPOINT}, its curve in {out / 'curve.png'} and metrics.csv.")
    if score:
        show.score(score)
    return show.say(f"Next: dfd bundle {out} --out BUNDLE")


def sheet(faces: Annotated[Path, FOLDER], /, *, options: SheetOptions) -> None:
    """Draw what training would show a network of FACES: real faces, fakes and masks.

    Args:
        faces: A dataset of dfd faces.
    """
    recipe = chosen(options.settings)
    drawn = write_sheet(FaceStore.open(faces), recipe, options.out, options.count)
    show.say(f"{drawn} pairs are in {options.out}: each the real face, the fake, and the mask of what is changed.")
    for line in missing_mesh(recipe):
        show.say(line)
    name = options.settings.recipe
    show.say(f"Next: dfd train {faces} --recipe {name} with the same options, --model.weights FILE and --out RUN")


def crossval(faces: Folders, /, *, options: CrossvalOptions) -> None:
    """Train every fold of FACES and print the local leaderboard score, out of fold.

    Where --model.weights is a model of dfd's, it is scored too, as it is: training should do better.

    On several machines, train the folds first, with the same options: dfd train --fold K --out RUN/fold-K. Then this
    command with --out RUN takes them as they are.

    Args:
        faces: A dataset of dfd faces, or several.
    """
    recipe, out, groups = chosen(options.settings), options.out, options.groups
    if options.settings.print_config:
        return print(as_yaml(recipe, "Settings of dfd crossval"), end="")
    _check_groups(options, folds=True)
    data = _data(faces, options.mix, recipe)
    if options.zero_shot:
        return _zero_shot(data, recipe, options)
    _advise(recipe)
    with _session(options, "crossval") as runtime:
        made = cv.crossval(data, recipe, options.folds, out, runtime, groups)
        start = untrained.compare_with_start(data, recipe.model.weights, out, runtime, groups)
        found = robustness.distort(data, out, runtime) if options.distort else {}
    seen = "each scored by a model that has not seen it, nor what it was made from, nor what was made from it"
    if made.score[SEEN]:
        seen = f"of which the starting weights had seen {made.score[SEEN]}, or their sources or group"
    show.say(f"Local leaderboard: {out / 'oof.csv'}, {len(made.scores)} videos, {seen}", "bold")
    show.score(made.score)
    show.statuses(Counter(score.status for score in made.scores))
    show.decision(made.decision)
    if options.distort:
        show.say("")
        show.distortions(found)
    if start:
        show.start(start, made.score)
    return show.say(f"Next: dfd bundle {out} --out BUNDLE")


def _zero_shot(data: Datasets, recipe: Recipe, options: CrossvalOptions) -> None:
    """Score the starting weights without training."""
    weights, out = recipe.model.weights, options.out
    with _session(replace(options, track=NONE), "zero-shot") as runtime:
        found = untrained.zero_shot(data, recipe, options.folds, out, runtime, options.groups)
    show.say(f"{weights} as it is, without training: {out / 'oof.csv'}, {found['videos']} videos", "bold")
    show.score(found)
    names = " ".join(str(store.folder) for store in data.stores.values())
    name = options.settings.recipe
    show.say(f"Next: dfd crossval {names} --recipe {name} --model.weights {weights} --folds-of {out} --out RUN")


def _check_groups(options: TrainingOptions, folds: bool) -> None:
    """Raise ConfigError for a grouping option that would change nothing. folds: whether videos are split into folds."""
    groups = options.groups
    if groups.identity_weights and groups.groups != "identity":
        raise ConfigError(
            f"--identity-weights is for --groups identity, not for {groups.groups}: add that, or leave it out"
        )
    if groups.folds_of and not folds:
        raise ConfigError("--folds-of is for one fold of a run: add --fold, or leave it out to train on all videos")


def _data(faces: list[Path], mix: str | None, recipe: Recipe) -> Datasets:
    """Open the datasets. If they have no fakes, and the recipe makes them, fakes for scoring are made too."""
    return Datasets.open(faces, mix, recipe.blend if recipe.train.self_blend == 1 else None)


@contextmanager
def _session(options: TrainingOptions, what: str, nodes: int = 1) -> Iterator[Runtime]:
    """Context with the progress and limits of a training. Draws its curve, and logs it to MLflow.

    When time is up, ends the process with exit status 0.
    """
    out = options.out
    mirror = None if launched().rank or options.track == NONE else Mirror(options.track, out)
    curve = LiveCurve(out)
    try:
        with show.bar(what) as bar:

            def report(done: int, total: int, last: str) -> None:
                """Show progress; draw and log what is new."""
                bar(done, total, last)
                curve.look()
                if mirror:
                    mirror.look()

            until, seen = Runtime.deadline(options.hours), options.allow_seen
            yield Runtime(report, until, options.devices, nodes, allow_seen=seen)
    except OutOfTimeError as stopped:
        show.say(f"Stopped: {stopped}. The training so far is in {out}.")
        show.say("Next: the same command again goes on from there.")
        raise SystemExit(0) from None
    finally:
        if not launched().rank:
            curve.look(last=True)
        if mirror:
            mirror.finish()
            if mirror.trouble:
                show.say(mirror.trouble)


def _advise(recipe: Recipe) -> None:
    """Print what the training does without, and a margin that does not fit its weights, in the first process alone."""
    if not launched().rank:
        for line in missing(recipe):
            show.say(line)
        _warn_of_margin(recipe)


def _warn_of_margin(recipe: Recipe) -> None:
    """Warn when the starting weights were trained at another margin than this run uses."""
    try:
        known = read_checkpoint(recipe.model.weights)[0].clip.margin if recipe.model.weights else recipe.clip.margin
    except CheckpointError:  # not a checkpoint of dfd: building the network reports what is wrong
        return
    if known != recipe.clip.margin:
        show.say(
            f"The weights were trained at a margin of {known:g}, and this run feeds {recipe.clip.margin:g}, at which "
            f"they lose much of what they know: --clip.margin {known:g} keeps it"
        )
