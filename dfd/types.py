"""The types passed between stages, from a video to a row of submission.csv: frozen and validated.

NumPy up to clips/dataset.py, torch after it; uint8 until the model. Shapes: T frames, H height, W width, N faces,
S side of a square crop, B clips in a batch. Boxes are XYXY in pixels, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Label = Literal[0, 1]
"""1 fake, 0 real."""

Status = Literal["ok", "no_face", "unreadable", "missing", "timed_out", "out_of_budget", "error"]
"""Status of a video: scored; no face found; no readable frame; no such file, or it cannot be fetched; killed at its
time limit; the run's time was up; an unforeseen exception."""

STATUSES: tuple[str, ...] = get_args(Status)

UNDONE: tuple[Status, ...] = ("missing", "timed_out", "out_of_budget", "error")
"""Temporary failures. The same command retries these videos, perhaps with other limits."""

STILLS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Extensions of image files."""

Rgb = NDArray[np.uint8]
"""An image (H,W,3), or images (T,H,W,3), uint8 RGB."""

Film = Path | bytes
"""A video file, or its bytes in memory."""

Plan = Callable[[int, float], Sequence[NDArray[np.int64]]]
"""Maps a video's number of frames and its fps to groups of positions (n,) to read, increasing."""


class Wanted(Protocol):
    """Selects the segments of a scored video in which to detect faces, and the frames to read."""

    def first(self, total: int) -> Sequence[int]:
        """Indices of the segments, of `total`, to search first."""

    def enough(self, total: int, faced: Collection[int]) -> bool:
        """Whether the first segments suffice, given those that show a face (`faced`); else all are searched."""

    def frames(self, start: int, stop: int, fps: float) -> NDArray[np.int64]:
        """Positions (n,) of the frames needed from the segment [start, stop)."""

    def crops(
        self, start: int, stop: int, fps: float, there: NDArray[np.int64], seen: Sequence[int]
    ) -> NDArray[np.int64]:
        """The frames needed, out of those `there` (n,) on which a tracklet of that segment can be cropped.

        seen: the frames on which its face was detected.
        """


def _check(array: NDArray[Any], name: str, shape: tuple[int | None, ...], dtype: type) -> None:
    """Raise ValueError unless `array` has `dtype` and `shape` (None: any length)."""
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name} is {array.shape} {array.dtype}, not {wanted} {np.dtype(dtype)}")


def _check_increasing(indices: NDArray[np.int64], name: str) -> None:
    if np.any(np.diff(indices) <= 0) or np.any(indices < 0):
        raise ValueError(f"{name} must be increasing frame indices of at least 0, got {indices.tolist()[:8]}…")


def _utf8(name: str) -> str:
    """Escape a file name so that every Unicode encoding can represent it.

    >>> _utf8("vidéo.mp4"), _utf8(b"vid\\xe9o.mp4".decode("utf-8", "surrogateescape"))
    ('vidéo.mp4', 'vid\\\\udce9o.mp4')
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Video:
    """One video file and its metadata. An image is a video of one frame.

    name: as in the manifest and submission.csv: a path relative to its folder, with forward slashes. Bytes that are not
        UTF-8 are escaped, since a CSV could not hold them.
    label: 1 fake, 0 real, None unknown.
    source: name of the real video a fake was made from; a real or unknown video's own name. Never empty: folds keep
        videos of one source together.
    people: who is in it or gave a face to it, if known; a second original counts as a person.
    """

    path: Path
    name: str
    label: Label | None = None
    source: str = ""
    fold: int | None = None
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.label not in (0, 1, None):
            raise ValueError(f"label of {self.name} is {self.label!r}, not 1 (fake), 0 (real) or None")
        object.__setattr__(self, "name", _utf8(self.name))
        object.__setattr__(self, "source", _utf8(self.source or self.name))

    @property
    def still(self) -> bool:
        """Whether it is an image file, by its suffix.

        >>> Video(Path("a.JPG"), "a").still, Video(Path("a.mp4"), "a.jpg").still
        (True, False)
        """
        return self.path.suffix.lower() in STILLS


@dataclass(frozen=True)
class Frames:
    """Decoded frames of one video, in time order. Usually a part of it, since 300 frames of 1080p take 1.9 GB.

    images: (T,H,W,3) uint8 RGB, upright. indices: (T,) int64, increasing positions in the video. fps: frames a second.
    missing: number of requested frames that could not be read.
    """

    images: NDArray[np.uint8]
    indices: NDArray[np.int64]
    fps: float
    missing: int = 0

    def __post_init__(self) -> None:
        _check(self.images, "images", (None, None, None, 3), np.uint8)
        _check(self.indices, "indices", (len(self.images),), np.int64)
        _check_increasing(self.indices, "indices")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}, not a positive number")

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Detections:
    """The faces detected in one frame; N may be 0.

    boxes: (N,4) float32 XYXY pixels. confidences: (N,) float32 in [0,1], decreasing. landmarks: (N,5,2) float32 pixels:
    left eye, right eye, nose, left and right corner of the mouth, as seen in the image.
    """

    boxes: NDArray[np.float32]
    confidences: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check(self.boxes, "boxes", (None, 4), np.float32)
        _check(self.confidences, "confidences", (len(self.boxes),), np.float32)
        _check(self.landmarks, "landmarks", (len(self.boxes), 5, 2), np.float32)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Tracklet:
    """One face in one segment, cropped with a square box of constant size, so that the crop does not jitter.

    images: (T,S,S,3) uint8 RGB. indices: (T,) int64, increasing positions in the video. boxes: (T,4) float32 XYXY, the
    square face box in the upright source frame; images show `margin` times that box about its centre. landmarks:
    (T,5,2) float32 in pixels of the crop, NaN if unknown. confidence: mean of the detector's, in [0,1]; 0 for a
    ready-made crop in which it found no face. fps: of the video; 1 for an image.
    segment: index in the video. face: index in the segment, largest first.
    """

    images: NDArray[np.uint8]
    indices: NDArray[np.int64]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    confidence: float
    margin: float
    fps: float
    segment: int
    face: int

    def __post_init__(self) -> None:
        frames, side = self.images.shape[:2]
        _check(self.images, "images", (frames, side, side, 3), np.uint8)
        _check(self.indices, "indices", (frames,), np.int64)
        _check_increasing(self.indices, "indices")
        _check(self.boxes, "boxes", (frames, 4), np.float32)
        _check(self.landmarks, "landmarks", (frames, 5, 2), np.float32)
        if self.margin < 1:
            raise ValueError(f"margin is {self.margin}: a crop narrower than its face (margin < 1) is never stored")

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Clips:
    """A batch for a model: images (B,3,T,S,S) uint8, labels (B,) float32 (1 fake), names: of the B videos."""

    images: torch.Tensor
    labels: torch.Tensor
    names: tuple[str, ...]

    def pin_memory(self) -> Clips:
        """The same in page-locked memory, for asynchronous copies to a GPU; torch's DataLoader calls this."""
        return Clips(self.images.pin_memory(), self.labels.pin_memory(), self.names)


class FaceLogit(NamedTuple):
    """A network's logit of one tracklet. confidence: mean of the detector's, in [0,1]."""

    segment: int
    face: int
    confidence: float
    logit: float


@dataclass(frozen=True)
class VideoScore:
    """One row of submission.csv and its origin.

    probability: of being fake, in [0,1]. reason: one line when status is not ok. seconds: wall clock spent on it.
    faces: the logit of each scored tracklet, before aggregation and calibration. doubts: reasons why the score supports
    no verdict; empty if it does.
    """

    name: str
    probability: float
    status: Status
    seconds: float = 0.0
    reason: str = ""
    faces: tuple[FaceLogit, ...] = ()
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:  # also false for NaN
            raise ValueError(f"probability of {self.name} is {self.probability}, not in [0, 1]")
        if self.status not in STATUSES:
            raise ValueError(f"status of {self.name} is {self.status!r}, not one of {', '.join(STATUSES)}")
        object.__setattr__(self, "faces", tuple(FaceLogit(*face) for face in self.faces))
        object.__setattr__(self, "doubts", tuple(self.doubts))
