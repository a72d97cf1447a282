"""Leak-free folds: a real video and everything made from it share a fold.

A frame of folds has one row per video: filename, label (1 fake, 0 real), source (the real video it was made from, its
own name if real), group (videos that must stay together) and fold (from 0). With several datasets also set: the
dataset of each video.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dfd.errors import ConfigError
from dfd.files import whole
from dfd.videos.people import people_in

COLUMNS = ["filename", "label", "source", "group", "fold"]
SET = "set"
ATTEMPTS = 20
"""Number of shuffles tried to get both classes into every fold; with few groups the first may fail."""


def source_groups(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The group of each video: all videos linked by sources, named by the smallest name among them.

    A name may occur several times with different sources, and then links them.

    A source that is not among `names` still links its fakes. An empty source means the video's own name.

    >>> source_groups(["a", "b", "c", "d"], ["b", "b", "b", "absent"])
    ['a', 'a', 'a', 'absent']
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        """The name at the root of `name`'s tree."""
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]  # path halving
            name = parent[name]
        return name

    for name, source in zip(names, sources, strict=True):
        first, second = sorted((root(name), root(source or name)))
        parent[second] = first
    return [root(name) for name in names]


def group_of(names: Sequence[str], sources: Mapping[str, str]) -> dict[str, str]:
    """The group of each video, by sources and people. A video without an entry in `sources` is its own source."""
    return dict(zip(names, linked_groups(names, [sources.get(name, name) for name in names]), strict=True))


def linked_groups(
    names: Sequence[str], sources: Sequence[str], links: Sequence[tuple[str, str]] | None = None
) -> list[str]:
    """source_groups with the additional `links`; None links videos by the people in their names."""
    links = [(name, person) for name in names for person in people_in(name)] if links is None else links
    a, b = ([link[side] for link in links] for side in (0, 1))
    return source_groups([*names, *a], [*sources, *b])[: len(names)]


def assign_folds(
    names: Sequence[str],
    labels: Sequence[int],
    sources: Sequence[str],
    folds: int = 5,
    seed: int = 0,
    links: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Split videos into a frame of folds sorted by filename: groups stay whole, and every fold has both classes.

    Folds are as even as the groups allow. links: pairs of videos, or of a video and a person, that must stay together
    for other reasons than their sources (scoring/leaks.py); they are merged with the sources into groups. None links
    videos by the people in their names. The order of the videos does not matter. Raises ConfigError for a name given
    twice, a label that is not 0 or 1, fewer than two folds, or a class with fewer groups than folds.

    >>> frame = assign_folds(["a", "b", "a2", "b2"], [0, 0, 1, 1], ["a", "b", "a", "b"], folds=2)
    >>> frame.groupby("fold")["group"].unique().map(list).tolist()
    [['b'], ['a']]
    """
    if not len(names) == len(labels) == len(sources):
        raise ConfigError(f"{len(names)} names, {len(labels)} labels, {len(sources)} sources: a video has one of each")
    own = [source or name for name, source in zip(names, sources, strict=True)]
    groups = linked_groups(names, own, links)
    frame = pd.DataFrame({"filename": names, "label": labels, "source": own, "group": groups})
    frame = frame.sort_values("filename", ignore_index=True)
    _check_possible(frame, folds)
    for attempt in range(ATTEMPTS):
        frame["fold"] = _split(frame, folds, seed + attempt)
        if (frame.groupby("fold")["label"].nunique() == 2).sum() == folds:
            return frame
    raise ConfigError(f"no split into {folds} folds gives each of them real videos and fakes: take fewer folds")


def check_folds(frame: pd.DataFrame) -> None:
    """Raise ConfigError naming the problem if a column or value is missing, a file name repeats or a group crosses
    folds.

    Groups are also derived from the sources, so that a wrong group column hides nothing.
    """
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise ConfigError(f"folds have no column {missing[0]!r}; they take {', '.join(COLUMNS)}")
    for column in COLUMNS:
        if frame[column].isna().any():
            raise ConfigError(f"row {int(frame[column].isna().argmax())} has no {column}: give each video one")
    linked = source_groups(frame["filename"].tolist(), frame["source"].tolist())
    keys = {"filename": frame["filename"], "group": frame["group"], "source": frame["source"]}
    for what, key in {**keys, "group linked by sources,": pd.Series(linked, index=frame.index)}.items():
        crossing = frame["fold"].groupby(key).nunique() > 1
        if crossing.any():
            name = crossing.index[crossing][0]
            found = sorted(set(frame["fold"][key == name].tolist()))
            raise ConfigError(f"{what} {name!r} is in folds {', '.join(map(str, found))}: it must be in one")
    twice = frame["filename"][frame["filename"].duplicated()]
    if len(twice):
        raise ConfigError(f"filename {twice.iloc[0]!r} is listed twice: name each video once")


def write_folds(path: Path, frame: pd.DataFrame) -> None:
    """Check a frame of folds and write it as CSV, atomically."""
    check_folds(frame)
    with whole(path) as partial:
        # Quote every field, since csv does not quote a bare carriage return in a name.
        frame[_kept(frame)].to_csv(partial, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def read_folds(path: Path) -> pd.DataFrame:
    """Read what write_folds wrote. Raises ConfigError when it cannot be read or fails check_folds."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        check_folds(frame)
        return frame[_kept(frame)].astype({"label": int, "fold": int})
    except (OSError, ValueError) as error:  # pandas' parsing errors are ValueErrors
        raise ConfigError(f"{path} is no CSV of folds with {', '.join(COLUMNS)}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _kept(frame: pd.DataFrame) -> list[str]:
    """The columns of a file of folds."""
    return [*COLUMNS, *([SET] if SET in frame else [])]


def _check_possible(frame: pd.DataFrame, folds: int) -> None:
    if folds < 2:
        raise ConfigError(f"folds is {folds}: cross-validation takes at least 2")
    twice = frame["filename"][frame["filename"].duplicated()]
    if len(twice):
        raise ConfigError(f"filename {twice.iloc[0]!r} is given twice: name each video once")
    wrong = frame[~frame["label"].isin([0, 1])]
    if len(wrong):
        name, label = wrong["filename"].iloc[0], wrong["label"].iloc[0]
        raise ConfigError(f"label of {name!r} is {label}, not 0 (real) or 1 (fake)")
    for kind, videos in (("real", frame[frame["label"] == 0]), ("fake", frame[frame["label"] == 1])):
        groups = videos["group"].nunique()
        if groups < folds:
            most = f"at most {groups} folds" if groups > 1 else "it takes 2 or more"
            raise ConfigError(f"folds is {folds}, with {groups} {kind} group{'s' * (groups != 1)} only: {most}")


def _split(frame: pd.DataFrame, folds: int, seed: int) -> np.ndarray:
    """The fold of each row, (N,) from 0."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import; a prediction needs no folds

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.full(len(frame), -1)
    for number, (_, held) in enumerate(splitter.split(frame, frame["label"], frame["group"])):
        fold[held] = number
    return fold
