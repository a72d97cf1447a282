"""Proof, on the stored pictures themselves, that a split leaks nothing from one fold into another."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfd.faces.build import Progress
from dfd.faces.store import FaceStore, TrackRecord, load_crops
from dfd.scoring.folds import check_folds
from dfd.scoring.leaks import near_duplicates

SIDE = 24
"""Side in pixels of the grey thumbnails that are compared: the face and its light, not its noise."""


@dataclass(frozen=True)
class Audit:
    """checks: a row a check, with what it covered. duplicates: a row a pair of near-duplicate tracks across folds."""

    checks: list[dict[str, Any]]
    duplicates: list[dict[str, Any]]


def audit(store: FaceStore, folds: pd.DataFrame, threshold: float, progress: Progress | None = None) -> Audit:
    """Check that groups and sources are whole, and compare the middle picture of every track with every other's.

    Raises ConfigError when a group, source or file name crosses folds.
    """
    check_folds(folds)
    group_of = dict(zip(folds["filename"], folds["group"], strict=True))
    fold_of = dict(zip(folds["filename"], folds["fold"], strict=True))
    tracks = [track for record in store.records() if record.video in group_of for track in record.main_tracks()]
    pictures = []
    for done, track in enumerate(tracks, 1):
        pictures.append(_thumbnail(track))
        if progress:
            progress(done, len(tracks), track.video)
    pairs = near_duplicates(np.stack(pictures), [group_of[t.video] for t in tracks], threshold) if pictures else []
    crossing = [
        {"a": a, "fold a": int(fold_of[a]), "b": b, "fold b": int(fold_of[b]), "correlation": alike}
        for a, b, alike in ((tracks[i].video, tracks[j].video, alike) for i, j, alike in pairs)
        if fold_of[a] != fold_of[b]
    ]
    checks = [
        {"check": "a video in one fold only", "covered": len(folds), "crossing": 0},
        {
            "check": "a group (every fake with its source) in one fold only",
            "covered": folds["group"].nunique(),
            "crossing": 0,
        },
        {
            "check": "near-duplicate tracks of different groups in one fold",
            "covered": len(tracks),
            "crossing": len(crossing),
        },
    ]
    return Audit(checks, crossing)


def _thumbnail(track: TrackRecord) -> NDArray[np.float64]:
    middle = load_crops(track, [track.frames // 2])[0]
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64).reshape(-1)
