"""Out-of-fold predictions, written by a cross-validation. They can be evaluated without running a network again.

folds.csv    fold and group of each video
oof.json     each video's status and the logits of its tracklets, by the model that has not seen it
score.json   number of these videos that the models' starting weights had seen
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dfd.errors import ConfigError
from dfd.files import write_json
from dfd.scoring.decide import Judged
from dfd.scoring.folds import read_folds
from dfd.scoring.seen import SEEN
from dfd.scoring.sets import parts
from dfd.types import VideoScore


@dataclass(frozen=True)
class OutOfFold:
    """folds: one row per video, as in scoring/folds.py. scores: predictions, in the order of the rows.

    seen: number of the videos that the starting weights had seen.
    """

    folds: pd.DataFrame
    scores: tuple[VideoScore, ...]
    seen: int = 0

    def judged(self) -> list[Judged]:
        """The predictions with their labels and groups, in the order of the rows."""
        known = zip(self.scores, self.folds["label"].tolist(), parts(self.folds), strict=True)
        return [Judged(score.faces, int(label), int(fold)) for score, label, fold in known]

    def labels(self) -> dict[str, int]:
        """1 fake, 0 real, by file name."""
        return dict(zip(self.folds["filename"], map(int, self.folds["label"]), strict=True))

    def groups(self) -> dict[str, str]:
        """Groups to resample together, by file name."""
        return dict(zip(self.folds["filename"], self.folds["group"], strict=True))


def read_oof(run: Path) -> OutOfFold | None:
    """Read the predictions in a run folder; None if the run is not a cross-validation.

    Raises ConfigError when it was stopped, or its files are malformed.
    """
    if not (run / "folds.csv").is_file():
        return None
    if not all((run / name).is_file() for name in ("oof.json", "score.json")):
        raise ConfigError(f"{run} is a cross-validation that was stopped: give its command again to finish it")
    folds = read_folds(run / "folds.csv")
    scores = {score.name: score for score in read_scores(run / "oof.json")}
    lacking = [name for name in folds["filename"] if name not in scores]
    if lacking:
        raise ConfigError(f"{run / 'oof.json'} has no prediction of {lacking[0]!r}, which is in folds.csv")
    return OutOfFold(folds, tuple(scores[name] for name in folds["filename"]), _seen(run / "score.json"))


def _seen(path: Path) -> int:
    """Read from score.json how many videos the starting weights had seen."""
    with _of_crossval(path):
        return int(json.loads(path.read_bytes())["score"][SEEN])


def write_scores(path: Path, scores: Sequence[VideoScore]) -> None:
    """Write scores with their tracklets' logits as JSON, atomically."""
    write_json(path, [vars(score) for score in scores])


def read_scores(path: Path) -> list[VideoScore]:
    """Read what write_scores wrote. Raises ConfigError when it is malformed."""
    with _of_crossval(path):
        return [VideoScore(**row) for row in json.loads(path.read_bytes())]


def read_endings(path: Path) -> dict[str, tuple[str, str]]:
    """Read each video's status and reason from a file of write_scores, in its order, without the large logits.

    Raises ConfigError when it is malformed.
    """

    def ending(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["name"], row["status"], row["reason"]

    with _of_crossval(path):
        rows = json.loads(path.read_bytes(), object_hook=ending)
        return {name: (status, reason) for name, status, reason in rows}


@contextmanager
def _of_crossval(path: Path) -> Iterator[None]:
    """Context that reads `path`, whose errors become a ConfigError."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path} is not what dfd crossval wrote ({error}): delete it, and run that again") from None
