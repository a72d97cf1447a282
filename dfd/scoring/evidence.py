"""Evidence for a probability: of the unseen videos with a similar score, how many were fakes.

A small, readable table that is part of a bundle. Neither the networks nor anything fitted had seen these videos.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from dfd.config import Config

TENTHS = tuple(round(0.1 * number, 1) for number in range(11))
APART = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Bin edges for the difference between the networks' highest and lowest probability."""
FEW = 10
"""A row with fewer videos is not conclusive."""


class Row(Config):
    """Videos whose value lies in [low, high), the last row's in [low, high]."""

    low: float
    high: float
    fakes: int
    reals: int

    @property
    def videos(self) -> int:
        """Number of videos."""
        return self.fakes + self.reals


class MapCheck(Config):
    """Share of a network's heat that lies inside the masks of `fakes` self-blended fakes that it detects.

    inside, uniform, centred: mean shares in [0,1] for its maps, for a uniform map, and for a centred bell.
    """

    fakes: int
    inside: float
    uniform: float
    centred: float

    @property
    def tells(self) -> bool:
        """Whether the maps are informative: better than a uniform map and than a centred bell."""
        return self.inside > max(self.uniform, self.centred)


class Evidence(Config):
    """Tables of unseen videos, and which videos they are. Empty without any."""

    of: str = Field(description="which videos, and how they come to be unseen")
    scores: tuple[Row, ...] = Field((), description="by the probability of being fake")
    apart: tuple[Row, ...] = Field((), description="by the gap between the networks' highest and lowest probability")
    wrong_apart: tuple[int, ...] = Field((), description="of each row of `apart`, on the wrong side of 0.5")
    maps: tuple[MapCheck | None, ...] = Field((), description="of each network, how far its heat maps can be trusted")

    def fakes(self, probability: float) -> tuple[Row, float] | None:
        """The row of a probability, and its share of fakes at balanced classes; None if the row is empty.

        >>> table = tabulate([0.1, 0.95, 0.95, 0.95, 0.2, 0.3], [0, 1, 1, 0, 0, 0], TENTHS)
        >>> row, share = Evidence(of="six videos", scores=table).fakes(0.93)
        >>> (row.low, row.fakes, row.reals), share  # both fakes, and a quarter of the real ones
        ((0.9, 2, 1), 0.8)
        """
        row = row_of(self.scores, probability) if self.scores else None
        if row is None or not row.videos:
            return None
        fake = row.fakes / max(1, sum(each.fakes for each in self.scores))
        real = row.reals / max(1, sum(each.reals for each in self.scores))
        return row, round(fake / (fake + real), 4)

    def wrong(self, gap: float) -> tuple[Row, int] | None:
        """The row of a difference between networks, and its number of wrong videos; None if the row is empty."""
        row = row_of(self.apart, gap) if self.apart else None
        return (row, self.wrong_apart[self.apart.index(row)]) if row is not None and row.videos else None


def evidence(
    of: str, probabilities: Sequence[float], labels: Sequence[int], alone: ArrayLike | None = None
) -> Evidence:
    """Tabulate unseen videos. labels: 1 fake, 0 real. alone: (N,R), the probabilities of each of R networks."""
    scores = tabulate(probabilities, labels, TENTHS)
    if alone is None or np.ndim(alone) < 2 or np.shape(alone)[1] < 2:
        return Evidence(of=of, scores=scores)
    gaps = np.ptp(np.asarray(alone, float), axis=1)
    wrong = (np.asarray(probabilities) >= 0.5) != (np.asarray(labels) == 1)
    missed = tabulate(gaps[wrong].tolist(), [1] * int(wrong.sum()), APART)
    apart = tabulate(gaps.tolist(), labels, APART)
    return Evidence(of=of, scores=scores, apart=apart, wrong_apart=tuple(row.fakes for row in missed))


def tabulate(values: Sequence[float], labels: Sequence[int], edges: Sequence[float]) -> tuple[Row, ...]:
    """Count fakes and real videos between neighbouring `edges`.

    >>> [(row.fakes, row.reals) for row in tabulate([0.1, 0.5, 1.0], [0, 1, 1], (0.0, 0.5, 1.0))]
    [(0, 1), (2, 0)]
    """
    x, y = np.asarray(values, float), np.asarray(labels)
    fakes, reals = (np.histogram(x[y == label], edges)[0].tolist() for label in (1, 0))
    between = zip(edges, edges[1:], fakes, reals, strict=False)
    return tuple(Row(low=low, high=high, fakes=f, reals=r) for low, high, f, r in between)


def row_of(rows: Sequence[Row], value: float) -> Row:
    """The row of a value. Values past either end belong to the first or last row."""
    return next((row for row in rows if value < row.high), rows[-1])
