"""What must not stand on both sides of a fold: groups, sources, and pictures that are nearly the same."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def near_duplicates(
    pictures: NDArray[np.floating], groups: Sequence[str], threshold: float = 0.995
) -> list[tuple[int, int, float]]:
    """Pairs of `pictures` (N,D) of different groups that correlate by `threshold` or more: (i, j, correlation), i < j.

    A picture of one colour correlates with nothing.

    >>> ramp = np.arange(16.0)
    >>> near_duplicates(np.stack([ramp, ramp * 2 + 1, -ramp]), ["a", "b", "c"])
    [(0, 1, 1.0)]
    """
    centred = pictures - pictures.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
    found = []
    for i in range(len(unit) - 1):  # a row at a time: N squared of DFDC's videos is no matrix to hold
        alike = unit[i + 1 :] @ unit[i]
        for j in (np.flatnonzero(alike >= threshold) + i + 1).tolist():
            if groups[i] != groups[j]:
                found.append((i, j, round(float(alike[j - i - 1]), 6)))
    return found
