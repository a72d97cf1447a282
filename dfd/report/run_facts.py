"""The data of a run's page, read from the run's files and from the tables of its datasets.

The run is a cross-validation, a training with a held-out fold, or a training alone, which has no score. A run that was
stopped has a part of the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfd.clips.made import PREFIX
from dfd.errors import ConfigError, StoreError
from dfd.faces.store import FaceStore
from dfd.faces.tables import read_tables
from dfd.files import read_object
from dfd.inference.oof import read_endings
from dfd.report.card import MEASURES
from dfd.scoring.folds import SET, group_of, read_folds
from dfd.scoring.metrics import clip
from dfd.scoring.submission import read_submission
from dfd.training.datasets import NOTED
from dfd.videos.kinds import kind_of

MARKS = ("config.json", "folds.csv", "metrics.csv")
"""Files that identify a run folder; it has at least one of them."""
FACE_SIDES = (64, 128, 256)
"""Bin edges in pixels for the size of faces."""


@dataclass(frozen=True)
class RunFacts:
    """config, score, decision, distortions, start: contents of the run's JSON files; empty if a file is missing.

    videos: one row per scored video: filename, label, probability as submitted, after (the same with a calibration
    fitted without its fold; NaN without one), loss, status, reason, group, source, fold (-1 if there is only one), set,
    method, compression and side (of its faces in pixels; NaN if unknown). Empty if nothing was scored or no labels are
    known. curve: metrics.csv. stores: its datasets. lacks: sentences on what could not be shown, and why.
    """

    folder: Path
    config: Mapping[str, Any]
    score: Mapping[str, Any]
    decision: Mapping[str, Any]
    distortions: Mapping[str, Any]
    start: Mapping[str, Any]
    videos: pd.DataFrame
    curve: pd.DataFrame
    stores: tuple[FaceStore, ...]
    lacks: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's name on its page."""
        return self.folder.resolve().name

    @cached_property
    def folds(self) -> list[pd.DataFrame]:
        """The rows of each fold; empty without folds."""
        return [] if self.videos.empty else [rows for fold, rows in self.videos.groupby("fold") if int(str(fold)) >= 0]


def read_run(run: Path, faces: Sequence[Path] = ()) -> RunFacts:
    """Read the run in the folder `run`. faces: its datasets; by default those recorded in the run.

    Raises ConfigError when the folder is not a run, or one of its files is malformed; StoreError when one of `faces`
    is not a dataset.
    """
    if not is_run(run):
        raise ConfigError(f"{run} is no run (none of {', '.join(MARKS)} is there): name what dfd crossval --out made")
    lacks: list[str] = []
    stores = _stores(run, faces, lacks)
    tables = [read_tables(store.folder) for store in stores]
    about = _optional(run / "score.json")
    score, decision = about.get("score", about), about.get("decision", {})
    if score and not score.keys() >= {*MEASURES, "log_loss"}:
        raise ConfigError(f"{run / 'score.json'} holds no measures: delete it, and give the run's command again")
    videos = _videos(run, [videos for videos, _ in tables], decision, lacks)
    sides = [_sides(tracklets) for _, tracklets in tables]
    if not videos.empty:
        known = pd.concat(sides) if sides else pd.Series(dtype=float)
        videos["side"] = videos["filename"].str.removeprefix(PREFIX).map(known[~known.index.duplicated()])
    return RunFacts(
        folder=run,
        config=_optional(run / "config.json"),
        score=score,
        decision=decision,
        distortions=_optional(run / "distort.json"),
        start=_optional(run / "zero-shot" / "score.json").get("score", {}),
        videos=videos,
        curve=_curve(run),
        stores=tuple(stores),
        lacks=tuple(lacks),
    )


def is_run(folder: Path) -> bool:
    """Whether a folder looks like a run folder."""
    return any((folder / name).is_file() for name in MARKS)


def _optional(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file; empty without a file."""
    return read_object(path, ConfigError, "give the folder of a run") if path.is_file() else {}


def _stores(run: Path, faces: Sequence[Path], lacks: list[str]) -> list[FaceStore]:
    """Open the datasets of a run. A recorded one that no longer exists is reported, but not an error."""
    if faces:
        return [FaceStore.open(folder) for folder in faces]
    noted = [Path(str(folder)) for folder in _optional(run / NOTED).values()]
    found = []
    for folder in noted:
        try:
            found.append(FaceStore.open(folder))
        except StoreError as error:
            lacks.append(f"No pictures of faces: {error}. Say where they are with --faces.")
    if not noted:
        lacks.append("No pictures of faces: the run does not say where its dataset is. Say it with --faces.")
    return found


def _videos(run: Path, tables: Sequence[pd.DataFrame], decision: Mapping[str, Any], lacks: list[str]) -> pd.DataFrame:
    """The table RunFacts.videos, except for the sides of faces."""
    if not (run / "oof.csv").is_file():
        stopped = (run / "folds.csv").is_file()
        lacks.append(
            "This cross-validation was stopped before its end: give its command again to finish it."
            if stopped
            else "Nothing was kept aside, so there is no score: dfd crossval, or dfd train --fold, gives one."
        )
        return pd.DataFrame()
    said = read_submission(run / "oof.csv")
    frame = read_folds(run / "folds.csv") if (run / "folds.csv").is_file() else _unfolded(said, tables)
    if frame.empty:
        lacks.append("No labels are known of what was scored: say with --faces of which datasets the run is.")
        return frame
    lacking = [name for name in frame["filename"] if name not in said]
    if lacking:
        raise ConfigError(f"{run / 'oof.csv'} has no row for {lacking[0]!r}, which is in folds.csv")
    frame = frame.assign(probability=frame["filename"].map(said), after=np.nan)
    endings = read_endings(run / "oof.json") if (run / "oof.json").is_file() else {}
    frame["status"] = [endings.get(name, ("ok", ""))[0] for name in frame["filename"]]
    frame["reason"] = [endings.get(name, ("ok", ""))[1] for name in frame["filename"]]
    scored = [name for name, (status, _) in endings.items() if status == "ok"]
    after = decision.get("probabilities") or []
    if len(after) == len(scored):
        frame["after"] = frame["filename"].map(dict(zip(scored, after, strict=True)))
    kept = clip(frame["probability"])
    frame["loss"] = -np.log(np.where(frame["label"] == 1, kept, 1 - kept))
    kinds = [kind_of(name.removeprefix(PREFIX)) for name in frame["filename"]]
    made = frame["filename"].str.startswith(PREFIX)
    sets = frame[SET] if SET in frame else [kind.set for kind in kinds]
    methods = np.where(made, "self-blended", [kind.method for kind in kinds])
    return frame.assign(set=sets, method=methods, compression=[kind.compression for kind in kinds])


def _unfolded(said: Mapping[str, float], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows like those of folds.csv for a training's single held-out fold, with data from the datasets' tables."""
    if not tables:
        return pd.DataFrame()
    known = pd.concat(tables).dropna(subset=["label"]).drop_duplicates("video").set_index("video")
    own = [name.removeprefix(PREFIX) for name in said]
    there = [(name, real) for name, real in zip(said, own, strict=True) if real in known.index]
    if not there:
        return pd.DataFrame()
    names, reals = map(list, zip(*there, strict=True))
    sources = known.loc[reals, "source"].tolist()
    groups = group_of(names, dict(zip(names, sources, strict=True)))
    label_of = known["label"].astype(int).to_dict()
    labels = [1 if name != real else label_of[real] for name, real in there]
    return pd.DataFrame(
        {"filename": names, "label": labels, "source": sources, "group": [groups[name] for name in names], "fold": -1}
    )


def _sides(tracklets: pd.DataFrame) -> pd.Series:
    """The median side in pixels of a video's faces, by its name."""
    found = tracklets.groupby("video", observed=True)["side"].median()
    return pd.Series(found.to_numpy(), index=found.index.astype(str))


def _curve(run: Path) -> pd.DataFrame:
    """Read metrics.csv, or for a stopped cross-validation those of its folds. Empty if there is none."""
    paths = {None: run / "metrics.csv"} if (run / "metrics.csv").is_file() else {}
    for path in [] if paths else sorted(run.glob("fold-*/metrics.csv")):
        paths[path.parent.name.removeprefix("fold-")] = path  # type: ignore[index]
    found = []
    for fold, path in paths.items():
        try:
            table = pd.read_csv(path)
            found.append(table if fold is None else table.assign(fold=fold))
            table[["step", "loss", "accuracy"]].astype(float)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path} is no curve of a training: {error}") from None
    return pd.concat(found) if found else pd.DataFrame()
