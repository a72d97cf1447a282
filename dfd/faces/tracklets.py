"""From a video to its tracklets: faces found, linked and cut out within one segment, and never beyond it.

A segment is looked at on its first frame, its last and a few between. A face is placed on straight lines between the
frames on which it was seen, and cut out of every frame that is wanted. So a crop depends on its frame and on the
segment's looks, and on nothing else: a dataset of all segments and a prediction of a few hold the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.config import Config
from dfd.faces.crops import cut, likeness, to_crop
from dfd.faces.link import Sighting, Trajectory, link, shots, width
from dfd.types import Tracklet, Video, Wanted
from dfd.videos.fallback import Source, open_source
from dfd.videos.pictures import Pictures
from dfd.videos.segments import Segment, cut_segments, looks

if TYPE_CHECKING:
    from dfd.faces.detect import Detector


class FacesConfig(Config):
    """How faces are found, linked and cut out. Saved with the dataset and with every model trained on it."""

    segment: float = Field(
        1.3,
        gt=0,
        le=60,
        description="least length of a segment, in seconds: holds 16 frames at 15 a second at all usual rates",
    )
    margin: float = Field(1.6, ge=1, le=3, description="width of a stored crop, in widths of the face's box")
    size: int = Field(256, ge=32, le=1024, multiple_of=2, description="side of a stored crop, in pixels")
    detect_side: int = Field(
        960, ge=64, le=8192, description="longer side of the copy that faces are looked for on, in pixels"
    )
    detect_every: float = Field(0.5, gt=0, le=10, description="most time between two looks for faces, in seconds")
    min_face: int = Field(
        40, ge=20, le=8192, description="side of the smallest face looked for, in pixels of that copy"
    )
    faces: int = Field(8, ge=1, le=50, description="most faces in a segment, the largest first")
    frames: int | None = Field(
        None, ge=1, le=10**9, description="look at no more than so many frames, the first; all if not given"
    )


def widest(configs: Sequence[FacesConfig]) -> FacesConfig | None:
    """The settings by which crops hold what all of `configs` cut out: their widest margin and largest size.

    None where they differ in more than these, and find other faces.

    >>> wide = widest([FacesConfig(margin=1.3, size=320), FacesConfig()])
    >>> (wide.margin, wide.size), widest([FacesConfig(), FacesConfig(detect_side=320)])
    ((1.6, 320), None)
    """
    sides = {"margin": max(config.margin for config in configs), "size": max(config.size for config in configs)}
    found = {config.replace(**sides) for config in configs}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Strictness:
    """How sure the detector must be. thresholds: after each of its three networks; least: once in a tracklet."""

    thresholds: tuple[float, float, float]
    least: float


USUAL = Strictness((0.7, 0.7, 0.7), 0.9)
FAINT = Strictness((0.4, 0.5, 0.5), 0.5)
"""Where a whole video shows no face the usual way: finds dark ones, and ones that lie on their side, and none in
thirteen moving pictures of noise, brick, grass, text, coins, a cat, a cup and the like."""
AGAIN = 64
"""Pixels of a face's box where it is looked for again. Against looks at full size, on the 59 clips by
which it was chosen: 699 tracklets for 693, centres off by 1.3 % of the side on average; with 48 pixels 1.8 %, with 80
1.1 %."""
LIGHT = 200.0
"""How bright, of 255, a dark picture is made before it is looked at less strictly."""


@dataclass(frozen=True)
class Looked:
    """What looking at a segment came to. total: segments of the video; shown: its frames.

    tracklets: with the trajectory of each. faint: it was looked at less strictly. missing: frames that were
    wanted and not readable. looks: frames on which faces were looked for; found: faces on them, in a tracklet or not;
    crowded: tracklets left out as too many. brightness: mean of the looks, 0 to 255. own: the file of a picture, where
    its bytes are its crop's. caveats: of how the video is shown.
    """

    segment: Segment
    total: int
    shown: int
    fps: float
    faint: bool
    tracklets: tuple[Tracklet, ...]
    trajectories: tuple[Trajectory, ...]
    missing: int
    looks: int
    found: int
    crowded: int
    brightness: float
    own: bytes = b""
    caveats: tuple[str, ...] = ()


def video_tracklets(video: Video, config: FacesConfig, wanted: Wanted | None = None) -> Iterator[Looked]:
    """The tracklets of `video`, segment by segment.

    wanted: the segments that are scored and the frames needed of them; all without it. Where these show no face, the
    others are looked at; where none does, all once more, less strictly. A video in which PyAV finds no frame is read
    by decord. Raises VideoReadError when no frame can be read.
    """
    source = open_source(video.path)
    faced: set[int] = set()
    for strictness, part in ((USUAL, "first"), (USUAL, "others"), (FAINT, "all")):
        total = 0
        for looked in _pass(source, config, strictness, wanted, part):
            faced |= {looked.segment.number} if looked.tracklets else set()
            total = looked.total
            yield looked
        if faced and (wanted is None or part != "first" or wanted.enough(total, faced)):
            return


def _pass(
    source: Source, config: FacesConfig, strictness: Strictness, wanted: Wanted | None, part: str
) -> Iterator[Looked]:
    """One pass over a part of the segments: those wanted first, the others, or all."""
    chosen: list[Segment] = []
    total, rate = 0, 0.0

    def plan(frames: int, fps: float) -> list[NDArray[np.int64]]:
        nonlocal total, rate
        segments, rate = cut_segments(min(frames, config.frames or frames), fps, config.segment), fps
        total = len(segments)
        first = set(range(total) if wanted is None else wanted.first(total))
        picked = {"first": first, "others": set(range(total)) - first, "all": set(range(total))}[part]
        chosen.extend(segment for segment in segments if segment.number in picked)
        return [_frames(segment, fps, config, wanted) for segment in chosen]

    for number, pictures in enumerate(source.stream(plan)):
        looked = look_at(chosen[number], rate, pictures, config, strictness, wanted)
        yield replace(looked, total=total, caveats=source.caveats)


def _frames(segment: Segment, fps: float, config: FacesConfig, wanted: Wanted | None) -> NDArray[np.int64]:
    """The frames to read of a segment."""
    if wanted is None:
        return np.arange(segment.start, segment.stop)
    needed = wanted.frames(segment.start, segment.stop, fps)
    return np.union1d(looks(segment, fps, config.detect_every), needed)


def look_at(
    segment: Segment,
    fps: float,
    pictures: Pictures,
    config: FacesConfig,
    strictness: Strictness = USUAL,
    wanted: Wanted | None = None,
) -> Looked:
    """The tracklets of one segment, the largest face first, out of its looks and the other `pictures`.

    wanted: which crops of a tracklet are needed; all of those pictures without it.
    A face is seen at two looks or more, unless there is only one.
    """
    at = looks(segment, fps, config.detect_every)
    rows: list[int] = np.flatnonzero(np.isin(pictures.indices, at)).tolist()
    small, found = _search(pictures, rows, config, strictness)
    seen = [face for face in link(found, shots(small)) if len(face) >= min(2, len(rows))]
    sure = [face for face in seen if max(sighting.confidence for sighting in face) >= strictness.least]
    trajectories = sorted(map(Trajectory.of, sure), key=lambda trajectory: -trajectory.side)
    kept = tuple(trajectories[: config.faces])
    return Looked(
        segment=segment,
        total=segment.number + 1,
        shown=pictures.shown,
        fps=fps,
        faint=strictness is FAINT,
        tracklets=tuple(cut_out(one, face, segment, fps, pictures, config, wanted) for face, one in enumerate(kept)),
        trajectories=kept,
        missing=pictures.missing,
        looks=len(rows),
        found=sum(map(len, found)),
        crowded=len(sure) - len(kept),
        brightness=float(np.mean([image.mean() for image in small])) if small else 0.0,
    )


def _search(
    pictures: Pictures, rows: Sequence[int], config: FacesConfig, strictness: Strictness
) -> tuple[list[NDArray[np.uint8]], list[list[Sighting]]]:
    """The reduced copies of a segment's looks, and the faces found on each.

    Looks between the first and the last are there to follow the faces of these two: a copy on which the smallest one
    has AGAIN pixels will do.
    """
    small: dict[int, NDArray[np.uint8]] = {}
    found: dict[int, list[Sighting]] = {}
    side = config.detect_side
    for part in (sorted({*rows[:1], *rows[-1:]}), rows[1:-1]):
        copies = [pictures.pictures[row].reduced(side) for row in part]
        small |= zip(part, copies, strict=True)
        found |= zip(part, _sightings(copies, pictures, part, config, strictness), strict=True)
        least = min((width(face.box) for faces in found.values() for face in faces), default=0)
        if strictness is USUAL and least:
            side = min(side, round(max(pictures.pictures[0].shape) * AGAIN / least))
    return [small[row] for row in rows], [found[row] for row in rows]


def _sightings(
    small: Sequence[NDArray[np.uint8]],
    pictures: Pictures,
    rows: Sequence[int],
    config: FacesConfig,
    strictness: Strictness,
) -> list[list[Sighting]]:
    """The faces at each look, in pixels of the frame: found on its reduced copies `small`, all in one call."""
    sightings = []
    small = [lit(image) for image in small] if strictness is FAINT else small
    detections = detector(config.min_face, strictness).detect(small)
    for row, image, found in zip(rows, small, detections, strict=True):
        picture, index = pictures.pictures[row], int(pictures.indices[row])
        scale = picture.shape[1] / image.shape[1]
        sightings.append(
            [
                Sighting(
                    index, _scaled(box, scale), _scaled(five, scale), round(float(sure), 6), likeness(image, box, five)
                )
                for box, five, sure in zip(found.boxes, found.landmarks, found.confidences, strict=True)
                if _inside(box, image.shape)
            ]
        )
    return sightings


def lit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark image (H,W,3) uint8 made bright: its brightest hundredth becomes LIGHT, by a factor of 10 at most.

    >>> lit(np.full((4, 4, 3), 40, np.uint8))[0, 0].tolist(), lit(np.full((4, 4, 3), 240, np.uint8))[0, 0].tolist()
    ([200, 200, 200], [240, 240, 240])
    """
    gain = min(10.0, LIGHT / max(1.0, float(np.percentile(image[::4, ::4], 99))))
    return np.clip(image * np.float32(gain), 0, 255).astype(np.uint8) if gain > 1 else image


def _scaled(numbers: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
    return np.round(numbers.astype(np.float64) * scale, 2)


def cut_out(
    trajectory: Trajectory,
    number: int,
    segment: Segment,
    fps: float,
    pictures: Pictures,
    config: FacesConfig,
    wanted: Wanted | None = None,
) -> Tracklet:
    """A face cut out of the `pictures` between its first sighting and its last, those that are wanted."""
    indices = pictures.indices[trajectory.covers(pictures.indices)]
    if wanted is not None:
        indices = wanted.crops(segment.start, segment.stop, fps, indices, trajectory.looks)
    rows = np.searchsorted(pictures.indices, indices)
    centres, points = trajectory.place(indices)
    crops, boxes, landmarks = [], [], []
    for row, centre, five in zip(rows.tolist(), centres, points, strict=True):
        crop, box = cut(pictures.pictures[row], centre, trajectory.side, config.margin, config.size)
        crops.append(crop)
        boxes.append(box)
        landmarks.append(to_crop(five, box, config.margin, config.size))
    return Tracklet(
        images=np.stack(crops),
        indices=indices,
        boxes=np.stack(boxes),
        landmarks=np.stack(landmarks),
        confidence=trajectory.confidence,
        margin=config.margin,
        fps=fps,
        segment=segment.number,
        face=number,
    )


@cache
def detector(min_face: int, strictness: Strictness) -> Detector:
    """One a process and setting: a worker reads many videos."""
    from dfd.faces.detect import Detector  # and with it torch, which a process that only tells others what to do spares

    return Detector(min_face, strictness.thresholds)


def load_detector() -> None:
    """Load what looking for faces takes, before the first video is looked at."""
    detector(FacesConfig().min_face, USUAL)


def _inside(box: NDArray[np.float32], shape: Sequence[int]) -> bool:
    """Whether a box is centred in a picture: MTCNN regresses boxes, and now and then past the border."""
    x, y = (box[:2] + box[2:]) / 2
    return bool(0 <= x < shape[1] and 0 <= y < shape[0] and (box[2:] - box[:2] >= 1).all())
