"""Score a finished cross-validation again on distorted videos, like those of the competition's private test set.

distort.json                the measures of each distortion, and of the undistorted videos
distort/NAME.csv            out-of-fold predictions under that distortion, as a submission: the file that is scored
fold-K/distort/NAME.json    the same for one fold, with the logit of each clip
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfd.clips.distort import DISTORTIONS
from dfd.errors import ConfigError
from dfd.faces.records import VideoRecord
from dfd.files import write_json
from dfd.inference.oof import OutOfFold, read_oof, read_scores
from dfd.scoring.seen import SEEN
from dfd.scoring.sets import score_folds
from dfd.scoring.submission import compare_submissions, write_submission
from dfd.training.clock import PLAIN, Runtime
from dfd.training.crossval import score_held
from dfd.training.datasets import Data, Datasets
from dfd.training.fit import CHECKPOINT
from dfd.types import VideoScore

CLEAN = "as it is"


def distort(store: Data, run: Path, runtime: Runtime = PLAIN) -> dict[str, dict[str, Any]]:
    """Score every fold of the cross-validation in `run` under each of DISTORTIONS, by the model that has not seen it.

    Returns the measures by distortion, CLEAN first, each with its description and, as `against`, the differences of its
    losses from the clean ones. Existing scores are kept. Raises ConfigError when `run` is not a finished
    cross-validation of the videos in `store`; OutOfTimeError at `runtime.until`.
    """
    oof = read_oof(run)
    if oof is None:
        raise ConfigError(f"{run} is no cross-validation: run dfd crossval into it first")
    data = Datasets.of(store)
    records = {record.video: record for record in data.records()}
    lacking = [name for name in oof.folds["filename"] if name not in records]
    if lacking:
        raise ConfigError(f"{data} has no {lacking[0]!r}, which {run} has: name the dataset of that run")
    clean, total = run / "oof.csv", len(DISTORTIONS) * len(oof.folds)
    (run / "distort").mkdir(exist_ok=True)
    seen = {SEEN: oof.seen}
    found = {CLEAN: {"means": "the videos as they are", **score_folds(clean, oof.folds), **seen}}
    for number, name in enumerate(DISTORTIONS):
        scores = _score(name, run, oof, records, _Progress(runtime, number * len(oof.folds), total, name))
        out = run / "distort" / f"{name}.csv"
        write_submission(out, {video: scores[video].probability for video in oof.folds["filename"]})
        found[name] = {
            "means": DISTORTIONS[name].means,
            **score_folds(out, oof.folds),
            **seen,
            "against": compare_submissions(clean, out, oof.labels(), oof.groups()),
        }
    write_json(run / "distort.json", found)
    return found


def _score(
    name: str, run: Path, oof: OutOfFold, records: dict[str, VideoRecord], progress: "_Progress"
) -> dict[str, VideoScore]:
    """Score every video under one distortion."""
    scores: dict[str, VideoScore] = {}
    for fold, rows in oof.folds.groupby("fold"):
        held = [records[video] for video in rows["filename"]]
        out = run / f"fold-{fold}" / "distort" / name
        out.parent.mkdir(exist_ok=True)
        score_held(held, run / f"fold-{fold}" / CHECKPOINT, out, DISTORTIONS[name], progress.after(len(scores)))
        scores |= {score.name: score for score in read_scores(out.with_name(f"{name}.json"))}
    return scores


@dataclass(frozen=True)
class _Progress:
    """Reports a part's videos as a share of all `total`, of which `before` are done already."""

    runtime: Runtime
    before: int
    total: int
    text: str

    def after(self, more: int) -> "_Progress":
        return replace(self, before=self.before + more)

    def __call__(self, done: int, _: int, last: str) -> None:
        replace(self.runtime, what=self.text).report(self.before + done, self.total, last)
