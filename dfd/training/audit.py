"""Checks on the stored crops that no group, person or near-duplicate crosses folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfd.clips.made import MadeFake
from dfd.faces.build import Progress
from dfd.faces.records import TrackletRecord, VideoRecord, load_crops
from dfd.scoring.board import seen_in_training
from dfd.scoring.folds import check_folds
from dfd.scoring.leaks import Links, near_duplicates
from dfd.training.datasets import Data
from dfd.videos.segments import scored

SIDE = 24
"""Side in pixels of the grey thumbnails that are compared: they show the face and its lighting, without noise."""
COMPARED = 5
"""Number of segments in which a fake is compared with its source."""
UNCHANGED = 1.5
"""Largest mean difference of two thumbnails, in grey levels of 255, that encoding alone causes."""


@dataclass(frozen=True)
class Audit:
    """What was checked and what was found.

    checks: one row per check, with its coverage and its number of violations. duplicates: one row per pair of
    near-duplicate faces in different folds. people: one row per pair of videos of one person in different folds.
    unchanged: fakes whose face equals their source's on every compared frame, so that their label is doubtful.
    """

    checks: list[dict[str, Any]]
    duplicates: list[dict[str, Any]]
    unchanged: list[dict[str, Any]]
    people: list[dict[str, Any]]


def audit(
    store: Data,
    folds: pd.DataFrame,
    threshold: float,
    progress: Progress | None = None,
    people: Links | None = None,
) -> Audit:
    """Check that groups and sources are whole, and compare the faces in the middle of each video with all others.

    people: pairs of videos that show one person; None if unknown. Raises ConfigError when a group, source
    or file name crosses folds.
    """
    check_folds(folds)
    names = set(folds["filename"])
    records = {r.video: r for r in store.records() if r.video in names and not isinstance(r, MadeFake)}
    faces = [face for record in records.values() for face in record.middle()]
    crossing = _crossing(faces, folds, threshold, progress)
    fakes = [r for r in records.values() if r.label == 1 and r.tracklets and r.source in records]
    changes = {fake.video: largest_change(fake, records[fake.source]) for fake in fakes}
    compared = {fake: change for fake, change in changes.items() if change is not None}
    unchanged = [
        {"fake": fake, "source": records[fake].source, "largest change": change}
        for fake, change in compared.items()
        if change < UNCHANGED
    ]
    public = seen_in_training(tuple(records))
    named = _of_one_person(tuple(records.values()))
    apart = _apart([*named, *(people or [])], folds)
    count = len({person for record in records.values() for person in record.people})
    known = [_check("a person named by the data is in one fold", count, len(_apart(named, folds)))] if count else []
    if people is not None:
        known += [_check("a person by the face is in one fold", len(set(people)), len(_apart(people, folds)))]
    checks = [
        _check("a video is in one fold", len(folds)),
        _check("a group, every fake with its source, is in one fold", folds["group"].nunique()),
        _check("a source is in one fold", folds["source"].nunique()),
        *known,
        _check("near-duplicate faces of different groups are in one fold", len(faces), len(crossing)),
        _check("the face of a fake differs from its source's", len(compared), len(unchanged)),
        _check("videos of the competition's public test are not among them", len(records), len(public)),
    ]
    return Audit(checks, crossing, unchanged, apart)


def _check(what: str, covered: int, against: int = 0) -> dict[str, Any]:
    return {"check": what, "covered": covered, "against": against}


def _of_one_person(records: Sequence[VideoRecord]) -> Links:
    """Link each video with the first one in which the dataset names the same person."""
    first: dict[str, str] = {}
    return [(r.video, first.setdefault(person, r.video)) for r in records for person in r.people]


def _apart(links: Links, folds: pd.DataFrame) -> list[dict[str, Any]]:
    """Linked videos that are in different folds."""
    fold_of = dict(zip(folds["filename"], map(int, folds["fold"]), strict=True))
    return [{"a": a, "fold a": fold_of[a], "b": b, "fold b": fold_of[b]} for a, b in links if fold_of[a] != fold_of[b]]


def _crossing(
    faces: Sequence[TrackletRecord], folds: pd.DataFrame, threshold: float, progress: Progress | None
) -> list[dict[str, Any]]:
    """Pairs of near-duplicate faces in different folds."""
    group_of = dict(zip(folds["filename"], folds["group"], strict=True))
    fold_of = dict(zip(folds["filename"], folds["fold"], strict=True))
    pictures = []
    for done, face in enumerate(faces, 1):
        pictures.append(thumbnails(face, [face.frames // 2])[0].reshape(-1))
        if progress:
            progress(done, len(faces), face.video)
    pairs = near_duplicates(np.stack(pictures), [group_of[f.video] for f in faces], threshold) if pictures else []
    named = [(faces[i].video, faces[j].video, alike) for i, j, alike in pairs]
    return [
        {"a": a, "fold a": int(fold_of[a]), "b": b, "fold b": int(fold_of[b]), "correlation": alike}
        for a, b, alike in named
        if fold_of[a] != fold_of[b]
    ]


def largest_change(fake: VideoRecord, source: VideoRecord) -> float | None:
    """Largest mean difference between a fake's faces and its source's, over shared frames, in grey levels.

    Each face is compared with the nearest face of the same segment. None if the videos share no frame.
    """
    changes = []
    for number in scored(fake.segments, fake.faced, COMPARED):
        for face in fake.of(number)[:1]:
            near = [change for other in source.of(number) if (change := _change(face, other)) is not None]
            changes += [min(near)] if near else []
    return round(max(changes), 3) if changes else None


def _change(fake: TrackletRecord, source: TrackletRecord) -> float | None:
    """Mean difference of two faces on the middle one of their shared frames; None without a shared frame."""
    shared, of_fake, of_source = np.intersect1d(fake.indices, source.indices, return_indices=True)
    if not len(shared):
        return None
    middle = len(shared) // 2
    one, other = thumbnails(fake, of_fake[[middle]]), thumbnails(source, of_source[[middle]])
    return float(np.abs(one - other).mean())


def thumbnails(face: TrackletRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Grey thumbnails (N,SIDE,SIDE) of a tracklet at `positions`."""
    greys = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in load_crops(face, positions)]
    return np.stack([cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for grey in greys]).astype(np.float64)
