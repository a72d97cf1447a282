"""The score of what folds list: pooled, and where they are of several datasets, of each one too.

The pooled score hides how the datasets' scores lie to one another: a model that calls all of one fake and all of the
other real is right within neither, and may look good on both together.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from dfd.scoring.folds import SET
from dfd.scoring.submission import score_submission

SETS = "sets"
"""In a score: the measures of each dataset, by its name, where there are several."""
NOTE = "note"
"""In a score: what is peculiar to the videos that it is of, in a sentence."""


def score_folds(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """The measures of the submission at `path` on the videos of a frame of folds, groups resampled whole.

    Raises SubmissionError as score_submission.
    """
    score = score_submission(path, *known(frame))
    if SET not in frame or frame[SET].nunique() < 2:
        return score
    parts = frame.groupby(SET)
    return {**score, SETS: {str(name): _alone(path, part) for name, part in parts}}


def known(frame: pd.DataFrame) -> tuple[dict[str, int], dict[str, str]]:
    """Labels (1 fake, 0 real) and groups of a frame of folds, by file name."""
    labels = dict(zip(frame["filename"], map(int, frame["label"]), strict=True))
    return labels, dict(zip(frame["filename"], frame["group"], strict=True))


def _alone(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """Without the counts of other datasets' rows."""
    score = score_submission(path, *known(frame))
    return {name: value for name, value in score.items() if name not in ("unlabelled", "missing")}
