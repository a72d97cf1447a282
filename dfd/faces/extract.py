"""From a video to its face tracks, in one pass over the pictures.

Each chunk of full-size frames is looked at on a few reduced key frames, faces are linked to the tracks so far, and
every frame's crop is cut from the full-size picture before the chunk is dropped.
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
from dfd.faces.tracks import Track, Tracker
from dfd.types import Detections, FaceTrack, Frames, Video
from dfd.videos.decode import VideoInfo
from dfd.videos.fallback import Source, open_source

CHUNK_BYTES = 300_000_000
"""Pictures held at a time: 48 frames of 1080p."""
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
    key frames, tracked or not. brightness: mean of the key frames' pixels, 0 to 255.
    """

    frames: int = 0
    missing: int = 0
    faces: int = 0
    keys: int = 0
    brightness: float = 0.0
    caveat: str = ""

    def begin(self, caveat: str) -> None:
        """Count anew: the video is read from its beginning."""
        self.frames = self.missing = self.faces = self.keys = 0
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
    """A track with its crops so far, one a frame from its first sighting on."""

    track: Track
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    landmarks: list[NDArray[np.float32]] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


def extract_tracks(video: Video, config: FacesConfig, told: Extraction | None = None) -> Iterator[FaceTrack]:
    """The face tracks of `video`, each as soon as it ends; `track` counts them from 0 in that order.

    A track is seen in two key frames or more, unless the video has only one. A video without any is looked at again,
    less strictly; one in which PyAV finds no picture is read by decord. `told` is filled in on the way.
    Raises VideoReadError when no picture can be read.
    """
    told = told if told is not None else Extraction()
    source = open_source(video.path)
    for look in (USUAL, FAINT):
        caveats = ["read by decord"] * (source.decoder == "decord") + ["a faint face"] * (look is FAINT)
        told.begin(", ".join(caveats))
        none = True
        for track in _tracks(video, source, config, look, told):
            none = False
            yield track
        if not none:
            return


def _tracks(video: Video, source: Source, config: FacesConfig, look: Look, told: Extraction) -> Iterator[FaceTrack]:
    """One pass over the video."""
    stride = max(1, round(source.info.fps * config.detect_every))
    tracker = Tracker(config.faces, look.birth)
    cuttings: dict[int, _Cutting] = {}
    count = 0
    fps = source.info.fps
    for frames in _first(source.stream(_chunk(source.info, stride)), config.frames):
        fps = frames.fps
        _look(frames, stride, config, look, tracker, told)
        _cut_chunk(frames, config, tracker, cuttings)
        for track in _finished(tracker, cuttings):
            if kept := _track(cuttings.pop(id(track)), config, video, fps, count):
                yield kept
                count += 1
    last = list(tracker.live)
    tracker.end(last)
    least = 2 if told.keys > 1 else 1
    for track in last:
        if len(track.seen) >= least and (kept := _track(cuttings.pop(id(track)), config, video, fps, count)):
            yield kept
            count += 1


def _first(chunks: Iterator[Frames], count: int | None) -> Iterator[Frames]:
    """The first `count` frames of a video; all where it is None."""
    for frames in chunks:
        if count is None or len(frames) < count:
            yield frames
            count = None if count is None else count - len(frames)
        else:
            yield Frames(frames.images[:count], frames.indices[:count], frames.fps)
            return


def _chunk(info: VideoInfo, stride: int) -> int:
    """Frames held at a time: as many strides as CHUNK_BYTES takes, or fewer frames than one where pictures are huge."""
    fitting = max(1, CHUNK_BYTES // max(1, info.width * info.height * 3))
    return max(fitting // stride * stride, min(fitting, stride))


@cache
def _detector(min_face: int, look: Look) -> Detector:
    return Detector(min_face, look.thresholds)  # one a process: a worker reads many videos


def _look(frames: Frames, stride: int, config: FacesConfig, look: Look, tracker: Tracker, told: Extraction) -> None:
    """Find faces on the chunk's key frames: every `stride`-th of the video, its first, and the chunk's last."""
    last = len(frames) - 1
    keys = [i for i in range(len(frames)) if (told.frames + i) % stride == 0 or i == last]
    pictures = [_reduce(frames.images[i], config.detect_side) for i in keys]
    scale = frames.images.shape[2] / pictures[0].shape[1]
    for i, found in zip(keys, _detector(config.min_face, look).detect(pictures), strict=True):
        scaled = Detections(found.boxes * np.float32(scale), found.confidences, found.landmarks * np.float32(scale))
        tracker.update(int(frames.indices[i]), _inside(scaled, frames.images.shape[1:3]))
        told.faces += len(found)
    told.brightness = (told.brightness * told.keys + sum(float(p.mean()) for p in pictures)) / (told.keys + len(keys))
    told.keys += len(keys)
    told.frames += len(frames)
    told.missing += frames.missing


def _reduce(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    ratio = long_side / max(height, width)
    if ratio >= 1:
        return image
    shape = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA))


def _inside(found: Detections, shape: Sequence[int]) -> Detections:
    """Without what is centred outside the picture: MTCNN regresses boxes, and now and then past the border."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    fine = ((centres >= 0) & (centres < [shape[1], shape[0]])).all(axis=1)
    fine &= (found.boxes[:, 2:] - found.boxes[:, :2] >= 1).all(axis=1)
    return Detections(found.boxes[fine], found.confidences[fine], found.landmarks[fine])


def _cut_chunk(frames: Frames, config: FacesConfig, tracker: Tracker, cuttings: dict[int, _Cutting]) -> None:
    """Cut every track's crop out of every frame of the chunk, from its first sighting to the chunk's end or its own."""
    end = int(frames.indices[-1])
    for track in tracker.live:
        track.hold(end)
    for track in [*tracker.live, *tracker.ended]:
        track.fix_box()
        cutting = cuttings.setdefault(id(track), _Cutting(track))
        stop = end if track in tracker.live else track.seen[-1].index
        rows = np.flatnonzero((frames.indices >= track.sightings[0].index) & (frames.indices <= stop))
        centres, landmarks = track.place(frames.indices[rows])
        for row, centre, points in zip(rows, centres, landmarks, strict=True):
            crop, box = cut(frames.images[row], centre, track.side, config.margin, config.size)
            cutting.crops.append(crop)
            cutting.boxes.append(box)
            cutting.landmarks.append(to_crop(points, box, config.margin, config.size))
            cutting.indices.append(int(frames.indices[row]))


def _finished(tracker: Tracker, cuttings: dict[int, _Cutting]) -> list[Track]:
    """Tracks that have ended, or grown too long, in order of appearance; those seen once are dropped."""
    tracker.end([t for t in tracker.live if len(cuttings[id(t)].crops) >= LONGEST_TRACK])
    ended, tracker.ended = tracker.ended, []
    for track in ended:
        if len(track.seen) < 2:
            del cuttings[id(track)]
    return [track for track in ended if len(track.seen) >= 2]


def _track(cutting: _Cutting, config: FacesConfig, video: Video, fps: float, number: int) -> FaceTrack | None:
    """The track as it is stored, up to its last sighting."""
    seen = cutting.track.seen
    count = int(np.searchsorted(cutting.indices, seen[-1].index, side="right"))
    if not count:
        return None
    return FaceTrack(
        images=np.stack(cutting.crops[:count]),
        indices=np.array(cutting.indices[:count], np.int64),
        boxes=np.stack(cutting.boxes[:count]),
        landmarks=np.stack(cutting.landmarks[:count]),
        confidence=float(np.mean([sighting.confidence for sighting in seen])),
        margin=config.margin,
        fps=fps,
        video=video.name,
        track=number,
    )
