"""Score the videos in a file of folds: pooled, and with several datasets each one too.

The pooled score mixes within-dataset and between-dataset differences. A model that calls all of one dataset fake and
all of the other real has no skill within either, but may look good on both together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dfd.scoring.folds import SET
from dfd.scoring.submission import score_submission
from dfd.videos.people import layout_in

SETS = "sets"
"""Key in a score: the measures of each dataset, by its name, if there are several."""
NOTE = "note"
"""Key in a score: a caveat about its videos, in a sentence."""


def score_folds(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """Measure the submission at `path` on the videos of a frame of folds, resampling whole groups.

    Raises SubmissionError like score_submission.
    """
    score = score_submission(path, *known(frame))
    if SET not in frame or frame[SET].nunique() < 2:
        return score
    parts = frame.groupby(SET)
    return {**score, SETS: {str(name): _alone(path, part) for name, part in parts}}


def sets_of(datasets: Mapping[str, str]) -> dict[str, str]:
    """The set of each video, by name: its dataset, or within a dataset of several layouts its layout.

    datasets: the name of each video's dataset; empty if there is only one.

    >>> sets_of({"Celeb-real/id0_0000.mp4": "", "dfdc_train_part_0/a.mp4": "", "b.mp4": ""})
    {'Celeb-real/id0_0000.mp4': 'Celeb-DF', 'dfdc_train_part_0/a.mp4': 'DFDC', 'b.mp4': 'others'}
    >>> sets_of({"Celeb-real/id0_0000.mp4": "celeb", "b.mp4": "mine"})
    {'Celeb-real/id0_0000.mp4': 'celeb', 'b.mp4': 'mine'}
    """
    layouts: dict[str, set[str]] = {}
    for name, dataset in datasets.items():
        layouts.setdefault(dataset, set()).add(layout_in(name))
    return {
        name: "/".join(filter(None, [dataset, layout_in(name) or "others"])) if len(layouts[dataset]) > 1 else dataset
        for name, dataset in datasets.items()
    }


def parts(frame: pd.DataFrame) -> list[int]:
    """The part (N,) of each row of a frame of folds. What is fitted is evaluated on the part that it was not fitted on.

    With several sets these are the parts, since what is fitted within a set fails on another's fakes. Otherwise folds.
    """
    if SET in frame and frame[SET].nunique() > 1:
        return [int(number) for number in pd.factorize(frame[SET])[0]]
    return [int(fold) for fold in frame["fold"]]


def known(frame: pd.DataFrame) -> tuple[dict[str, int], dict[str, str]]:
    """Labels (1 fake, 0 real) and groups of a frame of folds, by file name."""
    labels = dict(zip(frame["filename"], map(int, frame["label"]), strict=True))
    return labels, dict(zip(frame["filename"], frame["group"], strict=True))


def _alone(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """Measure a subset without counting other datasets' rows."""
    score = score_submission(path, *known(frame))
    return {name: value for name, value in score.items() if name not in ("unlabelled", "missing")}
