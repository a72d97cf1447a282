"""The videos that a model was trained on, its starting weights included.

A score on held-out videos is meaningless if the starting weights were trained on them. Such a run is refused, or its
score says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfd.errors import ConfigError
from dfd.models.checkpoint import seen_by
from dfd.scoring.seen import seen_before, shown

People = Mapping[str, Sequence[str]]
NOBODY: People = {}


def lineage(weights: Path | None, *names: Iterable[str]) -> tuple[str, ...]:
    """`names` (videos, images, sources, people) and those that the starting `weights` were trained on, sorted.

    Raises CheckpointError.
    """
    return tuple(sorted({*seen_by(weights), *(name for some in names for name in some)}))


def check_unseen(held: pd.DataFrame, weights: Path | None, allow: bool = False, people: People = NOBODY) -> None:
    """Reject starting `weights` that were trained on videos of `held`, rows of a table of folds, unless `allow`.

    people: in each video, if known. Raises ConfigError naming the first such video; CheckpointError when the weights
    cannot be read.
    """
    again = [] if allow else _seen(held, weights, people)
    if again:
        raise ConfigError(
            f"{weights} was trained on {len(again)} of the {len(held)} videos to score, or on their sources or group: "
            f"{shown(again)}; begin from other weights, or give --allow-seen for a score that says so"
        )


def count_seen(held: pd.DataFrame, weights: Path | None, checkpoint: Path, people: People = NOBODY) -> int:
    """Number of videos in `held` that the starting `weights` of the model in `checkpoint` were trained on.

    Read from the checkpoint, since the file of weights may have changed. Raises CheckpointError.
    """
    return len(_seen(held, checkpoint, people)) if weights else 0


def _seen(held: pd.DataFrame, checkpoint: Path | None, people: People) -> list[str]:
    """The videos of `held` of which `checkpoint` has seen the video, its source, its people or others of its group."""
    names, sources, groups = (held[column].tolist() for column in ("filename", "source", "group"))
    return seen_before(names, sources, groups, seen_by(checkpoint), people)
