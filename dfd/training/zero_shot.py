"""Score starting weights, untrained, on the folds of a cross-validation: the baseline for training.

zero-shot/folds.csv, oof.csv, oof.json, score.json    as in a cross-validation, for the weights alone
zero-shot/weights.json                                identifies the weights
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dfd.errors import ConfigError
from dfd.files import sha256, write_json
from dfd.models.checkpoint import is_checkpoint
from dfd.scoring.folds import read_folds, write_folds
from dfd.scoring.sets import known
from dfd.scoring.submission import compare_submissions
from dfd.training.clock import PLAIN, Runtime
from dfd.training.crossval import measures, score_held
from dfd.training.datasets import Data, labelled
from dfd.training.groups import Grouping, named_people, split
from dfd.training.lineage import check_unseen, count_seen
from dfd.training.recipes import Recipe

FOLDER = "zero-shot"


def zero_shot(
    store: Data, recipe: Recipe, folds: int, out: Path, runtime: Runtime = PLAIN, grouping: Grouping | None = None
) -> dict[str, Any]:
    """Score every video of `store` with the recipe's starting weights into `out`, without training. Returns the
    measures.

    The folds are those of crossval with the same arguments. Raises ConfigError when the weights are not a checkpoint of
    dfd, have seen a video (unless `runtime.allow_seen`), or `out` is of other weights; OutOfTimeError at
    `runtime.until`.
    """
    weights = recipe.model.weights
    if weights is None or not is_checkpoint(weights):
        raise ConfigError(
            f"--zero-shot scores a model as it is: give --model.weights a checkpoint of dfd, not {weights}"
        )
    records = labelled(store)
    frame = split(records, folds, recipe.train.seed, grouping, runtime.progress, out)
    check_unseen(frame, weights, runtime.allow_seen, named_people(records, grouping))
    return _score(store, weights, frame, out, runtime, grouping)


def compare_with_start(
    store: Data, weights: Path | None, run: Path, runtime: Runtime = PLAIN, grouping: Grouping | None = None
) -> dict[str, Any] | None:
    """Measure the starting weights of a finished cross-validation on its own folds; None if they are not a model.

    against: how much higher the trained models' losses are.
    """
    if weights is None or not is_checkpoint(weights):
        return None
    frame = read_folds(run / "folds.csv")
    score = _score(store, weights, frame, run / FOLDER, runtime, grouping)
    return {**score, "against": compare_submissions(run / FOLDER / "oof.csv", run / "oof.csv", *known(frame))}


def _score(
    store: Data, weights: Path, frame: pd.DataFrame, out: Path, runtime: Runtime, grouping: Grouping | None
) -> dict[str, Any]:
    """Score the videos that are not scored yet. Raises ConfigError when `out` is of other weights."""
    identity, note = sha256(weights), out / "weights.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8"))["sha256"] != identity:
        raise ConfigError(f"{out} is of other weights than {weights}: name another folder, or delete it")
    out.mkdir(parents=True, exist_ok=True)
    write_json(note, {"weights": str(weights), "sha256": identity})
    write_folds(out / "folds.csv", frame)
    names = set(frame["filename"])
    records = [record for record in labelled(store) if record.video in names]

    scoring = replace(runtime, what="the starting weights as they are")
    score_held(records, weights, out / "oof", progress=scoring.report)
    again = count_seen(frame, weights, weights, named_people(records, grouping))
    score = measures(out, frame, records, again)
    write_json(out / "score.json", {"score": score})
    return score
