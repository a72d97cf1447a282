"""Commands about submissions."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.report import terminal as show
from dfd.scoring.submission import score_submission, validate_submission
from dfd.videos.manifest import read_labels


def validate(submission: Path, /, *, sample: Path) -> None:
    """Would Kaggle take SUBMISSION? Exit status 1, with the first bad rows, if not.

    Args:
        submission: A submission.csv.
        sample: The competition's sample_submission.csv.
    """
    for warning in validate_submission(submission, sample):
        show.say(f"Warning: {warning}", "yellow")
    show.say(f"{submission} is a valid submission.")


def score(
    submission: Path, /, *, labels: Path, json_: Annotated[bool, Parameter(name="--json", negative=())] = False
) -> None:
    """Score SUBMISSION: log loss as the competition computes it, and what explains it.

    Args:
        submission: A submission.csv.
        labels: A CSV with filename,label (1 fake, 0 real), or a metadata.json.
        json_: Print one JSON object and nothing else.
    """
    result = score_submission(submission, read_labels(labels))
    if json_:
        return show.json(result)
    return show.score(result)
