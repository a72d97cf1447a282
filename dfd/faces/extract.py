"""From a video to its face tracks, in one pass over the pictures.

Each chunk of pictures is looked at on a few reduced key frames, faces are linked to the tracks so far, and every
picture's crop is cut at full size before the chunk is dropped. Training looks at all pictures of a video; a prediction
at the clips that are scored, along the same road: what it cuts out there is the same to a pixel or two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config
from dfd.faces.crops import cut, to_crop
from dfd.faces.detect import Detector
from dfd.faces.tracks import LEAST_OVERLAP, Track, Tracker, overlaps
from dfd.types import Detections, FaceTrack, Plan, Video
from dfd.videos.decode import VideoInfo
from dfd.videos.fallback import Source, open_source
from dfd.videos.pictures import Picture, Pictures

CHUNK_BYTES = 300_000_000
"""Pictures held at a time, as RGB: 48 frames of 1080p. As decoded they take half of that."""
WHOLE_EVERY = 5
"""One look in so many goes over the whole picture; the others, at a third of the cost, about the faces followed."""
ABOUT = 2.5
"""Width of the part that is looked at about a face, in widths of its box."""
FACE = 96
"""Pixels that a face has in it at most: the last of the detector's networks sees 48."""
SMALLEST = 0.6
"""What is looked for there is this large at least, in the face's last size."""
PARTS = ("boxes", "confidences", "landmarks")
LONGEST_TRACK = 900
"""Frames after which a track ends and another begins: bounds the memory that a long video takes (180 MB a face)."""


class FacesConfig(Config):
    """How faces are found, followed and cut out. Saved with the dataset and with every model trained on it."""

    margin: float = Field(1.6, ge=1, le=3, description="width of a stored crop, in widths of the face's box")
    size: int = Field(256, ge=32, le=1024, description="side of a stored crop, in pixels")
    detect_side: int = Field(
        960, ge=64, le=8192, description="longer side of the copy that faces are looked for on, in pixels"
    )
    detect_every: float = Field(0.27, gt=0, le=10, description="time between two looks for faces, in seconds")
    min_face: int = Field(40, ge=20, description="side of the smallest face looked for, in pixels of that copy")
    faces: int = Field(3, ge=1, le=20, description="most faces followed at a time")
    frames: int | None = Field(
        None, ge=1, description="look at no more than so many frames, the first; all if not given"
    )


@dataclass(frozen=True)
class Look:
    """How sure the detector must be. thresholds: after each of its three networks; birth: for a new track."""

    thresholds: tuple[float, float, float]
    birth: float


USUAL = Look((0.6, 0.7, 0.7), 0.9)
FAINT = Look((0.4, 0.5, 0.5), 0.5)
"""For a second pass where the usual look finds no face: finds dark ones, and ones that lie on their side, and none in
thirteen moving pictures of noise, brick, grass, text, coins, a cat, a cup and the like."""


@dataclass
class Extraction:
    """What became of one video, filled in while its tracks are taken.

    frames: pictures read. missing: pictures that the file promises and does not give. faces: sightings of faces in
    key frames, tracked or not. keys: key frames; wholes: those looked at all over. brightness: mean of their pixels, 0
    to 255.
    """

    frames: int = 0
    missing: int = 0
    faces: int = 0
    keys: int = 0
    wholes: int = 0
    brightness: float = 0.0
    caveat: str = ""

    def begin(self, caveat: str) -> None:
        """Count anew: the video is read from its beginning."""
        self.frames = self.missing = self.faces = self.keys = self.wholes = 0
        self.brightness = 0.0
        self.caveat = caveat

    @property
    def reason(self) -> str:
        """One line on why there is no track."""
        dark = f", and the pictures are dark (mean {self.brightness:.0f} of 255)" if self.brightness < 30 else ""
        found = "no face" if not self.faces else f"{self.faces} faint or fleeting faces only"
        return f"{found} on {self.keys} frames looked at, of {self.frames}{dark}"


@dataclass(eq=False)
class _Cutting:
    """A track with its crops so far, one a picture from its first sighting on."""

    track: Track
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    landmarks: list[NDArray[np.float32]] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


def extract_tracks(
    video: Video, config: FacesConfig, told: Extraction | None = None, plan: Plan | None = None
) -> Iterator[FaceTrack]:
    """The face tracks of `video`, each as soon as it ends; `track` counts them from 0 in that order.

    plan: the pictures to look at; all without it, and with it too where those show no face. A track is seen
    in two key frames or more, unless the video has only one. A video without any is looked at again, less strictly; one
    in which PyAV finds no picture is read by decord. `told` is filled in on the way.
    Raises VideoReadError when no picture can be read.
    """
    told = told if told is not None else Extraction()
    source = open_source(video.path)
    passes = [(USUAL, plan)] * (plan is not None) + [(USUAL, None), (FAINT, None)]
    for look, part in passes:
        caveats = ["read by decord"] * (source.decoder == "decord") + ["a faint face"] * (look is FAINT)
        told.begin(", ".join(caveats))
        none = True
        for track in _Pass(video, source, config, look, told).tracks(part):
            none = False
            yield track
        if not none:
            return


class _Pass:
    """One pass over a video."""

    def __init__(self, video: Video, source: Source, config: FacesConfig, look: Look, told: Extraction) -> None:
        self._video, self._source, self._config, self._told = video, source, config, told
        self._stride = max(1, round(source.info.fps * config.detect_every))
        self._detector = _detector(config.min_face, look)
        self._tracker = Tracker(config.faces, look.birth)
        self._cuttings: dict[int, _Cutting] = {}
        self._fps = source.info.fps
        self._count = 0
        self._looked = self._looked_at_all = -1  # numbers of strides: of the last look, and of the last at all

    def tracks(self, plan: Plan | None) -> Iterator[FaceTrack]:
        """The tracks, each as soon as it ends."""
        count = self._config.frames
        limited = plan if plan is None or count is None else _within(plan, count)
        for pictures in _first(self._source.stream(_chunk(self._source.info, self._stride), limited), count):
            self._fps = pictures.fps
            self._look(pictures)
            self._cut(pictures)
            seen = self._told.frames + len(pictures)
            self._told.frames = min(pictures.shown, count or pictures.shown) if plan else seen
            self._told.missing += pictures.missing
            yield from self._stored(self._finished())
        last = list(self._tracker.live)
        self._tracker.end(last)
        least = 2 if self._told.keys > 1 else 1
        yield from self._stored([track for track in last if len(track.seen) >= least])

    def _look(self, pictures: Pictures) -> None:
        """Find faces on the chunk's key frames."""
        for row in self._keys(pictures.indices):
            index, picture = int(pictures.indices[row]), pictures.pictures[row]
            stride = index // self._stride
            soon = stride < self._looked_at_all + WHOLE_EVERY
            found = (self._about(picture) if soon else None) or self._whole(picture, stride)
            found = _inside(found, picture.shape[:2])
            self._tracker.update(index, found)
            self._told.keys += 1
            self._told.faces += len(found)

    def _keys(self, indices: NDArray[np.int64]) -> list[int]:
        """Rows of the key frames: the first in each stride of the video, and the last before a gap or the chunk's end.

        One shortly before such a last one is left out.
        """
        rows = []
        ends = np.flatnonzero(np.diff(indices) > self._stride) + 1
        for shot in np.split(np.arange(len(indices)), ends):
            first, last = indices[shot[[0, -1]]].tolist()
            for row, index in zip(shot.tolist(), indices[shot].tolist(), strict=True):
                new = index // self._stride != self._looked
                if index == last or (new and (index == first or last - index >= self._stride // 2)):
                    rows.append(row)
                    self._looked = index // self._stride
        return rows

    def _about(self, picture: Picture) -> Detections | None:
        """The faces followed, each looked for where it was; None where there is none, or one is there no more."""
        found = [_nearby(self._detector, picture, track.sightings[-1].box) for track in self._tracker.live]
        there = [one for one in found if one is not None]
        if not there or len(there) < len(found):
            return None
        order = np.argsort([-one.confidences[0] for one in there], kind="stable")
        return _rows(Detections(*(np.concatenate([getattr(one, part) for one in there]) for part in PARTS)), order)

    def _whole(self, picture: Picture, stride: int) -> Detections:
        """All faces of the picture, found on a reduced copy."""
        small, told = picture.reduced(self._config.detect_side), self._told
        (found,) = self._detector.detect([small])
        told.brightness = (told.brightness * told.wholes + float(small.mean())) / (told.wholes + 1)
        told.wholes += 1
        self._looked_at_all = stride
        scale = np.float32(picture.shape[1] / small.shape[1])
        return Detections(found.boxes * scale, found.confidences, found.landmarks * scale)

    def _cut(self, pictures: Pictures) -> None:
        """Cut each track's crop out of each picture of the chunk, from its first sighting to its end or the chunk's."""
        end, config = int(pictures.indices[-1]), self._config
        for track in self._tracker.live:
            track.hold(end)
        for track in [*self._tracker.live, *self._tracker.ended]:
            track.fix_box()
            cutting = self._cuttings.setdefault(id(track), _Cutting(track))
            stop = end if track in self._tracker.live else track.seen[-1].index
            rows = np.flatnonzero((pictures.indices >= track.sightings[0].index) & (pictures.indices <= stop))
            centres, landmarks = track.place(pictures.indices[rows])
            for row, centre, points in zip(rows.tolist(), centres, landmarks, strict=True):
                crop, box = cut(pictures.pictures[row], centre, track.side, config.margin, config.size)
                cutting.crops.append(crop)
                cutting.boxes.append(box)
                cutting.landmarks.append(to_crop(points, box, config.margin, config.size))
                cutting.indices.append(int(pictures.indices[row]))

    def _finished(self) -> list[Track]:
        """Tracks that have ended, or grown too long, in order of appearance; those seen once are dropped."""
        self._tracker.end([t for t in self._tracker.live if len(self._cuttings[id(t)].crops) >= LONGEST_TRACK])
        ended, self._tracker.ended = self._tracker.ended, []
        for track in ended:
            if len(track.seen) < 2:
                del self._cuttings[id(track)]
        return [track for track in ended if len(track.seen) >= 2]

    def _stored(self, ended: Sequence[Track]) -> Iterator[FaceTrack]:
        """Tracks as they are stored, each up to its last sighting."""
        for track in ended:
            cutting, seen = self._cuttings.pop(id(track)), track.seen
            count = int(np.searchsorted(cutting.indices, seen[-1].index, side="right"))
            if not count:
                continue
            yield FaceTrack(
                images=np.stack(cutting.crops[:count]),
                indices=np.array(cutting.indices[:count], np.int64),
                boxes=np.stack(cutting.boxes[:count]),
                landmarks=np.stack(cutting.landmarks[:count]),
                confidence=float(np.mean([sighting.confidence for sighting in seen])),
                margin=self._config.margin,
                fps=self._fps,
                video=self._video.name,
                track=self._count,
            )
            self._count += 1


def _within(plan: Plan, count: int) -> Plan:
    """The plan for a video of which no more than `count` frames are looked at."""
    return lambda frames, fps: plan(min(frames, count), fps)


def _first(chunks: Iterator[Pictures], count: int | None) -> Iterator[Pictures]:
    """The pictures of a video's first `count` frames; all where it is None."""
    for pictures in chunks:
        inside = len(pictures) if count is None else int(np.searchsorted(pictures.indices, count))
        if inside:
            yield pictures if inside == len(pictures) else pictures.first(inside)
        if inside < len(pictures) or (count is not None and pictures.indices[-1] == count - 1):
            return


def _chunk(info: VideoInfo, stride: int) -> int:
    """Frames held at a time: as many strides as CHUNK_BYTES takes, or fewer frames than one where pictures are huge."""
    fitting = max(1, CHUNK_BYTES // max(1, info.width * info.height * 3))
    return max(fitting // stride * stride, min(fitting, stride))


@cache
def _detector(min_face: int, look: Look) -> Detector:
    return Detector(min_face, look.thresholds)  # one a process: a worker reads many videos


def _nearby(detector: Detector, picture: Picture, box: NDArray[np.float32]) -> Detections | None:
    """The one face of a picture that was at `box` a moment ago; None where it is not there any more."""
    side = float((box[2:] - box[:2]).max())
    middle, half = (box[:2] + box[2:]) / 2, ABOUT / 2 * side
    left, top = np.maximum(0, np.floor(middle - half)).astype(int).tolist()
    right, bottom = np.ceil(middle + half).astype(int).tolist()
    part = picture[top:bottom, left:right]
    scale = max(1.0, side / FACE)
    size = [max(1, round(n / scale)) for n in (part.shape[1], part.shape[0])]
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale > 1 else part
    (found,) = detector.detect([small], min_face=SMALLEST * side / scale)
    back = np.array([part.shape[1] / size[0], part.shape[0] / size[1]], np.float32)
    corner = np.array([left, top], np.float32)
    moved = Detections(
        found.boxes * np.tile(back, 2) + np.tile(corner, 2), found.confidences, found.landmarks * back + corner
    )
    shared = overlaps(box[None], moved.boxes)[0]
    return _rows(moved, [int(shared.argmax())]) if (shared >= LEAST_OVERLAP).any() else None


def _rows(found: Detections, rows: Sequence[int] | NDArray[np.int64]) -> Detections:
    return Detections(found.boxes[rows], found.confidences[rows], found.landmarks[rows])


def _inside(found: Detections, shape: Sequence[int]) -> Detections:
    """Without what is centred outside the picture: MTCNN regresses boxes, and now and then past the border."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    fine = ((centres >= 0) & (centres < [shape[1], shape[0]])).all(axis=1)
    fine &= (found.boxes[:, 2:] - found.boxes[:, :2] >= 1).all(axis=1)
    return _rows(found, np.flatnonzero(fine))
