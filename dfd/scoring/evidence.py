"""What scores of unseen videos have meant: of those that scored so, how many were fakes.

A table that travels with a bundle, small and readable. Networks had not seen the videos, and what was fitted on others
than them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from dfd.config import Config

TENTHS = tuple(round(0.1 * number, 1) for number in range(11))
APART = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Edges of the rows by how far the networks' probabilities lie apart."""
FEW = 10
"""Videos below which a row says little."""


class Row(Config):
    """Videos whose value lies in [low, high), the last row's in [low, high]."""

    low: float
    high: float
    fakes: int
    reals: int

    @property
    def videos(self) -> int:
        """How many there are."""
        return self.fakes + self.reals


class MapCheck(Config):
    """How much of a network's heat maps lies inside the masks of `fakes` self-blended fakes that it takes for fakes.

    inside, uniform, centred: mean shares in [0,1], of its maps, of an even map, and of a bell in the middle.
    """

    fakes: int
    inside: float
    uniform: float
    centred: float

    @property
    def tells(self) -> bool:
        """Whether the maps say more than an even map, and more than that a face is in the middle."""
        return self.inside > max(self.uniform, self.centred)


class Evidence(Config):
    """Tables of unseen videos, and of what they are. Empty where there are none."""

    of: str = Field(description="which videos, and how they come to be unseen")
    scores: tuple[Row, ...] = Field((), description="by the probability of being fake")
    apart: tuple[Row, ...] = Field((), description="by the gap between the networks' highest and lowest probability")
    wrong_apart: tuple[int, ...] = Field((), description="of each row of `apart`, on the wrong side of 0.5")
    maps: tuple[MapCheck | None, ...] = Field((), description="of each network, how far its heat maps can be trusted")

    def fakes(self, probability: float) -> tuple[Row, float] | None:
        """The row of a probability, and its share of fakes in a mix of half fakes; None where nothing is in it.

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
        """The row of networks so far apart, and how many of its videos were wrong; None where nothing is in it."""
        row = row_of(self.apart, gap) if self.apart else None
        return (row, self.wrong_apart[self.apart.index(row)]) if row is not None and row.videos else None


def evidence(
    of: str, probabilities: Sequence[float], labels: Sequence[int], alone: ArrayLike | None = None
) -> Evidence:
    """The tables of unseen videos. labels: 1 fake, 0 real. alone: (N,R), the probabilities of each of R networks."""
    scores = tabulate(probabilities, labels, TENTHS)
    if alone is None or np.ndim(alone) < 2 or np.shape(alone)[1] < 2:
        return Evidence(of=of, scores=scores)
    gaps = np.ptp(np.asarray(alone, float), axis=1)
    wrong = (np.asarray(probabilities) >= 0.5) != (np.asarray(labels) == 1)
    missed = tabulate(gaps[wrong].tolist(), [1] * int(wrong.sum()), APART)
    apart = tabulate(gaps.tolist(), labels, APART)
    return Evidence(of=of, scores=scores, apart=apart, wrong_apart=tuple(row.fakes for row in missed))


def tabulate(values: Sequence[float], labels: Sequence[int], edges: Sequence[float]) -> tuple[Row, ...]:
    """Fakes and real videos between neighbouring `edges`.

    >>> [(row.fakes, row.reals) for row in tabulate([0.1, 0.5, 1.0], [0, 1, 1], (0.0, 0.5, 1.0))]
    [(0, 1), (2, 0)]
    """
    x, y = np.asarray(values, float), np.asarray(labels)
    fakes, reals = (np.histogram(x[y == label], edges)[0].tolist() for label in (1, 0))
    between = zip(edges, edges[1:], fakes, reals, strict=False)
    return tuple(Row(low=low, high=high, fakes=f, reals=r) for low, high, f, r in between)


def row_of(rows: Sequence[Row], value: float) -> Row:
    """The row that a value lies in; one beyond the ends lies in the first or last."""
    return next((row for row in rows if value < row.high), rows[-1])
