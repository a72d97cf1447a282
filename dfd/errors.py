"""What can go wrong, as types. Every message says what happened, to which value, and what would be right.

DfdError
├── ConfigError       an option, a recipe or a saved config that does not hold
├── ManifestError     a folder, metadata.json or CSV that does not describe videos
├── VideoReadError    one video that cannot be read; costs that video only
├── StoreError        a dataset that is missing, damaged or built with other settings
├── CheckpointError   weights, a checkpoint or a bundle that does not fit
├── SubmissionError   a submission.csv that Kaggle would not take
├── ClusterError      no cluster there, or one whose nodes do not fit
├── TrainingError     a training that broke off: a full disk, a process that died
└── OutOfTimeError    a training that stopped in time; the same command goes on
"""

from collections.abc import Sequence
from pathlib import Path

SHOWN = 3
"""Offenders that an error names before it only counts them."""


def first_of(texts: Sequence[str]) -> str:
    """The first of `texts`, and how many more there are.

    >>> first_of(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


class DfdError(Exception):
    """Anything a user can mend. The command line prints it as one line and exits with status 1."""


class ConfigError(DfdError):
    """An option, a recipe or a saved config that does not hold."""


class ManifestError(DfdError):
    """A folder, a metadata.json or a CSV that does not describe videos."""


class VideoReadError(DfdError):
    """One video that cannot be read.

    >>> str(VideoReadError("a.mp4", "no video stream"))
    'a.mp4: no video stream'
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)  # both arguments, so that the error survives pickling out of a worker
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class StoreError(DfdError):
    """A dataset that is missing, damaged or built with other settings."""


class CheckpointError(DfdError):
    """Weights, a checkpoint or a bundle that does not fit."""


class SubmissionError(DfdError):
    """A submission.csv that Kaggle would not take."""


class ClusterError(DfdError):
    """No cluster at an address, or one with a node that does not fit: which one, and what it lacks."""


class TrainingError(DfdError):
    """A training that broke off: a full disk, a process that died."""


class OutOfTimeError(DfdError):
    """A training that stopped in time, with everything on disk that it takes to go on: the same command does."""
