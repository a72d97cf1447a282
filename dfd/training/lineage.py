"""What a model has seen, handed down: a run's videos and those of the weights it begins from, and its sources'.

Weights that have seen what is held out give no score of unseen videos: such a run is refused, or says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfd.errors import ConfigError
from dfd.models.checkpoint import seen_by
from dfd.scoring.seen import seen_before, shown


def lineage(weights: Path | None, *names: Iterable[str]) -> tuple[str, ...]:
    """`names` (videos, pictures, sources, people) and what the starting `weights` have seen, sorted.

    Raises CheckpointError.
    """
    return tuple(sorted({*seen_by(weights), *(name for some in names for name in some)}))


def check_unseen(
    held: pd.DataFrame,
    weights: Path | None,
    allow: bool = False,
    people: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """How many videos of `held`, rows of a frame of folds, the starting `weights` have seen.

    people: in each video, where they are known. A video counts as seen when it, what it was made from, a person in it,
    or another one of its group was. Raises ConfigError naming
    the first, unless `allow`; CheckpointError when the weights cannot be read.
    """
    names, sources, groups = (held[column].tolist() for column in ("filename", "source", "group"))
    again = seen_before(names, sources, groups, seen_by(weights), people)
    if again and not allow:
        raise ConfigError(
            f"{weights} was trained on {len(again)} of the {len(held)} videos to score, or on their sources or group: "
            f"{shown(again)}; begin from other weights, or give --allow-seen for a score that says so"
        )
    return len(again)
