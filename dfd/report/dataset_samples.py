"""A sample of a dataset's videos for its page, since reading all would take hours: faces, first frames, and doubts."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfd.errors import StoreError
from dfd.faces.records import VideoRecord, load_crops
from dfd.report.dataset_facts import LABELS, DatasetFacts
from dfd.report.faces import Face, face_picture
from dfd.report.pictures import data_uri
from dfd.scoring.folds import group_of
from dfd.scoring.leaks import near_duplicates
from dfd.training.audit import UNCHANGED, largest_change, thumbnails
from dfd.types import Video
from dfd.videos.glance import first_frame
from dfd.videos.workers import Limits, each_video

SETS, PEOPLE, EACH = 6, 18, 3
"""Sets on the contact sheet, people in all of them, and videos of each person."""
COMPARED = 400
"""Number of videos whose faces are compared, and whose sharpness is measured."""
FRAMES = 18
"""Number of first frames shown of videos without a face."""
PAIRS = 12
"""Number of pairs shown per kind of doubt."""
SIDE = 128
"""Side in pixels to which a face is resized before its sharpness is measured."""
FRAME = 160
"""Longer side in pixels of a first frame."""
TIMEOUT = 5.0
"""Time limit in seconds for reading a first frame."""
ALIKE = 0.995
"""Correlation of two face crops above which they are near-duplicates, as in dfd audit."""


@dataclass(frozen=True)
class Shelf:
    """Faces of one set on the contact sheet."""

    title: str
    faces: list[Face]


@dataclass(frozen=True)
class Compared:
    """Results of comparing a sample of videos. sharpness: one row per video, with kind and sharpness. across:
    near-duplicates of a real video and a fake that is not made from it. unchanged: fakes with the face of their source.
    damaged: films that cannot be read. videos: number of videos compared.
    """

    videos: int
    sharpness: pd.DataFrame
    across: list[tuple[Face, Face]]
    unchanged: list[tuple[Face, Face]]
    damaged: list[str]


def contact_sheet(facts: DatasetFacts, seed: int = 0) -> list[Shelf]:
    """Sample faces of the largest sets, by person: the real video first, then fakes of it or with that face.

    If the dataset does not name people, each real video counts as one person.
    """
    shown = facts.videos[facts.videos["tracklets"] > 0]
    shelves = []
    names = shown["set"].value_counts().index[:SETS]
    for name in names:
        part = shown[shown["set"] == name]
        who = part["people"].str.partition(" ")[0].where(part["people"] != "", part["source"])
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(who.unique())[: PEOPLE // len(names)]
        faces = []
        for person in sorted(chosen.tolist()):
            videos = part[who == person].sort_values(["label", "video"])
            reals, fakes = videos[videos["label"] != 1].head(1), videos[videos["label"] == 1]
            some = pd.concat([reals, fakes.head(EACH - len(reals))])
            faces += [_face(facts, row, person) for row in some.to_dict("records")]
        shelves.append(Shelf(str(name), faces))
    return shelves


def _face(facts: DatasetFacts, row: dict, person: str) -> Face:
    name = str(row["video"])
    lines = [str(row["kind"]), f"{row['side']:.0f} pixels"]
    return Face(name, face_picture(facts.store.named(name)), (*lines, *([f"of {person}"] if person != name else [])))


def compare(facts: DatasetFacts, seed: int = 0) -> Compared:
    """Compare the faces of some real videos with those of their fakes, and measure their sharpness."""
    records, damaged, pictures, sharp = [], list[str](), [], []
    for name in _sampled(facts.videos[facts.videos["tracklets"] > 0], seed):
        record = facts.store.named(name)
        try:
            if record is None or not record.tracklets:
                continue
            face = record.middle()[0]
            crop = load_crops(face, [face.frames // 2])[0]
            pictures.append(thumbnails(face, [face.frames // 2])[0].reshape(-1))
        except StoreError:
            damaged.append(name)
            continue
        records.append(record)
        sharp.append({"kind": _kind(record), "sharpness": sharpness(crop)})
    sources = {record.video: record.source for record in records}
    groups = group_of(list(sources), sources)
    pairs = near_duplicates(np.stack(pictures), list(groups.values()), ALIKE) if pictures else []
    across = [(records[i], records[j], f"correlation {alike:.4f}") for i, j, alike in pairs]
    across = [(a, b, why) for a, b, why in across if {a.label, b.label} == {0, 1}]
    return Compared(
        videos=len(records),
        sharpness=pd.DataFrame(sharp, columns=["kind", "sharpness"]),
        across=[_pair(*found) for found in across[:PAIRS]],
        unchanged=[_pair(*found) for found in list(_unchanged(records))[:PAIRS]],
        damaged=damaged,
    )


def _sampled(videos: pd.DataFrame, seed: int) -> list[str]:
    """Names of at most COMPARED videos, where each source is sampled with all its fakes."""
    rng = np.random.default_rng(seed)
    sources = rng.permutation(videos["source"].unique())[:COMPARED]
    place = pd.Series(range(len(sources)), sources)
    some = videos.assign(place=videos["source"].map(place)).dropna(subset=["place"])
    return some.sort_values(["place", "label", "video"])["video"].head(COMPARED).tolist()


def _unchanged(records: Sequence[VideoRecord]) -> Iterator[tuple[VideoRecord, VideoRecord, str]]:
    """Fakes whose face equals their source's on every frame examined."""
    by_name = {record.video: record for record in records}
    for fake in records:
        source = by_name.get(fake.source)
        if fake.label != 1 or source is None:
            continue
        try:
            change = largest_change(fake, source)
        except StoreError:  # compare() reports a damaged film
            continue
        if change is not None and change < UNCHANGED:
            yield fake, source, f"changes by {change:.2f} of 255 grey levels at most"


def _pair(a: VideoRecord, b: VideoRecord, why: str) -> tuple[Face, Face]:
    one, other = (Face(r.video, face_picture(r), (_kind(r), why)) for r in (a, b))
    return one, other


def _kind(record: VideoRecord) -> str:
    return LABELS[2] if record.label is None else LABELS[record.label]


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Sharpness of a face (S,S,3) uint8 RGB: variance of its Laplacian at SIDE pixels. Blur lowers it, noise raises it.

    >>> sharpness(np.full((200, 200, 3), 80, np.uint8))
    0.0
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())


def first_frames(facts: DatasetFacts, videos: Path | None = None) -> list[Face]:
    """First frames of some videos without a face, sampled by status, with the reason why there is none.

    videos: the folder to which their names are relative; by default the one the dataset was built from. A video that
    cannot be read is listed without an image.
    """
    faceless = facts.faceless.assign(turn=facts.faceless.groupby(["status", "reason"]).cumcount())
    some = faceless.sort_values("turn", kind="stable").head(FRAMES)
    folder, pictures = videos or facts.store.videos, dict[str, str]()
    asked = [Video(folder / name, name) for name in some["video"]] if folder else []
    there = [video for video in asked if video.path.is_file()]
    if there:
        limits = Limits(workers=min(2, len(there)), timeout=TIMEOUT)
        with closing(each_video(first_frame, there, lambda _: (FRAME,), limits)) as outcomes:
            for batch in outcomes:
                pictures |= {o.video.name: data_uri(o.value, FRAME) for o in batch if o.status == "ok"}
    return [
        Face(str(row["video"]), pictures.get(str(row["video"]), ""), (str(row["status"]), str(row["reason"])))
        for row in some.to_dict("records")
    ]
