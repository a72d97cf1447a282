"""Statistics of a dataset's videos for its page, computed from its tables without reading records."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfd.faces.film import SUFFIX
from dfd.faces.store import FaceStore
from dfd.faces.tables import read_tables
from dfd.videos.kinds import kind_of

LABELS = ("real", "fake", "unknown")
SIDES = (32, 64, 96, 128, 192, 256, 384)
"""Bin edges in pixels for the sides of faces."""
COUNTS = (1, 2, 3, 5, 9, 17, 33)
"""Lower bin edges for the number of tracklets of a video."""
FACES = (1, 2, 3, 4, 6)
"""Lower bin edges for the largest number of faces in a segment."""
PARTS = 40
"""Maximum number of sets listed."""
Row = dict[str, Any]


@dataclass(frozen=True)
class DatasetFacts:
    """videos: one row per video, from videos.csv, plus set (from its name, else "all"), kind (of LABELS), side (median
    of its faces in pixels; NaN without a face) and most (faces in one segment). disk: bytes of films, records and other
    files.
    """

    store: FaceStore
    videos: pd.DataFrame
    disk: dict[str, int]

    @property
    def faceless(self) -> pd.DataFrame:
        """The videos without a face."""
        return self.videos[self.videos["tracklets"] == 0]


def read_dataset(folder: Path) -> DatasetFacts:
    """Read the tables of the dataset in `folder`, and its file sizes. Raises StoreError."""
    store = FaceStore.open(folder)
    videos, tracklets = read_tables(folder)
    by_video = tracklets.groupby("video", observed=True)
    sides, most = by_video["side"].median(), by_video["face"].max() + 1
    names = videos["video"]
    kinds = videos["label"].map({0.0: LABELS[0], 1.0: LABELS[1]}).fillna(LABELS[2])
    videos = videos.assign(
        set=[kind_of(name).set or "all" for name in names],
        kind=kinds,
        side=names.map(pd.Series(sides.to_numpy(), sides.index.astype(str))),
        most=names.map(pd.Series(most.to_numpy(), most.index.astype(str))).fillna(0),
    )
    return DatasetFacts(store, videos, disk(folder))


def disk(folder: Path) -> dict[str, int]:
    """Bytes of a dataset's files, by kind of file."""
    found = {"films": 0, "records": 0, "tables and settings": 0}
    for place, _, names in os.walk(folder):
        for name in names:
            kind = "films" if name.endswith(SUFFIX) else "tables and settings" if place == str(folder) else "records"
            found[kind] += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  # a hundred thousand Paths take seconds
    return found


def overview(facts: DatasetFacts) -> list[Row]:
    """The dataset in numbers, one row each."""
    videos = facts.videos
    fakes = videos[videos["label"] == 1]
    people = {person for text in videos["people"].unique().tolist() for person in text.split()}
    orphans = int((~fakes["source"].isin(videos["video"])).sum())
    rows = {
        "videos": len(videos),
        "real": int((videos["label"] == 0).sum()),
        "fake": len(fakes),
        "without a label": int(videos["label"].isna().sum()),
        "sources": videos["source"].nunique(),
        "people that the data names": len(people),
        "fakes whose real video is not among them": orphans,
        "without a face": len(facts.faceless),
        "tracklets": int(videos["tracklets"].sum()),
        "videos with frames that could not be read": int((videos["missing"] > 0).sum()),
    }
    return [{"what": name, "count": count} for name, count in rows.items()]


def balance(facts: DatasetFacts) -> list[Row]:
    """One row per set: number of each class, share of fakes, and number without a face."""
    rows: list[Row] = []
    for name, part in facts.videos.groupby("set", sort=True):
        counts = part["kind"].value_counts()
        known = part["label"].notna().sum()
        rows.append(
            {
                "set": str(name),
                "videos": len(part),
                **{kind: int(counts.get(kind, 0)) for kind in LABELS},
                "fakes of the labelled": f"{part['label'].mean():.0%}".replace("%", " %") if known else "–",
                "without a face": int((part["tracklets"] == 0).sum()),
                "pixels of a face, median": None if part["side"].isna().all() else round(float(part["side"].median())),
            }
        )
    rows.sort(key=lambda row: -row["videos"])
    return rows[:PARTS]


def reasons(facts: DatasetFacts) -> list[Row]:
    """Reasons why videos show no face, most frequent first. Reasons that differ only in numbers are merged."""
    faceless = facts.faceless
    plain = faceless["reason"].str.replace(r"\d+(?:\.\d+)?", "…", regex=True)
    counts = faceless.assign(reason=plain).groupby(["status", "reason"]).size().sort_values(ascending=False)
    found = counts.head(PARTS).reset_index(name="videos").to_dict("records")
    return [
        {"videos": row["videos"], "status": row["status"], "reason": row["reason"] or "no face in any segment"}
        for row in found
    ]


def spread(values: pd.Series, edges: Sequence[float]) -> list[int]:
    """Count the values below the first edge, between neighbouring edges, and from the last edge on.

    >>> spread(pd.Series([0, 1, 2, 9]), (1, 2, 3))
    [1, 1, 1, 1]
    """
    places = np.searchsorted(edges, values.dropna(), side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]
