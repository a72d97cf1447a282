"""What must not be on both sides of a fold: DFDC parts, people, and near-duplicate images.

Links are pairs of file names of videos that must stay together; scoring/folds.py merges them and the sources into
groups.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dfd.errors import ConfigError
from dfd.scoring.board import part_of
from dfd.scoring.clusters import clusters

Links = list[tuple[str, str]]


def part_links(names: Sequence[str]) -> Links:
    """Link each video with the first one of its DFDC part. Different parts show mostly different people.

    Raises ConfigError for a video that lies in no part.

    >>> part_links(["dfdc_train_part_1/a.mp4", "dfdc_train_part_1/b.mp4"])[1]
    ('dfdc_train_part_1/b.mp4', 'dfdc_train_part_1/a.mp4')
    """
    first: dict[int, str] = {}
    links = []
    for name in names:
        part = part_of(name)
        if part is None:
            raise ConfigError(
                f"{name!r} is in no part of DFDC: groups by part take a dataset of the folder that holds "
                "dfdc_train_part_0, dfdc_train_part_1 and so on"
            )
        links.append((name, first.setdefault(part, name)))
    return links


def person_links(embeddings: NDArray[np.floating], names: Sequence[str], distance: float) -> Links:
    """Link each video with the first one that shows the same person, by clustering the face embeddings (N,D).

    names: (N,) video of each face; a video with two faces links two people. Clusters are merged while the root mean
    square Euclidean distance between their faces is below `distance`. For embeddings of unit length that is
    sqrt(2 (1 - mean cosine)). Needs the memory of 3 (N,D) float64 and 64 MB.

    >>> person_links(np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), ["a", "b", "c"], distance=0.7)
    [('a', 'a'), ('b', 'b'), ('c', 'b')]
    """
    people = clusters(embeddings, distance**2).tolist()
    return [(name, names[first]) for name, first in zip(names, people, strict=True)]


def near_duplicates(
    pictures: NDArray[np.floating], groups: Sequence[str], threshold: float = 0.995
) -> list[tuple[int, int, float]]:
    """Pairs of `pictures` (N,D) of different groups whose correlation is at least `threshold`: (i, j, correlation), i <
    j.

    An image of one colour correlates with nothing.

    >>> ramp = np.arange(16.0)
    >>> near_duplicates(np.stack([ramp, ramp * 2 + 1, -ramp]), ["a", "b", "c"])
    [(0, 1, 1.0)]
    """
    centred = pictures - pictures.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
    found = []
    for i in range(len(unit) - 1):  # row by row: DFDC's N x N matrix would not fit into memory
        alike = unit[i + 1 :] @ unit[i]
        for j in (np.flatnonzero(alike >= threshold) + i + 1).tolist():
            if groups[i] != groups[j]:
                found.append((i, j, round(float(alike[j - i - 1]), 6)))
    return found
