"""Turn stored tracklets into the uint8 tensors that a model reads."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from dfd.clips.augment import AugmentConfig, Draw, thinned_clips
from dfd.clips.balance import Balance, DrawConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.distort import UNCHANGED, Distortion
from dfd.clips.made import MadeFake
from dfd.clips.sampling import ClipConfig, Positions, ScoredClips, middle_clip, scored_frames
from dfd.faces.records import TrackletRecord, VideoRecord, load_crops, load_geometry, load_together
from dfd.types import Clips

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]


def load_clips(record: TrackletRecord, positions: Positions, config: ClipConfig) -> torch.Tensor:
    """Load the clips (N,3,T,S,S) uint8 at `positions` (N,T) of a tracklet.

    Raises StoreError when the tracklet cannot be read, ValueError when it was stored narrower than `config.margin`.
    """
    return as_clips([changed(raw, UNCHANGED, config) for raw in load_raw(record, positions)], [], ()).images


def scored_clips(
    record: VideoRecord, config: ClipConfig, share: float = 1.0, distortion: Distortion | None = None
) -> tuple[list[TrackletRecord], torch.Tensor]:
    """Load what scores a video with faces: its tracklets, and one clip of each, (N,3,T,S,S) uint8.

    share: of the segments. distortion: applied to the stored crops first. Raises StoreError when a tracklet cannot be
    read, ValueError when it was stored narrower than `config.margin`.
    """
    numbers = ScoredClips((config,), share).segments(config, record.segments, record.faced)
    tracklets = [tracklet for number in numbers for tracklet in record.of(number)]
    places = [
        np.searchsorted(t.indices, scored_frames(t.indices, t.path.looks, middle_clip(*t.bounds, t.fps, config)))
        for t in tracklets
    ]
    clips = []
    loaded = load_together(list(zip(tracklets, places, strict=True)))
    for tracklet, at, crops in zip(tracklets, places, loaded, strict=True):
        name = f"{record.video}/{tracklet.segment}/{tracklet.face}"
        if isinstance(record, MadeFake):
            crops = record.blended(crops, load_geometry(tracklet)[2][at], name)
        draw = distortion.of(name) if distortion else UNCHANGED
        clips.append(changed(Raw(crops, tracklet.margin, None, record.video), draw, config))
    return tracklets, as_clips(clips, [0.0] * len(clips), [record.video] * len(clips)).images


@dataclass(frozen=True)
class Raw:
    """A clip as stored: images (T,S,S,3) uint8 cut at `margin`; landmarks (T,5,2) in its pixels, None if unknown."""

    images: Picture
    margin: float
    landmarks: Points | None
    video: str


@dataclass(frozen=True)
class ClipRecipe:
    """The settings of training clips: what a model is fed, what is drawn, and how it is changed and blended."""

    clip: ClipConfig
    draw: DrawConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)


class TrainingClips(Dataset[Clips], ABC):
    """Training clips indexed by (epoch, number). They are redrawn each epoch and depend only on (seed, epoch, number).

    Neither the number of loader processes nor resuming a run changes them. clips: number of clips per item.
    """

    clips: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, item: tuple[int, int]) -> Clips: ...


class SliceDataset(TrainingClips):
    """An item is `per_load` random clips of one tracklet. `balance` sets how often each video is opened, by class."""

    def __init__(self, videos: Sequence[VideoRecord], recipe: ClipRecipe, balance: Balance) -> None:
        self.recipe, self.clips = recipe, recipe.draw.per_load
        self.slices = [video.tracklets for video in videos for _ in range(balance.slices(video.label or 0))]

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, item: tuple[int, int]) -> Clips:
        recipe, (epoch, number) = self.recipe, item
        rng = np.random.default_rng([recipe.draw.seed, epoch, number])
        tracklet = a_tracklet(self.slices[number], rng)
        loaded = load_raw(tracklet, drawn_positions(tracklet, recipe, rng))
        clips = [changed(raw, Draw.of(rng, recipe.augment), recipe.clip) for raw in loaded]
        return as_clips(clips, [float(tracklet.label or 0)] * len(clips), [tracklet.video] * len(clips))


def a_tracklet(tracklets: Sequence[TrackletRecord], rng: np.random.Generator) -> TrackletRecord:
    """Draw one of a video's tracklets. Long tracklets and large faces are likelier: a small face may be a passer-by."""
    weights = np.array([tracklet.frames * tracklet.path.side for tracklet in tracklets])
    return tracklets[rng.choice(len(weights), p=weights / weights.sum())]


def drawn_positions(tracklet: TrackletRecord, recipe: ClipRecipe, rng: np.random.Generator) -> Positions:
    """Draw `per_load` clips of a tracklet: the positions (per_load, length) of their frames."""
    draw, augment = recipe.draw, recipe.augment
    return thinned_clips(tracklet.frames, tracklet.fps, recipe.clip, draw.per_load, rng, augment)


def load_raw(tracklet: TrackletRecord, positions: Positions) -> list[Raw]:
    """Load the clips at `positions` (N,T) of a tracklet, as stored. Raises StoreError naming the file."""
    crops = load_crops(tracklet, positions.reshape(-1))
    landmarks = load_geometry(tracklet)[2] if tracklet.path.located else None
    clips = crops.reshape(*positions.shape, *crops.shape[1:])
    return [
        Raw(clip, tracklet.margin, None if landmarks is None else landmarks[at], tracklet.video)
        for clip, at in zip(clips, positions, strict=True)
    ]


def changed(raw: Raw, draw: Draw, config: ClipConfig) -> Picture:
    """Apply `draw` to a stored clip. Returns it as a model reads it, (T,size,size,3) uint8."""
    return draw(raw.images, raw.margin, config.margin, config.size, raw.landmarks)


def as_clips(clips: Sequence[Picture], labels: Sequence[float], names: Sequence[str]) -> Clips:
    """Stack clips (T,S,S,3) uint8 and labels in [0,1] into tensors."""
    images = torch.from_numpy(np.ascontiguousarray(np.stack(clips).transpose(0, 4, 1, 2, 3)))
    return Clips(images, torch.tensor(labels, dtype=torch.float32), tuple(names))


class EpochSampler(Sampler[tuple[int, int]]):
    """Item numbers in an order drawn from (seed, epoch), each with its epoch. Lightning sets it before the epoch.

    When `parts` processes share an epoch, each takes every `parts`-th item, starting at its own number. At any time
    they hold together what a single process would hold. All get equally many; up to parts - 1 items go unused.
    skip: number of items to leave out at the next start, because a resumed run has done them.
    """

    def __init__(self, length: int, seed: int, part: int = 0, parts: int = 1) -> None:
        self.length, self.seed, self.part, self.parts = length, seed, part, parts
        self.epoch = self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch. Lightning's loop calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.parts

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        mine = order[self.part :: self.parts][: len(self)]
        skip, self.skip = self.skip, 0
        return iter([(self.epoch, int(number)) for number in mine[skip:]])


def collate(items: Sequence[Clips]) -> Clips:
    """Concatenate several items into one batch."""
    return Clips(
        torch.cat([item.images for item in items]),
        torch.cat([item.labels for item in items]),
        tuple(name for item in items for name in item.names),
    )


def one_thread(_: int = 0) -> None:
    """Limit a loader process to one thread. OpenCV's threads do not survive a fork, and one process per core is faster.

    The first SIGTERM, which a scheduler sends to all processes alike, is ignored: the training process saves first.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
