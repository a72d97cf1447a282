"""Explain a video's score in numbers and images. report/explain.py renders them as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dfd.clips.dataset import scored_clips
from dfd.clips.distort import DISTORTIONS, UNCHANGED, Distortion
from dfd.clips.sampling import ScoredClips
from dfd.errors import DfdError
from dfd.faces.across import people
from dfd.faces.records import TrackletRecord, VideoRecord, load_crops
from dfd.files import sha256
from dfd.inference.bundle import Bundle, Logits
from dfd.inference.heat import Heat, heat_maps
from dfd.inference.info import BundleInfo
from dfd.inference.looking import TELLING, wanted
from dfd.inference.predict import as_score, fell_back, with_file_doubts
from dfd.inference.quality import Quality, file_quality, with_faces
from dfd.scoring.decide import Rule
from dfd.types import FaceLogit, Rgb, Video, VideoScore

Place = tuple[int, int]
"""Segment and face."""

FOUND = 4
"""Number of people whose frames are shown: those in most segments."""


class Look(NamedTuple):
    """A face scored in a segment. start, stop: of the segment; time: of the middle frame. All in seconds.

    probability: of being fake, by this face alone. members: the same by each network; None if it failed, or scores
    other segments.
    """

    segment: int
    face: int
    person: int
    start: float
    stop: float
    time: float
    frame: int
    probability: float
    members: tuple[float | None, ...]


class Telling(NamedTuple):
    """A frame that points to a fake. member: index of a network; rated: its probability of being fake.

    Among the networks with informative heat maps (MapCheck) it is the one with the highest probability. image
    (S,S,3) uint8 RGB: the network's input. heat (S,S) float32 in [0,1]: where the network finds evidence of a fake,
    on one scale with its other frames of the video; None if no network's maps are informative.
    """

    look: Look
    member: int
    rated: float
    image: Rgb
    heat: Heat | None


@dataclass(frozen=True)
class Explanation:
    """All that is known about a video's score.

    looked: (start, stop) in seconds of each segment searched for faces, of `segments`. seconds: length of the video.
    faces: an image of each person. opinions: the probability by each network alone, None if it failed.
    held: the probability after each distortion, keyed by its description; None if it could not be scored.
    thorough: whether every segment was scored, instead of those that a prediction scores.
    """

    video: Video
    score: VideoScore
    info: BundleInfo
    quality: Quality = field(default_factory=Quality)
    sha256: str = ""
    seconds: float = 0.0
    segments: int = 0
    looked: tuple[tuple[float, float], ...] = ()
    looks: tuple[Look, ...] = ()
    faces: tuple[Rgb, ...] = ()
    telling: tuple[Telling, ...] = ()
    opinions: tuple[float | None, ...] = ()
    held: Mapping[str, float | None] = field(default_factory=dict)
    thorough: bool = False

    @property
    def people(self) -> int:
        """Number of people."""
        return len(self.faces)

    @property
    def gap(self) -> float | None:
        """Difference between the highest and the lowest network probability; None with fewer than two."""
        given = [opinion for opinion in self.opinions if opinion is not None]
        return max(given) - min(given) if len(given) > 1 else None


def explain(
    video: Video, record: VideoRecord, bundle: Bundle, thorough: bool = False, frames: int = TELLING
) -> Explanation:
    """Explain the score that a prediction gives `video`. record: processed with the segments of `wanted`.

    thorough: score every segment. frames: number shown per person; 0 skips both frames and distortions, which saves
    half of the time. A video that cannot be scored is explained as far as possible.
    Raises VideoReadError, StoreError or OSError if the file has vanished meanwhile.
    """
    plan = wanted(bundle.info, thorough)
    found = bundle.logits([record], plan.share)[0] if record.tracklets else None
    score = fell_back(record) if found is None else as_score(record, found, bundle)
    known = Explanation(video, with_file_doubts(score, video.path), bundle.info, thorough=thorough)
    if record.status not in ("ok", "no_face"):
        return known
    file = replace(file_quality(video.path), frames=record.frames)
    known = replace(known, sha256=sha256(video.path), quality=file)
    if not isinstance(found, Logits):
        return known
    case = _Case(record, bundle, plan, found)
    return replace(
        known,
        quality=with_faces(file, case.tracklets, case.crops, found.brightness),
        seconds=round(record.frames / case.fps, 3),
        segments=record.segments,
        looked=tuple(case.looked()),
        looks=tuple(case.looks),
        faces=tuple(case.faces()),
        opinions=tuple(_probability(bundle.info.rule, faces) for faces in found.alone),
        telling=tuple(case.telling(frames)) if frames else (),
        held=case.held() if frames else {},
    )


class _Case:
    """A video with faces and its networks' logits: an image and a Look of each scored tracklet."""

    def __init__(self, record: VideoRecord, bundle: Bundle, plan: ScoredClips, found: Logits) -> None:
        self.record, self.bundle, self.plan, self.found = record, bundle, plan, found
        scored = {face[:2] for face in found.faces}
        self.tracklets = [t for t in record.tracklets if (t.segment, t.face) in scored]
        self.fps = self.tracklets[0].fps
        places = [tracklet.frames // 2 for tracklet in self.tracklets]
        self.crops = [load_crops(t, [place])[0] for t, place in zip(self.tracklets, places, strict=True)]
        self.persons = people(self.tracklets, self.crops, places)
        self.looks = [self._look(*each) for each in zip(self.tracklets, places, self.persons, strict=True)]

    def _look(self, tracklet: TrackletRecord, place: int, person: int) -> Look:
        at, rule = (tracklet.segment, tracklet.face), self.bundle.info.rule
        (own,) = (face for face in self.found.faces if face[:2] == at)
        alone = [[face for face in faces if face[:2] == at] for faces in self.found.alone]
        frame = int(tracklet.indices[place])
        start, stop, time = (round(index / self.fps, 3) for index in (*tracklet.bounds, frame))
        members = tuple(_probability(rule, faces) for faces in alone)
        return Look(*at, person, start, stop, time, frame, rule.probability([own]), members)

    def looked(self) -> list[tuple[float, float]]:
        """Start and stop of each segment searched for faces."""
        total, faced = self.record.segments, self.record.faced
        first = self.plan.first(total)
        numbers = first if self.plan.enough(total, faced) else range(total)
        edges = [round(self.record.frames * number // total / self.fps, 3) for number in range(total + 1)]
        return [(edges[number], edges[number + 1]) for number in sorted({*numbers, *faced})]

    def faces(self) -> list[Rgb]:
        """The first image of each person."""
        return [self.crops[self.persons.index(person)] for person in range(max(self.persons) + 1)]

    def telling(self, frames: int) -> list[Telling]:
        """The looks with the most evidence of a fake, `frames` per person."""
        best: list[tuple[Look, int]] = []
        for person in range(min(FOUND, max(self.persons) + 1)):
            own = sorted((look for look in self.looks if look.person == person), key=lambda look: -look.probability)
            best += [(look, _most_suspect(look.members, self._mapped())) for look in own[:frames]]
        found = [each for member in {member for _, member in best} for each in self._drawn(member, best)]
        return sorted(found, key=lambda each: (each.look.person, each.look.time))

    def _mapped(self) -> list[int]:
        """Indices of the networks whose heat maps are informative, or were not measured."""
        table = self.bundle.info.evidence
        checks = table.maps if table and table.maps else (None,) * len(self.bundle.members)
        return [number for number, check in enumerate(checks) if check is None or check.tells]

    def _drawn(self, member: int, best: Sequence[tuple[Look, int]]) -> list[Telling]:
        """The looks assigned to one network, with its heat maps on one scale if they are informative."""
        model, header = self.bundle.members[member]
        tracklets, clips = scored_clips(self.record, header.clip, self.plan.share)
        rows = {(t.segment, t.face): row for row, t in enumerate(tracklets)}
        looks = [look for look, of in best if of == member]
        shown = clips[[rows[look.segment, look.face] for look in looks]]
        maps = heat_maps(model, shown)[1] if member in self._mapped() else None
        most = np.float32(1.0 if maps is None else max(float(maps.max()), 1e-9))
        found = []
        for number, look in enumerate(looks):
            at = shown.shape[2] // 2 if maps is None else int(maps[number].sum(axis=(1, 2)).argmax())
            image = shown[number, :, at].permute(1, 2, 0).numpy()
            heat = None if maps is None else maps[number, at] / most
            found.append(Telling(look, member, float(look.members[member] or 0.0), image, heat))
        return found

    def held(self) -> dict[str, float | None]:
        """Scores after distortions of the scored crops; the video itself is not re-encoded."""
        coded = DISTORTIONS["h264"]
        changes = {coded.means: coded, HALVED: halved(self.tracklets)}
        found = {}
        for means, change in changes.items():
            (logits,) = replace(self.bundle, distortion=change).logits([self.record], self.plan.share)
            found[means] = None if isinstance(logits, DfdError) else self.bundle.info.rule.probability(logits.faces)
        return found


HALVED = "half of its size, enlarged again"


def halved(tracklets: Sequence[TrackletRecord]) -> Distortion:
    """The distortion that halving the video's size causes. A small face's crop was enlarged when stored."""
    real = float(np.median([t.path.side * t.margin / t.size for t in tracklets]))
    return Distortion(HALVED, replace(UNCHANGED, reduction=min(1.0, real) / 2))


def _probability(rule: Rule, faces: Sequence[FaceLogit]) -> float | None:
    return rule.probability(faces) if faces else None


def _most_suspect(members: Sequence[float | None], preferred: Sequence[int]) -> int:
    """Index of the network with the highest probability, among the preferred ones if any of them has one.

    >>> _most_suspect([None, 0.2, 0.9], [0, 1]), _most_suspect([None, 0.2, 0.9], [0])
    (1, 2)
    """
    given = {number: probability for number, probability in enumerate(members) if probability is not None}
    best = {number: given[number] for number in preferred if number in given} or given
    return max(best, key=best.__getitem__)
