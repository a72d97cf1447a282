"""Average-linkage clustering without a full distance matrix, for as many points as fit into memory.

The mean squared distance between the points of two clusters follows from their means and scatter, and a merge never
brings two clusters nearer to a third. So all mutual nearest neighbours are merged at once, and a cluster without a
neighbour within the limit is final. The result equals that of merging the nearest pair each time (Murtagh 1983).
"""

import numpy as np
from numpy.typing import NDArray

from dfd.scoring.metrics import Floats, Integers

BLOCK = 1 << 24
"""Number of float32 distances held at a time."""


def clusters(points: NDArray[np.floating], limit: float) -> Integers:
    """Cluster `points` (N,D). Returns (N,) int64: the index of the first point in each point's cluster.

    Two clusters are merged while the mean squared Euclidean distance between their points is below `limit`, the nearest
    two first. Needs the memory of 3 (N,D) float64 and BLOCK.

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
    """Clusters, identified by their first point. `open`: those that may still grow, in increasing order."""

    def __init__(self, points: Floats) -> None:
        count = len(points)
        self.open, self._parent = np.arange(count), np.arange(count)
        self._mean = points - points.mean(axis=0) if count else points  # float32 is most precise near 0
        self._size, self._scatter = np.ones(count), np.zeros(count)
        self._near, self._gap = np.zeros(count, np.int64), np.full(count, np.inf)

    def look(self, stale: Integers) -> None:
        """Find the nearest open cluster of each of `stale`, block by block; recompute its distance in float64."""
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
            del far  # free it before the next one is allocated
            self._near[some] = near
            self._gap[some] = ((self._mean[some] - self._mean[near]) ** 2).sum(axis=1)
            self._gap[some] += self._scatter[some] + self._scatter[near]

    def close(self, limit: float) -> None:
        """Close clusters whose nearest neighbour is not within `limit`."""
        self.open = self.open[self._gap[self.open] < limit]

    def merge(self) -> Integers:
        """Merge mutual nearest neighbours; of a ring of ties one pair. Returns open clusters to look at again."""
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

    def first(self) -> Integers:
        """The first point of each point's cluster."""
        for point, parent in enumerate(self._parent):  # a parent precedes its children
            self._parent[point] = self._parent[parent]
        return self._parent
