"""Training clips of several datasets as one: how much of each an epoch takes."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from dfd.clips.dataset import TrainingClips
from dfd.clips.pairs import turn
from dfd.types import Clips


class JoinedClips(TrainingClips):
    """An epoch takes of each of `parts` its share: of 0.5 half of the items, and the next epoch the other half.

    shares: a number above 0 a part. A part that is asked for an item gets, in place of the epoch, how often all of
    its items came before: so each of them comes once before any comes again.
    """

    def __init__(self, parts: Sequence[TrainingClips], shares: Sequence[float], seed: int) -> None:
        self.parts, self.seed = parts, seed
        self.clips = parts[0].clips
        self.counts = [max(1, round(share * len(part))) for part, share in zip(parts, shares, strict=True)]
        self.ends = np.cumsum(self.counts).tolist()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, item: tuple[int, int]) -> Clips:
        place, lap, number = self.where(*item)
        return self.parts[place][lap, number]

    def where(self, epoch: int, number: int) -> tuple[int, int, int]:
        """The part of an epoch's item, from 0, and which item of which epoch it is there."""
        place = bisect_right(self.ends, number)
        part, count = self.parts[place], self.counts[place]
        so_far = epoch * count + number - (self.ends[place] - count)
        lap = so_far // len(part)
        return place, lap, turn(self.seed, lap, place, len(part), so_far % len(part))
