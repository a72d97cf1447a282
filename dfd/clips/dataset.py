"""From stored tracks to the uint8 tensors that a model reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from dfd.clips.balance import Balance
from dfd.clips.sampling import ClipConfig, even_clips, random_clips
from dfd.faces.crops import narrow
from dfd.faces.store import TrackRecord, VideoRecord, load_crops
from dfd.types import Clips


def load_clips(record: TrackRecord, positions: NDArray[np.int64], config: ClipConfig) -> torch.Tensor:
    """The clips (N,3,T,S,S) uint8 at `positions` (N,T) of a track: the one way from the store to a model.

    Raises StoreError when the track cannot be read; ValueError when it was stored narrower than `config.margin`.
    """
    crops = narrow(load_crops(record, positions.reshape(-1)), record.margin, config.margin, config.size)
    clips = crops.reshape(*positions.shape, config.size, config.size, 3)
    return torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3)))


def scored_clips(record: TrackRecord, config: ClipConfig, count: int) -> torch.Tensor:
    """The clips that a track is scored on: `count` spread evenly, (N,3,T,S,S) uint8, the same every time."""
    return load_clips(record, even_clips(record.frames, record.fps, config, count), config)


@dataclass(frozen=True)
class Slice:
    """One load of a video in an epoch: its tracks, of which one is drawn, and how many clips to take of it."""

    tracks: tuple[TrackRecord, ...]
    clips: int


class ClipDataset(Dataset[Clips]):
    """Training clips: an item is `per_load` random clips of one track, or fewer at the end of a video's share.

    A video gives as many clips an epoch as `balance` says for its class, drawn anew in every epoch: by (seed, epoch,
    item) alone, so that neither the number of workers nor a resumed run changes them.
    """

    def __init__(
        self, videos: Sequence[VideoRecord], config: ClipConfig, balance: Balance, per_load: int, seed: int
    ) -> None:
        self.config = config
        self.seed = seed
        self.slices = [
            Slice(video.main_tracks(), min(per_load, total - taken))
            for video in videos
            for total in [balance.slices(video.label or 0)]
            for taken in range(0, total, per_load)
        ]

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, item: tuple[int, int]) -> Clips:
        epoch, number = item
        part = self.slices[number]
        rng = np.random.default_rng([self.seed, epoch, number])
        weights = np.array([record.frames for record in part.tracks], float)
        record = part.tracks[rng.choice(len(weights), p=weights / weights.sum())]
        images = load_clips(record, random_clips(record.frames, record.fps, self.config, part.clips, rng), self.config)
        label = float(record.label or 0)
        return Clips(images, torch.full((part.clips,), label), (record.video,) * part.clips)


class EpochSampler(Sampler[tuple[int, int]]):
    """Items in an order drawn by (seed, epoch), each with its epoch, which Lightning sets before the epoch begins."""

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning's loop."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        return iter([(self.epoch, int(number)) for number in order])


def collate(items: Sequence[Clips]) -> Clips:
    """Several items as one batch."""
    return Clips(
        torch.cat([item.images for item in items]),
        torch.cat([item.labels for item in items]),
        tuple(name for item in items for name in item.names),
    )
