"""Join the training clips of several datasets: each contributes its share of an epoch."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from dfd.clips.dataset import TrainingClips
from dfd.clips.pairs import turn
from dfd.types import Clips


class JoinedClips(TrainingClips):
    """Each epoch takes a share of the items of every part. With a share of 0.5 the next epoch takes the other half.

    shares: a number above 0 per part. A part is indexed by its own epoch, the number of complete passes over its items.
    So every item is used once before any is used again.
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
        """Map an epoch's item to its part (from 0), the part's own epoch, and the item's number in it."""
        place = bisect_right(self.ends, number)
        part, count = self.parts[place], self.counts[place]
        so_far = epoch * count + number - (self.ends[place] - count)
        lap = so_far // len(part)
        return place, lap, turn(self.seed, lap, place, len(part), so_far % len(part))
