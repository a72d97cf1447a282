"""Group the videos that must share a fold: every fake with its source, people, and on request whole DFDC parts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError
from dfd.faces.build import Progress
from dfd.faces.embed import Embedder
from dfd.faces.records import TrackletRecord, VideoRecord
from dfd.files import sha256, write_json
from dfd.scoring.folds import SET, assign_folds, check_folds, linked_groups, read_folds
from dfd.scoring.leaks import Links, part_links, person_links
from dfd.scoring.sets import sets_of
from dfd.training.datasets import content
from dfd.videos.segments import scored

PEOPLE = "people.json"
"""File in a run folder: faces of one person, found once. It may exist before config.json."""
LOOKS = 2
"""Number of frames of a tracklet whose embeddings are averaged."""
SEGMENTS = 4
"""Number of segments of a video whose faces are embedded."""


class Grouping(Config):
    """How videos are grouped into folds."""

    groups: Literal["people", "source", "part", "identity"] = Field(
        "people",
        description="kept in one fold: people: a real video with its fakes, and all videos of a person whom the data "
        "names; source: people may cross folds; part: also a whole part of DFDC; identity: also people found by face",
    )
    identity_weights: Path | None = Field(
        None,
        description="to find people by face: what `dfd weights identity` wrote, or facenet_pytorch's InceptionResnetV1",
    )
    identity_distance: float | None = Field(
        None,
        gt=0,
        lt=2,
        description="Euclidean distance (RMS) from which two clusters of faces are two people; by default the "
        "network's own: 0.5, or 1 for facenet_pytorch",
    )
    folds_of: Path | None = Field(None, description="use the folds of this run of crossval")


def kind(grouping: Grouping) -> dict[str, Any]:
    """The grouping for config.json: empty for the default, and without folds_of."""
    kept = {"groups", "identity_distance"} if grouping.groups == "identity" else {"groups"}
    return {} if grouping.groups == "people" else grouping.model_dump(include=kept)


def split(
    records: Sequence[VideoRecord],
    folds: int,
    seed: int,
    grouping: Grouping | None = None,
    progress: Progress | None = None,
    run: Path | None = None,
) -> pd.DataFrame:
    """Split videos into folds with whole groups, and check the result.

    run: folder of the run, where people matched by face are saved, and read again on resume. Raises ConfigError when
    the videos cannot be split, StoreError when a face cannot be read.
    """
    grouping = grouping or Grouping()
    if grouping.folds_of is not None:
        frame = settled(grouping.folds_of, records)
        if frame["fold"].nunique() != folds:
            there = frame["fold"].nunique()
            raise ConfigError(f"folds is {folds}, but {grouping.folds_of} has {there}: give --folds {there}")
        return frame
    labels = [record.label or 0 for record in records]
    links = _links(records, grouping, progress, run)
    try:
        frame = assign_folds([r.video for r in records], labels, [r.source for r in records], folds, seed, links)
    except ConfigError as error:
        if grouping.groups == "source" or not named_links(records):
            raise
        raise ConfigError(f"{error}; with --groups source people may cross folds, which flatters a score") from None
    check_folds(frame)
    return _with_sets(frame, records)


def settled(run: Path, records: Sequence[VideoRecord]) -> pd.DataFrame:
    """Read a run's folds.csv, update it with the labels and sources of `records`, and check it again.

    Raises ConfigError when it lists other videos, or a group crosses folds.
    """
    frame, known = read_folds(run / "folds.csv"), {record.video: record for record in records}
    odd = sorted(set(frame["filename"]) ^ set(known))
    if odd:
        where = "only in the dataset" if odd[0] in known else "not in the dataset"
        raise ConfigError(f"{run / 'folds.csv'} is of other videos: {odd[0]!r} is {where}")
    frame["label"] = [known[name].label or 0 for name in frame["filename"]]
    frame["source"] = [known[name].source for name in frame["filename"]]
    try:
        check_folds(frame)
    except ConfigError as error:
        raise ConfigError(f"{run / 'folds.csv'}: {error}") from None
    return _with_sets(frame, records)


def _with_sets(frame: pd.DataFrame, records: Sequence[VideoRecord]) -> pd.DataFrame:
    """Add a column with the set of each video, if there are several sets."""
    sets = sets_of({record.video: record.dataset for record in records})
    frame = frame.drop(columns=SET, errors="ignore")
    return frame.assign(**{SET: frame["filename"].map(sets)}) if len(set(sets.values())) > 1 else frame


def people(records: Sequence[VideoRecord], grouping: Grouping, progress: Progress | None = None) -> Links:
    """Pairs of real videos that show the same person. Fakes follow their source, since a swapped face mixes two people.

    Raises ConfigError without weights; CheckpointError when they do not fit.
    """
    embedder = _embedder(grouping)
    reals = [record for record in records if record.label == 0]
    faces = [face for r in reals for number in scored(r.segments, r.faced, SEGMENTS) for face in r.of(number)]
    faces = [face for face in faces if face.path.located or not embedder.aligned]
    embeddings = []
    for done, face in enumerate(faces, 1):
        embeddings.append(_embedding(face, embedder))
        if progress:
            progress(done, len(faces), face.video)
    if not faces:
        return []
    distance = grouping.identity_distance or embedder.distance
    return person_links(np.stack(embeddings), [face.video for face in faces], distance)


def _embedder(grouping: Grouping) -> Embedder:
    if grouping.identity_weights is None:
        raise ConfigError(
            "groups by identity take --identity-weights: `dfd weights identity --out weights/identity.pt` makes them"
        )
    return Embedder(grouping.identity_weights)


def grouped(
    records: Sequence[VideoRecord], grouping: Grouping, progress: Progress | None = None, run: Path | None = None
) -> dict[str, str]:
    """The group of each video, by name: videos of one group are never split. run, errors: as in split."""
    names = [record.video for record in records]
    links = _links(records, grouping, progress, run)
    return dict(zip(names, linked_groups(names, [record.source for record in records], links), strict=True))


def _links(
    records: Sequence[VideoRecord], grouping: Grouping, progress: Progress | None, run: Path | None = None
) -> Links:
    if grouping.groups == "source":
        return []
    named = named_links(records)
    if grouping.groups == "part":
        return named + part_links([record.video for record in records])
    return named + _people_once(records, grouping, progress, run) if grouping.groups == "identity" else named


def _people_once(
    records: Sequence[VideoRecord], grouping: Grouping, progress: Progress | None, run: Path | None
) -> Links:
    """people() with a cache in the folder `run`, since it may take an hour."""
    if run is None or grouping.identity_weights is None or not grouping.identity_weights.is_file():
        return people(records, grouping, progress)
    path, weights = run / PEOPLE, sha256(grouping.identity_weights)
    asked = {"videos": content(records), "weights": weights, "distance": grouping.identity_distance}
    there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if there.get("asked") == asked:
        return [(video, other) for video, other in there["links"]]
    links = people(records, grouping, progress)
    run.mkdir(parents=True, exist_ok=True)
    write_json(path, {"asked": asked, "links": links})
    return links


def named_people(records: Sequence[VideoRecord], grouping: Grouping | None = None) -> dict[str, tuple[str, ...]]:
    """The people named by the dataset in each video; empty if people may cross folds."""
    return {} if grouping and grouping.groups == "source" else {record.video: record.people for record in records}


def named_links(records: Sequence[VideoRecord]) -> Links:
    """Pairs of a video and a person named by the dataset in it."""
    return [(record.video, person) for record in records for person in record.people]


def _embedding(face: TrackletRecord, embedder: Embedder) -> NDArray[np.float32]:
    """Mean embedding of a few frames of a tracklet, scaled to their mean length (1 for facenet)."""
    found = embedder.describe(face, np.unique(np.linspace(0, face.frames - 1, LOOKS).astype(int)))
    mean = found.mean(axis=0)
    return mean * (np.linalg.norm(found, axis=1).mean() / np.linalg.norm(mean))
