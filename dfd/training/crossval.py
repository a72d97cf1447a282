"""Cross-validation: every video is scored by a model trained neither on it nor on anything made from it.

The same holds for the model's starting weights; with `Runtime.allow_seen`, a score says how many videos they have seen.
Scoring uses inference/predict.py, as the command line and the kernels do, and measures the submission file it writes.

    config.json, folds.csv     settings; fold and group of each video
    fold-K/                    a run folder: the training without fold K, and oof.csv, that model's scores of fold K
    oof.csv                    out-of-fold predictions as a submission: the file that is scored
    oof.json                   the same with the logit of each clip and the status of each video
    metrics.csv, score.json    the folds' curves; the measures, and the rule chosen for a bundle
    datasets.json              paths of the face datasets
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from dfd.clips.balance import both_classes
from dfd.clips.distort import Distortion
from dfd.clips.made import MADE, MadeFake
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.records import VideoRecord
from dfd.files import write_json
from dfd.inference.bundle import Bundle, load_member
from dfd.inference.info import BundleInfo
from dfd.inference.oof import read_scores, write_scores
from dfd.inference.predict import Prediction, predict
from dfd.scoring.decide import Decision, Judged, decide
from dfd.scoring.folds import write_folds
from dfd.scoring.seen import SEEN
from dfd.scoring.sets import NOTE, known, parts, score_folds
from dfd.scoring.submission import write_submission
from dfd.training.clock import PLAIN, Runtime
from dfd.training.curve import gather_curves
from dfd.training.datasets import Data, Datasets, content, labelled
from dfd.training.fit import CHECKPOINT, check_free, claim, train
from dfd.training.fit import settings as run_settings
from dfd.training.groups import Grouping, grouped, kind, named_people, settled, split
from dfd.training.lineage import check_unseen, count_seen
from dfd.training.loop import seeded_model
from dfd.training.material import mixed
from dfd.training.recipes import Recipe
from dfd.types import VideoScore


class Fold(NamedTuple):
    """One of several folds, from 0."""

    number: int
    of: int


@dataclass(frozen=True)
class CrossValidation:
    """Result of a cross-validation. score: measures of oof.csv. decision: the rule for a bundle of this run."""

    out: Path
    folds: pd.DataFrame
    score: dict[str, Any]
    decision: Decision
    scores: tuple[VideoScore, ...]


def crossval(
    store: Data, recipe: Recipe, folds: int, out: Path, runtime: Runtime = PLAIN, grouping: Grouping | None = None
) -> CrossValidation:
    """Train and score every fold into `out`. Finished folds are kept, and so is the split.

    Raises ConfigError if the starting weights were trained on some of the videos (unless `runtime.allow_seen`), `out`
    holds another run, the videos cannot be split so that each side has both classes, or a group crosses folds;
    OutOfTimeError at `runtime.until`.
    """
    data = Datasets.of(store)
    records = labelled(data)
    both_classes([record.label or 0 for record in records])
    grouping = grouping or Grouping()
    begun = (out / "folds.csv").is_file()
    frame = settled(out, records) if begun else split(records, folds, recipe.train.seed, grouping, runtime.progress)
    people = named_people(records, grouping)
    check_unseen(frame, recipe.model.weights, runtime.allow_seen, people)
    model = seeded_model(recipe)  # build it first: if that fails, no folder is left
    about = {"folds": folds, "content": content(records), **mixed(data.mix), **kind(grouping)}
    claim(out, run_settings(recipe, data.config, about), model)
    data.note(out)
    write_folds(out / "folds.csv", frame)
    fold_of = dict(zip(frame["filename"], frame["fold"], strict=True))
    groups = known(frame)[1]
    scores: dict[str, VideoScore] = {}
    for fold in range(folds):
        seen = [r for r in records if fold_of[r.video] != fold]
        held = [r for r in records if fold_of[r.video] == fold]
        part = runtime.part(fold, folds, f"fold {fold + 1} of {folds}")
        score_fold(seen, held, data, recipe, out / f"fold-{fold}", part, groups)
        scores |= {score.name: score for score in read_scores(out / f"fold-{fold}" / "oof.json")}
    ordered = tuple(scores[record.video] for record in records)
    write_submission(out / "oof.csv", {score.name: score.probability for score in ordered})
    write_scores(out / "oof.json", ordered)
    gather_curves(out)
    weights = recipe.model.weights
    again = (
        count_seen(part, weights, out / f"fold-{fold}" / CHECKPOINT, people) for fold, part in frame.groupby("fold")
    )
    return _judge(out, frame, ordered, measures(out, frame, records, sum(again)))


def train_all(
    store: Data, recipe: Recipe, out: Path, runtime: Runtime = PLAIN, grouping: Grouping | None = None
) -> Path:
    """Train on all labelled videos in the run folder `out`. Returns the checkpoint. grouping: for patience's split.

    Raises as fit.train.
    """
    data = Datasets.of(store)
    records = labelled(data)
    check_free(out)
    groups = grouped(records, grouping or Grouping(), runtime.progress, out) if recipe.train.patience else None
    return train(records, data, recipe, out, runtime, groups=groups)


def train_fold(
    store: Data, recipe: Recipe, fold: Fold, out: Path, runtime: Runtime = PLAIN, grouping: Grouping | None = None
) -> dict[str, Any]:
    """Train without one fold in the run folder `out`, and score that fold. Returns its measures, also in score.json.

    Other arguments and errors as in crossval; ConfigError also for a fold that does not exist.
    """
    number, folds = fold
    if not 0 <= number < folds:
        raise ConfigError(f"fold is {number}: with {folds} folds it is one of 0 to {folds - 1}")
    data = Datasets.of(store)
    records = labelled(data)
    both_classes([record.label or 0 for record in records])
    check_free(out)
    frame = split(records, folds, recipe.train.seed, grouping, runtime.progress, out)
    groups = known(frame)[1]
    frame = frame[frame["fold"] == number]
    people = named_people(records, grouping)
    check_unseen(frame, recipe.model.weights, runtime.allow_seen, people)
    names = set(frame["filename"])
    seen, held = ([r for r in records if (r.video in names) == inside] for inside in (False, True))
    score_fold(seen, held, data, recipe, out, replace(runtime, what=f"fold {number}"), groups)
    again = count_seen(frame, recipe.model.weights, out / CHECKPOINT, people)
    score = measures(out, frame, records, again)
    write_json(out / "score.json", score)
    data.note(out)
    return score


def score_fold(
    seen: Sequence[VideoRecord],
    held: Sequence[VideoRecord],
    data: Datasets,
    recipe: Recipe,
    out: Path,
    runtime: Runtime = PLAIN,
    groups: Mapping[str, str] | None = None,
) -> Prediction | None:
    """Train on `seen` in the run folder `out` and score `held` into its oof.csv; None if that is done already."""
    checkpoint = train(seen, data, recipe, out, runtime, held, groups)
    scoring = replace(runtime, what=f"{runtime.what}, scoring")
    return score_held(held, checkpoint, out / "oof", progress=scoring.report)


def score_held(
    held: Sequence[VideoRecord],
    checkpoint: Path,
    out: Path,
    distortion: Distortion | None = None,
    progress: Progress | None = None,
) -> Prediction | None:
    """Score `held` with the model in `checkpoint` into `out`.csv and `out`.json; None if that is done already.

    distortion: applied to the videos first.
    """
    table, detail = (out.with_name(f"{out.name}.{suffix}") for suffix in ("csv", "json"))
    if detail.is_file() and {s.name for s in read_scores(detail)} == {r.video for r in held}:
        return None
    member = load_member(checkpoint, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    bundle = Bundle(BundleInfo(faces=member[1].faces, members=()), (member,), distortion=distortion)
    with bundle.ready():  # as in a prediction: another number of threads may change the order of summation
        prediction = predict([record.video for record in held], [held], bundle, table, progress)
    write_scores(detail, prediction.scores)
    return prediction


def measures(out: Path, frame: pd.DataFrame, records: Sequence[VideoRecord], again: int) -> dict[str, Any]:
    """Measure oof.csv in `out`, resampling whole groups; with several datasets each one too.

    again: number of `records` on which the starting weights were trained.
    """
    note = {NOTE: MADE} if any(isinstance(record, MadeFake) for record in records) else {}
    return {**score_folds(out / "oof.csv", frame), SEEN: again, **note}


def _judge(out: Path, frame: pd.DataFrame, scores: Sequence[VideoScore], score: dict[str, Any]) -> CrossValidation:
    """Choose the rule from logits to a probability, and write score.json."""
    labels = known(frame)[0]
    part_of = dict(zip(frame["filename"], parts(frame), strict=True))
    decision = decide([Judged(s.faces, labels[s.name], part_of[s.name]) for s in scores if s.status == "ok"])
    about = {"score": score, "decision": {**vars(decision), "rule": decision.rule.model_dump()}}
    write_json(out / "score.json", about)
    return CrossValidation(out, frame, score, decision, tuple(scores))
