"""Turn a video into tracklets. Faces are detected, linked and cut out within one segment, never across segments.

Detection runs on a segment's first frame, its last and a few between: the looks. A face's position is interpolated
between the looks on which it was detected, and it is cut out of every requested frame. So a crop depends only on its
frame and on the segment's looks: a dataset of all segments and a prediction on a few hold the same crops.
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
    """Settings whose crops contain those of all `configs`: the widest margin and the largest size.

    None if they differ in other settings, and so would find other faces.

    >>> wide = widest([FacesConfig(margin=1.3, size=320), FacesConfig()])
    >>> (wide.margin, wide.size), widest([FacesConfig(), FacesConfig(detect_side=320)])
    ((1.6, 320), None)
    """
    sides = {"margin": max(config.margin for config in configs), "size": max(config.size for config in configs)}
    found = {config.replace(**sides) for config in configs}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Strictness:
    """Detector thresholds. thresholds: after each of its three networks; least: required once in a tracklet."""

    thresholds: tuple[float, float, float]
    least: float


USUAL = Strictness((0.7, 0.7, 0.7), 0.9)
FAINT = Strictness((0.4, 0.5, 0.5), 0.5)
"""For videos in which the usual thresholds find no face. Finds dark faces and faces lying on their side, and nothing in
thirteen moving images of noise, brick, grass, text, coins, a cat, a cup and the like."""
AGAIN = 64
"""Size in pixels of a face box when a face is detected again. On 59 clips (on which it was chosen) it gives 699
tracklets where full size gives 693, with centres off by 1.3 % of the side on average; 48 pixels: 1.8 %; 80 pixels:
1.1 %."""
LIGHT = 200.0
"""Brightness, of 255, to which a dark image is raised before the laxer detection."""


@dataclass(frozen=True)
class Looked:
    """The result of processing a segment. total: segments of the video; shown: its frames.

    tracklets: each with its trajectory. faint: whether the lax thresholds were used. missing: requested frames that
    were not readable. looks: frames searched for faces; found: detections on them, in a tracklet or not; crowded:
    tracklets dropped as too many. brightness: mean of the looks, 0 to 255. own: encoded bytes of an image that is
    itself the crop. caveats: about how the video is displayed.
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
    """Find the tracklets of `video`, segment by segment.

    wanted: the segments to score and the frames needed of them; None for all. If these show no face, the others are
    searched; if none does, all are searched again with lax thresholds. A video in which PyAV finds no frame is read
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
    """One pass over a part of the segments: "first" (those wanted first), "others" or "all"."""
    chosen: list[Segment] = []
    total, rate = 0, 0.0

    def plan(frames: int, fps: float) -> list[NDArray[np.int64]]:
        """Choose the segments of this pass. Returns the frames to read of each."""
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
    """The frames to read from a segment."""
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
    """Find the tracklets of one segment, largest face first, from its looks and the other `pictures`.

    wanted: the crops of a tracklet that are needed; None for all of those frames.
    A face must be detected at two looks or more, unless there is only one.
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
    """Detect faces on a segment's looks. Returns reduced copies of the looks, and the faces on each.

    The looks between the first and the last only have to follow the faces of these two, so they are reduced until the
    smallest face has AGAIN pixels.
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
    """Detect the faces at each look on its reduced copy `small`, in one call. Returns them in pixels of the frame."""
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
    """Brighten a dark image (H,W,3) uint8: its brightest hundredth becomes LIGHT, by a factor of 10 at most.

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
    """Cut a face out of the requested `pictures` between its first and its last sighting."""
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
    """The detector, one per process and setting, since a worker reads many videos."""
    from dfd.faces.detect import Detector  # imports torch, which a process that only starts workers does not need

    return Detector(min_face, strictness.thresholds)


def load_detector() -> None:
    """Load all that detection needs, before the first video is read."""
    detector(FacesConfig().min_face, USUAL)


def _inside(box: NDArray[np.float32], shape: Sequence[int]) -> bool:
    """Whether a box has its centre in the image. MTCNN's regression sometimes moves a box past the border."""
    x, y = (box[:2] + box[2:]) / 2
    return bool(0 <= x < shape[1] and 0 <= y < shape[0] and (box[2:] - box[:2] >= 1).all())
