"""A finished cross-validation scored again on distorted videos: the nearest thing to the competition's private test.

distort.json                the measures of each distortion, and of the videos as they are
distort/NAME.csv            out-of-fold predictions under that distortion, in submission form: what is scored
fold-K/distort/NAME.json    the same with every clip's logit, of one fold
"""

import json
from pathlib import Path
from typing import Any

from dfd.clips.distort import DISTORTIONS
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.store import FaceStore, VideoRecord
from dfd.inference.oof import OutOfFold, read_oof, read_scores
from dfd.scoring.submission import compare_submissions, score_submission, write_submission
from dfd.training.crossval import score_held
from dfd.training.fit import CHECKPOINT
from dfd.types import VideoScore

CLEAN = "as it is"


def distort(store: FaceStore, run: Path, progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """Score every fold of the cross-validation in `run` under each of DISTORTIONS, by the model that has not seen it.

    Returns the measures by distortion, CLEAN first, each with what it means and, as `against`, how its losses differ
    from the clean ones. What was scored before is kept. Raises ConfigError when `run` is no finished cross-validation
    of the videos in `store`.
    """
    oof = read_oof(run)
    if oof is None:
        raise ConfigError(f"{run} is no cross-validation: run dfd crossval into it first")
    records = {record.video: record for record in store.records()}
    lacking = [name for name in oof.folds["filename"] if name not in records]
    if lacking:
        raise ConfigError(f"{store.folder} has no {lacking[0]!r}, which {run} is of: name the dataset that it is of")
    clean, total = run / "oof.csv", len(DISTORTIONS) * len(oof.folds)
    (run / "distort").mkdir(exist_ok=True)
    found = {CLEAN: {"means": "the videos as they are", **score_submission(clean, oof.labels(), oof.groups())}}
    for number, name in enumerate(DISTORTIONS):
        scores = _score(name, run, oof, records, _after(progress, number * len(oof.folds), total, name))
        out = run / "distort" / f"{name}.csv"
        write_submission(out, {video: scores[video].probability for video in oof.folds["filename"]})
        found[name] = {
            "means": DISTORTIONS[name].means,
            **score_submission(out, oof.labels(), oof.groups()),
            "against": compare_submissions(clean, out, oof.labels(), oof.groups()),
        }
    partial = run / ".distort.json.partial"
    partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    partial.replace(run / "distort.json")
    return found


def _score(
    name: str, run: Path, oof: OutOfFold, records: dict[str, VideoRecord], progress: Progress | None
) -> dict[str, VideoScore]:
    """Every video's score under one distortion."""
    scores: dict[str, VideoScore] = {}
    for fold, rows in oof.folds.groupby("fold"):
        held = [records[video] for video in rows["filename"]]
        out = run / f"fold-{fold}" / "distort" / name
        out.parent.mkdir(exist_ok=True)
        told = _after(progress, len(scores), len(oof.folds), name)
        score_held(held, run / f"fold-{fold}" / CHECKPOINT, out, DISTORTIONS[name], told)
        scores |= {score.name: score for score in read_scores(out.with_name(f"{name}.json"))}
    return scores


def _after(progress: Progress | None, before: int, total: int, text: str) -> Progress | None:
    """Tells `progress` of a part's steps when `before` of all `total` were done."""
    if progress is None:
        return None
    return lambda done, _, __: progress(before + done, total, text)
