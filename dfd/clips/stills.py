"""Pictures of faces with labels, as clips of one frame: what a network of single frames can be trained on first.

A folder of pictures and its index.csv with the columns file, label (REAL or FAKE, or 0 and 1) and source: the name of
the video that a real picture is of and a fake was made from. A column person may say who is in it, several by spaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from dfd.clips.augment import NOTHING, AugmentConfig, Draw
from dfd.clips.balance import DrawConfig, both_classes
from dfd.clips.blend import BlendConfig
from dfd.clips.dataset import Picture, Points, Raw, as_clips, changed
from dfd.clips.pairs import Pair, PairedClips, Turns, blended
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError, ManifestError, StoreError
from dfd.faces.build import Progress
from dfd.faces.detect import Detector
from dfd.types import Label

LABELS: dict[str, Label] = {"REAL": 0, "0": 0, "FAKE": 1, "1": 1}
COLUMNS = ("file", "label", "source")
DETECTED_AT = 224
"""Side in pixels at which landmarks are looked for."""
BORDER = 0.45
"""Of a side, put around a picture first: in one that is cut as tight as its face MTCNN's landmarks are far off."""
TOGETHER = 16
"""Pictures that go through the detector at a time."""


@dataclass(frozen=True)
class Still:
    """One picture. name: as index.csv has it. label: 1 fake, 0 real. source: what it is of or was made from.

    people: who is in it or gave a face to it, as far as index.csv says.
    """

    path: Path
    name: str
    label: Label
    source: str
    people: tuple[str, ...] = ()


def read_stills(folder: Path) -> list[Still]:
    """The pictures that the index.csv in `folder` lists, in its order.

    Raises ManifestError: no such file, a column or picture is missing, a label is another, or a picture is there twice.
    """
    path = folder / "index.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = "no such file" if not path.is_file() else " ".join(str(error).split())
        raise ManifestError(f"{path} cannot be read ({reason}): it lists pictures as file,label,source") from None
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise ManifestError(f"{path} has no column {absent[0]!r}: it needs {', '.join(COLUMNS)}")
    foreign = table.loc[~table["label"].isin(LABELS), "label"]
    if len(foreign):
        raise ManifestError(f"{path} has the label {foreign.iloc[0]!r}: a label is REAL, FAKE, 0 or 1")
    twice = table.loc[table["file"].duplicated(), "file"]
    if len(twice):
        raise ManifestError(f"{path} lists {twice.iloc[0]!r} twice")
    outside = next((name for name in table["file"] if Path(name).is_absolute() or ".." in Path(name).parts), None)
    if outside is not None:
        raise ManifestError(f"{path} lists {outside!r}, which lies outside {folder}: give names within the folder")
    people = table["person"] if "person" in table else [""] * len(table)
    rows = zip(table["file"], table["label"], table["source"], people, strict=True)
    stills = [
        Still(folder / name, name, LABELS[label], source or name, tuple(persons.split()))
        for name, label, source, persons in rows
    ]
    lost = next((still for still in stills if not still.path.is_file()), None)
    if lost:
        raise ManifestError(f"{path} lists {lost.name!r}, which is not in {folder}")
    return stills


def load_still(still: Still) -> Picture:
    """The largest centred square of a picture, (S,S,3) uint8 RGB. Raises StoreError naming the file."""
    code = np.frombuffer(still.path.read_bytes(), np.uint8)
    image = cv2.imdecode(code, cv2.IMREAD_COLOR) if len(code) else None
    if image is None:
        raise StoreError(f"{still.path} is not a picture that can be read: take it out of index.csv")
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.asarray(cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_BGR2RGB))


def find_landmarks(stills: Sequence[Still], progress: Progress | None = None) -> dict[str, Points]:
    """The landmarks (5,2) float32 of each picture's face, in pixels of what load_still gives, by the picture's name.

    Of several faces the one nearest to the middle; a picture in which none is found is left out.
    Raises StoreError when a picture cannot be read.
    """
    detector, border = Detector(min_face=DETECTED_AT // 4), round(BORDER * DETECTED_AT)
    middle = DETECTED_AT / 2 + border
    found: dict[str, Points] = {}
    for start in range(0, len(stills), TOGETHER):
        part = stills[start : start + TOGETHER]
        images = [load_still(still) for still in part]
        for still, image, faces in zip(
            part, images, detector.detect([_bordered(i, border) for i in images]), strict=True
        ):
            if len(faces):
                centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
                nearest = int(np.abs(centres - middle).sum(axis=1).argmin())
                found[still.name] = (faces.landmarks[nearest] - border) * np.float32(len(image) / DETECTED_AT)
        if progress:
            progress(start + len(part), len(stills), part[-1].name)
    return found


def _bordered(image: Picture, border: int) -> Picture:
    """A square picture at DETECTED_AT with its edge pixels repeated around it."""
    small = cv2.resize(image, (DETECTED_AT, DETECTED_AT), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE))


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
