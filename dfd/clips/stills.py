"""Pictures of faces with labels, as clips of one frame: what a network of single frames can be trained on first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dfd.clips.augment import NOTHING, AugmentConfig, Draw
from dfd.clips.balance import DrawConfig, both_classes
from dfd.clips.blend import BlendConfig
from dfd.clips.dataset import Picture, Points, Raw, as_clips, changed
from dfd.clips.pairs import Pair, PairedClips, Turns, blended
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError, ManifestError, StoreError, VideoReadError
from dfd.faces.build import Progress
from dfd.faces.stills import centred, landmarks_in
from dfd.types import Label
from dfd.videos.manifest import INDEX, read_videos
from dfd.videos.stills import read_still


@dataclass(frozen=True)
class Still:
    """One picture with a label, and what is known of it, as Video has it."""

    path: Path
    name: str
    label: Label
    source: str
    people: tuple[str, ...] = ()


def read_stills(folder: Path) -> list[Still]:
    """The pictures with a label that the index.csv in `folder` lists, by name. Raises ManifestError as read_videos."""
    if not (folder / INDEX).is_file():
        raise ManifestError(f"{folder / INDEX} is not there: it lists pictures as file,label,source")
    videos = read_videos(folder)
    return [Still(v.path, v.name, v.label, v.source, v.people) for v in videos if v.label is not None]


def load_still(still: Still) -> Picture:
    """The largest centred square of a picture, (S,S,3) uint8 RGB. Raises StoreError naming the file."""
    try:
        return centred(read_still(still.path)[0].rgb)[0]
    except VideoReadError as error:
        raise StoreError(f"{still.path} is not a picture that can be read ({error.reason})") from None


def find_landmarks(stills: Sequence[Still], progress: Progress | None = None) -> dict[str, Points]:
    """The landmarks (5,2) float32 of each picture's face, in pixels of what load_still gives, by the picture's name.

    A picture in which no face is found is left out. Raises StoreError when one cannot be read.
    """
    found: dict[str, Points] = {}
    for done, still in enumerate(stills, 1):
        if face := landmarks_in(load_still(still)):
            found[still.name] = face[0].astype(np.float32)
        if progress:
            progress(done, len(stills), still.name)
    return found


class StillDataset(PairedClips):
    """Pairs of pictures: a fake beside a real one of its own source where there is one, as often as `aligned` says.

    config.margin is that of the pictures: they are never cut narrower, but for the zoom and shift of `augment`.
    landmarks: of faces, by name, as find_landmarks gives them: a picture without is neither blended nor covered.
    """

    def __init__(
        self,
        stills: Sequence[Still],
        config: ClipConfig,
        draw: DrawConfig,
        augment: AugmentConfig,
        blend: BlendConfig,
        landmarks: Mapping[str, Points] | None = None,
    ) -> None:
        super().__init__(config, draw, augment)
        both_classes([still.label for still in stills], draw.self_blend)
        self.blend, self.landmarks = blend, landmarks or {}
        self.reals = [still for still in stills if still.label == 0]
        self.fakes = [still for still in stills if still.label == 1] if draw.self_blend < 1 else []
        if not self.fakes:
            self.reals = [still for still in self.reals if still.name in self.landmarks]
        if not self.reals:
            raise ConfigError("no face was found in any real picture: there is nothing to make fakes of")
        self.turns = Turns(len(self.reals), len(self.fakes), draw.slices, draw.self_blend, draw.seed)
        leads, others = (self.fakes, self.reals) if self.turns.fakes_lead else (self.reals, self.fakes)
        self.beside: dict[str, list[Still]] = {still.source: [] for still in leads}
        for still in others:
            self.beside.setdefault(still.source, []).append(still)

    def __len__(self) -> int:
        return -(-len(self.turns) // self.draw.per_load)

    def pairs(self, epoch: int, number: int, rng: np.random.Generator) -> list[Pair]:
        """`per_load` pairs of pictures; the last item's are filled up from the beginning."""
        count = self.draw.per_load
        return [self._pair(epoch, (number * count + i) % len(self.turns), rng) for i in range(count)]

    def _pair(self, epoch: int, number: int, rng: np.random.Generator) -> Pair:
        real = self.reals[self.turns.real(epoch, number)]
        if self.turns.makes(number) and real.name in self.landmarks:
            return blended(self._raw(real), rng, self.blend)
        fake = self.fakes[self.turns.fake(epoch, number)]
        own = self.beside[(fake if self.turns.fakes_lead else real).source]
        if own and rng.random() < self.draw.aligned:
            other = own[rng.integers(len(own))]
            real, fake = (other, fake) if self.turns.fakes_lead else (real, other)
        return Pair(self._raw(real), self._raw(fake), aligned=real.source == fake.source)

    def _raw(self, still: Still) -> Raw:
        landmarks = self.landmarks.get(still.name)
        points = None if landmarks is None else landmarks[None]
        return Raw(load_still(still)[None], self.config.margin, points, still.name)


def still_clips(stills: Sequence[Still], config: ClipConfig) -> torch.Tensor:
    """Pictures as a model reads them, (N,3,1,size,size) uint8, unchanged but in size."""
    plain = Draw.of(np.random.default_rng(0), NOTHING)
    clips = [changed(Raw(load_still(still)[None], config.margin, None, still.name), plain, config) for still in stills]
    return as_clips(clips, [], ()).images
