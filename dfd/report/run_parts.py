"""Measures of a run by fold, set, method, compression, face size and status."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from dfd.report.run_facts import FACE_SIDES
from dfd.scoring.metrics import evaluate

ROUNDS = 200
"""Number of bootstrap rounds for the interval of a part."""
Row = dict[str, Any]

KINDS = (
    ("set", "By data set"),
    ("method", "By the fakes' method, each with the real videos of its set"),
    ("compression", "By compression"),
    ("size", "By the size of the faces"),
    ("status", "By how the video ended"),
)


def parts(videos: pd.DataFrame) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows of each way to split the videos, if it gives several parts."""
    videos = videos.assign(size=sizes(videos["side"]))
    for column, title in KINDS:
        names = sorted(name for name in videos[column].unique().tolist() if name)
        if column == "size":
            names = [name for name in SIZES if name in names]
        if len(names) > 1 or (column == "method" and names):
            yield title, [{column: name, **measured(_part(videos, column, name))} for name in names]


def _part(videos: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """The rows of a part. A method has only fakes, so the real videos of the same sets are added."""
    rows = videos[videos[column] == name]
    if column != "method":
        return rows
    reals = videos[(videos["label"] == 0) & videos["set"].isin(rows["set"].unique())]
    return pd.concat([reals, rows])


def measured(rows: pd.DataFrame) -> Row:
    """Measures of some videos, as a table row."""
    found = evaluate(rows["label"], rows["probability"], rows["group"].tolist(), ROUNDS)
    errors, reals = found["confusion"], found["videos"] - found["fakes"]
    return {
        "videos": found["videos"],
        "fakes": found["fakes"],
        "balanced log loss": found["balanced_log_loss"],
        "95 % interval": between(found["balanced_log_loss_interval"]),
        "AUC": found["auc"],
        "fakes missed": share(errors["fake_as_real"], found["fakes"]),
        "false alarms": share(errors["real_as_fake"], reals),
    }


def fold_rows(folds: list[pd.DataFrame], people: Mapping[str, tuple[str, ...]]) -> list[Row]:
    """One row per fold. people: who is in a video, if known."""
    return [
        {
            "fold": int(rows["fold"].iloc[0]),
            "groups": rows["group"].nunique(),
            "sources": rows["source"].nunique(),
            **({"people": len({who for name in rows["filename"] for who in people.get(name, ())})} if people else {}),
            **measured(rows),
        }
        for rows in folds
    ]


SIZES = (
    f"under {FACE_SIDES[0]} pixels",
    *(f"{low} to {high} pixels" for low, high in pairwise(FACE_SIDES)),
    f"{FACE_SIDES[-1]} pixels and more",
)


def sizes(sides: pd.Series) -> list[str]:
    """The size class of each side in pixels; empty if unknown.

    >>> sizes(pd.Series([63.9, 64, 300, np.nan]))
    ['under 64 pixels', '64 to 128 pixels', '256 pixels and more', '']
    """
    places = np.searchsorted(FACE_SIDES, sides, side="right")
    return ["" if np.isnan(side) else SIZES[place] for side, place in zip(sides, places, strict=True)]


def between(interval: list[float] | None) -> str:
    """Format an interval.

    >>> between([0.25, 0.5]), between(None)
    ('0.250 to 0.500', '')
    """
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""


def share(part: int, whole: int) -> str:
    """Format a share in percent; a dash for a share of nothing.

    >>> share(1, 8), share(0, 0)
    ('12 %', '–')
    """
    return f"{part / whole:.0%}".replace("%", " %") if whole else "–"
