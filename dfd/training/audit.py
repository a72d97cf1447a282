"""Proof, on the stored pictures themselves, that a split leaks nothing from one fold into another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfd.faces.build import Progress
from dfd.faces.store import FaceStore, TrackRecord, load_crops, load_geometry
from dfd.scoring.board import seen_in_training
from dfd.scoring.folds import check_folds
from dfd.scoring.leaks import Links, near_duplicates

SIDE = 24
"""Side in pixels of the grey thumbnails that are compared: the face and its light, not its noise."""
LOOKS = 5
"""Frames on which a fake is compared with its source."""
UNCHANGED = 1.5
"""Grey levels, of 255, by which a thumbnail changes at most through encoding alone."""


@dataclass(frozen=True)
class Audit:
    """What was checked and what was found.

    checks: a row a check, with what it covered and what crosses. duplicates: a row a pair of near-duplicate tracks in
    different folds. people: a row a pair of real videos of one person in different folds. unchanged: fakes whose face
    is their source's on every frame looked at: their label is doubtful.
    """

    checks: list[dict[str, Any]]
    duplicates: list[dict[str, Any]]
    unchanged: list[dict[str, Any]]
    people: list[dict[str, Any]]


def audit(
    store: FaceStore,
    folds: pd.DataFrame,
    threshold: float,
    progress: Progress | None = None,
    people: Links | None = None,
) -> Audit:
    """Check that groups and sources are whole, and compare the middle picture of every track with every other's.

    people: pairs of videos that show one person; None where that is not known. Raises ConfigError when a group, source
    or file name crosses folds.
    """
    check_folds(folds)
    records = {record.video: record for record in store.records() if record.video in set(folds["filename"])}
    tracks = [track for record in records.values() for track in record.main_tracks()]
    crossing = _crossing(tracks, folds, threshold, progress)
    fakes = [record for record in records.values() if record.label == 1 and record.tracks and record.source in records]
    changes = {fake: _largest_change(fake.main_tracks()[0], records[fake.source].main_tracks()) for fake in fakes}
    compared = {fake: change for fake, change in changes.items() if change is not None}
    unchanged = [
        {"fake": fake.video, "source": fake.source, "largest change": change}
        for fake, change in compared.items()
        if change < UNCHANGED
    ]
    public = seen_in_training(tuple(records))
    apart = _apart(people or [], folds)
    known = [] if people is None else [_check("a person stands in one fold", len({a for a, _ in people}), len(apart))]
    checks = [
        _check("a video stands in one fold", len(folds)),
        _check("a group, every fake with its source, stands in one fold", folds["group"].nunique()),
        _check("a source stands in one fold", folds["source"].nunique()),
        *known,
        _check("near-duplicate tracks of different groups stand in one fold", len(tracks), len(crossing)),
        _check("the face of a fake differs from its source's", len(compared), len(unchanged)),
        _check("videos of the competition's public test are not among them", len(records), len(public)),
    ]
    return Audit(checks, crossing, unchanged, apart)


def _check(what: str, covered: int, against: int = 0) -> dict[str, Any]:
    return {"check": what, "covered": covered, "against": against}


def _apart(links: Links, folds: pd.DataFrame) -> list[dict[str, Any]]:
    """Linked videos that are in different folds."""
    fold_of = dict(zip(folds["filename"], map(int, folds["fold"]), strict=True))
    return [{"a": a, "fold a": fold_of[a], "b": b, "fold b": fold_of[b]} for a, b in links if fold_of[a] != fold_of[b]]


def _crossing(
    tracks: Sequence[TrackRecord], folds: pd.DataFrame, threshold: float, progress: Progress | None
) -> list[dict[str, Any]]:
    """Pairs of near-duplicate tracks in different folds."""
    group_of = dict(zip(folds["filename"], folds["group"], strict=True))
    fold_of = dict(zip(folds["filename"], folds["fold"], strict=True))
    pictures = []
    for done, track in enumerate(tracks, 1):
        pictures.append(_thumbnails(track, [track.frames // 2])[0].reshape(-1))
        if progress:
            progress(done, len(tracks), track.video)
    pairs = near_duplicates(np.stack(pictures), [group_of[t.video] for t in tracks], threshold) if pictures else []
    named = [(tracks[i].video, tracks[j].video, alike) for i, j, alike in pairs]
    return [
        {"a": a, "fold a": int(fold_of[a]), "b": b, "fold b": int(fold_of[b]), "correlation": alike}
        for a, b, alike in named
        if fold_of[a] != fold_of[b]
    ]


def _largest_change(fake: TrackRecord, sources: Sequence[TrackRecord]) -> float | None:
    """The most that the fake's face differs from its source's, over frames that both have; mean grey levels.

    Against the track of the source that is nearest. None where they share no frame.
    """
    changes = []
    at = load_geometry(fake)[0]
    for source in sources:
        shared, of_fake, of_source = np.intersect1d(at, load_geometry(source)[0], return_indices=True)
        if len(shared):
            looks = np.unique(np.linspace(0, len(shared) - 1, LOOKS).astype(int))
            pictures = _thumbnails(fake, of_fake[looks]), _thumbnails(source, of_source[looks])
            changes.append(float(np.abs(pictures[0] - pictures[1]).mean(axis=(1, 2)).max()))
    return round(min(changes), 3) if changes else None


def _thumbnails(track: TrackRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Grey pictures (N,SIDE,SIDE) of a track at `positions`."""
    greys = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in load_crops(track, positions)]
    return np.stack([cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for grey in greys]).astype(np.float64)
