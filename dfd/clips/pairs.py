"""Paired training clips: every batch has real and fake clips in pairs, both changed by the same augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from dfd.clips.augment import Draw
from dfd.clips.balance import both_classes
from dfd.clips.blend import BlendConfig, self_blend
from dfd.clips.dataset import (
    ClipRecipe,
    Picture,
    Points,
    Raw,
    TrainingClips,
    a_tracklet,
    as_clips,
    changed,
    drawn_positions,
    load_raw,
)
from dfd.clips.made import located
from dfd.clips.meshes import Mesher, MeshFile
from dfd.clips.mix import cutmix, mixup
from dfd.clips.sampling import Positions
from dfd.errors import ConfigError
from dfd.faces.mesh import face_mesh
from dfd.faces.records import TrackletRecord, VideoRecord, load_geometry
from dfd.types import Clips

ALIGNED = 0.8
"""Intersection over union of two face boxes above which their crops show the same place and can be mixed."""


@dataclass(frozen=True)
class Pair:
    """A real and a fake clip, trained on together. aligned: both show the same place and time.

    mask: (T,S,S) float32 in [0,1], the share of each pixel that a self-blended fake changed.
    """

    real: Raw
    fake: Raw
    aligned: bool
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Turns:
    """Which two videos form each pair of an epoch. Each video of the larger class is in `slices` pairs.

    reals, fakes: number of videos. made: share of pairs whose fake is made from the real clip; when fakes outnumber
    reals these pairs are added. borrowed: the real videos come from other datasets, and the fakes then count as the
    larger class. Pairs are numbered from 0 to len - 1.
    """

    reals: int
    fakes: int
    slices: int
    made: float
    seed: int
    borrowed: bool = False

    @property
    def fakes_lead(self) -> bool:
        """Whether the fakes are the larger class, so that any real video may be their partner."""
        return self.borrowed or self.fakes >= self.reals

    def __len__(self) -> int:
        if self.fakes_lead:
            return round(self.slices * self.fakes / (1 - self.made))
        return self.slices * self.reals

    def makes(self, number: int) -> bool:
        """Whether this pair's fake is made. The last numbers are; the order of an epoch is shuffled elsewhere."""
        found = self.slices * self.fakes if self.fakes_lead else len(self) - round(len(self) * self.made)
        return number >= found

    def real(self, epoch: int, number: int) -> int:
        """Index of the real video of this pair."""
        return turn(self.seed, epoch, 0, self.reals, number)

    def fake(self, epoch: int, number: int) -> int:
        """Index of the fake of this pair."""
        return turn(self.seed, epoch, 1, self.fakes, number)


class PairDataset(TrainingClips):
    """An item is `per_load` pairs of two videos, or of one real video and its self-blended fake. Both clips of a pair
    are augmented alike.

    An epoch opens each video of the larger class `slices` times, and the others as often as needed. `aligned` is the
    probability that a fake is paired with its own source, on the same frames if both videos have them. Otherwise the
    partner is the next in turn.
    others: real videos of other datasets, also searched for sources. If `videos` has no real one, its fakes are paired
    with any of these. meshes: keeps the meshes of pictures, by their place among the real videos.
    A real video without landmarks (an image, for example) is not blended but paired with a fake.
    """

    def __init__(
        self,
        videos: Sequence[VideoRecord],
        recipe: ClipRecipe,
        others: Sequence[VideoRecord] = (),
        meshes: MeshFile | None = None,
    ) -> None:
        draw = recipe.draw
        self.recipe, self.meshes, self.clips = recipe, meshes, 2 * draw.per_load
        own = [video for video in videos if video.label == 0]
        self.reals = own or list(others)
        fakes = [video for video in videos if video.label == 1]
        both_classes([video.label or 0 for video in (*self.reals, *fakes)], draw.self_blend)
        self.fakes = fakes if draw.self_blend < 1 else []
        if not self.fakes:
            self.reals = [video for video in self.reals if located(video)]
            if not self.reals:
                raise ConfigError("no real video has a face with landmarks: there is nothing to make fakes of")
        self.turns = Turns(len(self.reals), len(self.fakes), draw.slices, draw.self_blend, draw.seed, not own)
        self.reals_of, self.fakes_of = _by_source([*own, *others]), _by_source(self.fakes)

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, item: tuple[int, int]) -> Clips:
        rng = np.random.default_rng([self.recipe.draw.seed, *item])
        pairs = self.pairs(*item, rng)
        finished = [self._finish(pair, rng) for pair in pairs]
        reals, fakes, shares = zip(*finished, strict=True)
        names = [pair.real.video for pair in pairs] + [pair.fake.video for pair in pairs]
        return as_clips([*reals, *fakes], [*shares, *(1 - share for share in shares)], names)

    def pairs(self, epoch: int, number: int, rng: np.random.Generator) -> list[Pair]:
        """Load the `per_load` pairs of an item as stored, from one tracklet per side."""
        place = self.turns.real(epoch, number)
        real = self.reals[place]
        if self.turns.makes(number) and (faces := located(real)):
            return self._blended(faces, rng, place)
        fake = self.fakes[self.turns.fake(epoch, number)]
        aligned = rng.random() < self.recipe.draw.aligned
        if aligned and self.turns.fakes_lead:
            real = _one_of(self.reals_of.get(fake.source), real, rng)
        elif aligned:
            fake = _one_of(self.fakes_of.get(real.source), fake, rng)
        return self._real_fakes(real, fake, aligned, rng)

    def _blended(self, faces: Sequence[TrackletRecord], rng: np.random.Generator, place: int) -> list[Pair]:
        tracklet = a_tracklet(faces, rng)
        picture = len(faces) == 1 and tracklet.frames == 1
        mesher = partial(self.meshes.mesh, place) if self.meshes and picture else face_mesh
        loaded = load_raw(tracklet, drawn_positions(tracklet, self.recipe, rng))
        return [blended(raw, rng, self.recipe.blend, mesher) for raw in loaded]

    def _real_fakes(self, real: VideoRecord, fake: VideoRecord, aligned: bool, rng: np.random.Generator) -> list[Pair]:
        tracklet = a_tracklet(fake.tracklets, rng)
        positions = drawn_positions(tracklet, self.recipe, rng)
        same = same_frames(tracklet, positions, real) if aligned and fake.source == real.source else None
        if same is None:
            twin = a_tracklet(real.tracklets, rng)
            reals = load_raw(twin, drawn_positions(twin, self.recipe, rng))
        else:
            reals = load_raw(*same)
        return [Pair(a, b, same is not None) for a, b in zip(reals, load_raw(tracklet, positions), strict=True)]

    def _finish(self, pair: Pair, rng: np.random.Generator) -> tuple[Picture, Picture, float]:
        """Real and fake clip (T,S,S,3) as a model reads them, and the share that each takes from the other."""
        draw = Draw.of(rng, self.recipe.augment)
        real, fake = (changed(raw, draw, self.recipe.clip) for raw in (pair.real, pair.fake))
        mixes, cuts = rng.random(2) < (self.recipe.draw.mixup, self.recipe.draw.cutmix)
        if pair.aligned and mixes:
            return mixup(real, fake, rng)
        return cutmix(real, fake, rng) if cuts else (real, fake, 0.0)


def _by_source(videos: Sequence[VideoRecord]) -> dict[str, list[VideoRecord]]:
    found: dict[str, list[VideoRecord]] = {}
    for video in videos:
        found.setdefault(video.source, []).append(video)
    return found


def _one_of(videos: Sequence[VideoRecord] | None, otherwise: VideoRecord, rng: np.random.Generator) -> VideoRecord:
    return videos[int(rng.integers(len(videos)))] if videos else otherwise


def blended(raw: Raw, rng: np.random.Generator, config: BlendConfig, mesher: Mesher = face_mesh) -> Pair:
    """Blend a real clip into a self-blended fake. Raises ValueError for a clip without landmarks."""
    if raw.landmarks is None:
        raise ValueError(f"{raw.video} has no landmarks to blend by")
    twin, fake, mask = self_blend(raw.images, raw.landmarks, rng, config, mesher)
    return Pair(replace(raw, images=twin), replace(raw, images=fake), True, mask)


def same_frames(
    tracklet: TrackletRecord, positions: Positions, other: VideoRecord
) -> tuple[TrackletRecord, Positions] | None:
    """Find the face at `positions` of a tracklet in another video: the tracklet there, and the positions in it.

    None unless a tracklet of the same segment has all those frames, with boxes in the same place.
    """
    indices, boxes, _ = load_geometry(tracklet)
    for candidate in other.of(tracklet.segment):
        there, others, _ = load_geometry(candidate)
        at = np.minimum(np.searchsorted(there, indices[positions]), len(there) - 1)
        if np.array_equal(there[at], indices[positions]) and overlap(boxes[positions], others[at]).min() >= ALIGNED:
            return candidate, at
    return None


def overlap(a: Points, b: Points) -> Points:
    """Intersection over union of boxes (...,4) XYXY, element by element: (...) in [0,1].

    >>> overlap(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 3])).round(3).item()
    0.333
    """
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return shared / (areas - shared)


def turn(seed: int, epoch: int, what: int, count: int, number: int) -> int:
    """Index in turn among `count`: each occurs once in every `count` numbers, in an order drawn by (seed, epoch, what).

    what: selects one of several independent orders, for example by label.

    >>> sorted(turn(0, 3, 1, 4, number) for number in range(8))
    [0, 0, 1, 1, 2, 2, 3, 3]
    """
    return int(_order(seed, epoch, what, count, number // count)[number % count])


@lru_cache(maxsize=32)
def _order(seed: int, epoch: int, what: int, count: int, lap: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, what, lap]).permutation(count)
