"""Clusters by average linkage, of as many points as there is memory to hold: their distances are never held at once.

The mean squared distance between the points of two clusters follows from their means and scatter, and a merge brings no
two clusters nearer to a third. So all pairs that are each other's nearest are merged at once, and a cluster that has no
near one is done with: what is left is what merging pair by pair, the nearest first, comes to (Murtagh 1983).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 1 << 24
"""Distances in float32 held at a time."""


def clusters(points: NDArray[np.floating], limit: float) -> Ints:
    """The cluster of each of `points` (N,D): (N,) int64, the number of its first point.

    Two clusters are joined while the mean squared Euclidean distance between their points is below `limit`, the nearest
    two first. Memory is that of 3 (N,D) float64 and BLOCK.

    >>> clusters(np.array([[0.0], [5.0], [0.5], [5.1], [9.0]]), limit=1.0).tolist()
    [0, 1, 0, 1, 4]
    """
    found = _Clusters(np.asarray(points, np.float64))
    stale = found.open
    while len(found.open) > 1:
        found.look(stale)
        found.close(limit)
        stale = found.merge()
    return found.first()


class _Clusters:
    """Clusters by their first point's number: those that may still grow are `open`, rising."""

    def __init__(self, points: Floats) -> None:
        count = len(points)
        self.open, self._parent = np.arange(count), np.arange(count)
        self._mean = points - points.mean(axis=0) if count else points  # near 0 float32 is at its finest
        self._size, self._scatter = np.ones(count), np.zeros(count)
        self._near, self._gap = np.zeros(count, np.int64), np.full(count, np.inf)

    def look(self, stale: Ints) -> None:
        """Find the nearest open cluster of each of `stale`, a block at a time; its distance recomputed in float64."""
        means = self._mean[self.open].astype(np.float32)
        own = ((means**2).sum(axis=1) + self._scatter[self.open]).astype(np.float32)
        rows = max(1, BLOCK // len(means))
        for start in range(0, len(stale), rows):
            some = stale[start : start + rows]
            places = np.searchsorted(self.open, some)
            far = means[places] @ means.T
            far *= -2
            far += own
            far[np.arange(len(some)), places] = np.inf
            near = self.open[far.argmin(axis=1)]
            del far  # before there is another
            self._near[some] = near
            self._gap[some] = ((self._mean[some] - self._mean[near]) ** 2).sum(axis=1)
            self._gap[some] += self._scatter[some] + self._scatter[near]

    def close(self, limit: float) -> None:
        """Be done with clusters whose nearest is not below `limit`."""
        self.open = self.open[self._gap[self.open] < limit]

    def merge(self) -> Ints:
        """Join pairs that are each other's nearest; of equals in a ring, one. Returns open ones to look at again."""
        one = self.open[self._near[self._near[self.open]] == self.open]
        one = one[one < self._near[one]]
        if not len(one) and len(self.open):
            one = self.open[[self._gap[self.open].argmin()]]
        one, two = np.minimum(one, self._near[one]), np.maximum(one, self._near[one])
        share = self._size[two] / (self._size[one] + self._size[two])
        step = self._mean[two] - self._mean[one]
        self._scatter[one] += share * (self._scatter[two] - self._scatter[one])
        self._scatter[one] += share * (1 - share) * (step**2).sum(axis=1)
        self._mean[one] += share[:, None] * step
        self._size[one] += self._size[two]
        self._parent[two] = one
        self.open = np.setdiff1d(np.union1d(self.open, one), two)
        moved = np.isin(self._near[self.open], np.concatenate([one, two])) | np.isin(self.open, one)
        return self.open[moved]

    def first(self) -> Ints:
        """The first point of each point's cluster."""
        for point, parent in enumerate(self._parent):  # a parent stands before its children
            self._parent[point] = self._parent[parent]
        return self._parent
