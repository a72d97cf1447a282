"""Errors that a user can correct. Each message says what happened, to which value, and what would be right.

DfdError
├── ConfigError       an invalid option, recipe or saved config
├── ManifestError     a folder, metadata.json or CSV that does not describe videos
├── VideoReadError    one video that cannot be read; costs that video only
├── StoreError        a dataset that is missing, damaged or built with other settings
├── CheckpointError   weights, a checkpoint or a bundle that does not fit
├── SubmissionError   a submission.csv that Kaggle would not take
├── ClusterError      no cluster, or a node that does not fit
├── TrainingError     a training that failed: a full disk, a process that died
└── OutOfTimeError    a training that stopped at its time limit; the same command resumes
"""

from collections.abc import Sequence
from pathlib import Path

SHOWN = 3
"""Number of items that an error lists; the rest is counted."""


def first_of(texts: Sequence[str]) -> str:
    """Abbreviate a list: its first items, and how many more there are.

    >>> first_of(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


class DfdError(Exception):
    """Any error that a user can correct. The command line prints it as one line and exits with status 1."""


class ConfigError(DfdError):
    """An invalid option, recipe or saved config."""


class ManifestError(DfdError):
    """A folder, a metadata.json or a CSV that does not describe videos."""


class VideoReadError(DfdError):
    """One video that cannot be read.

    >>> str(VideoReadError("a.mp4", "no video stream"))
    'a.mp4: no video stream'
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)  # keep both arguments, so that the error can be unpickled from a worker
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
    """No cluster at an address, or a node that cannot be used; names it and the reason."""


class TrainingError(DfdError):
    """A training that failed: a full disk, a process that died."""


class OutOfTimeError(DfdError):
    """A training that stopped at its time limit or at a SIGTERM, and was saved: the same command resumes."""
