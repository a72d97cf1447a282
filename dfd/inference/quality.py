"""Video quality for judging a face, and the limits below which a score supports no verdict.

The limits were measured with the shipped bundle on 59 public clips (42 fakes), whose crops were degraded step by step
(`python -m benchmarks.quality FACES`). A limit is the last step at which the detector keeps half of its advantage over
chance level, AUC 0.77 against 0.5. The limits were chosen on these clips, so the table does not test them:

    face, side in pixels    as it is .77   96 .76   64 .76   48 .71   40 .65 | 32 .63
    mean brightness          115     .77   28 .70                            | 20 .63   13 .56    6 .42
    H.264, CRF              as it is .77   35 .71                            | 42 .59   48 .56

Bits per pixel depend on the scene more than on the CRF: at CRF 48 a busy one has 0.007, at CRF 35 a still one 0.001.
Only below 0.001 were all clips beyond CRF 38. So this limit catches only the worst files. The page of `dfd explain`
shows for each video how its score changes under compression.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dfd.faces.records import TrackletRecord
from dfd.videos.decode import probe

Picture = NDArray[np.uint8]

SMALL = 40.0
"""Least side of a face, in pixels."""
DARK = 28.0
"""Least mean brightness of a face, 0 to 255."""
COMPRESSED = 0.001
"""Least bits per pixel of the file."""


@dataclass(frozen=True)
class Quality:
    """width, height: in pixels. fps: frames a second. bits: bits per pixel of the file. None if it could not be read.

    face: median side of the face boxes, in pixels. sharpness: median over crops of sharpness(). brightness: median
    over crops of the mean, 0 to 255. None without a face.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int = 0
    bits: float | None = None
    face: float | None = None
    sharpness: float | None = None
    brightness: float | None = None

    def limits(self) -> list[str]:
        """Describe each limit that the video falls below."""
        found = []
        if self.face is not None and self.face < SMALL:
            found.append(f"the faces are too small: {self.face:.0f} pixels, it needs {SMALL:.0f}")
        if self.brightness is not None and self.brightness < DARK:
            found.append(f"the faces are too dark: brightness {self.brightness:.0f} of 255, it needs {DARK:.0f}")
        if self.bits is not None and self.frames > 1 and self.bits < COMPRESSED:
            found.append(f"the video is too compressed: {self.bits:.4f} bits a pixel, it needs {COMPRESSED:g}")
        return found


def file_quality(path: Path) -> Quality:
    """Read what the container states. bits: None if it does not state the number of frames.

    Raises VideoReadError or OSError if the file cannot be read.
    """
    info = probe(path)
    pixels = info.frames * info.width * info.height
    bits = round(path.stat().st_size * 8 / pixels, 5) if pixels else None
    return Quality(info.width, info.height, round(info.fps, 3), info.frames, bits)


def with_faces(
    file: Quality, tracklets: Sequence[TrackletRecord], crops: Sequence[Picture], light: float | None
) -> Quality:
    """Add the faces' quality to a file's. crops: (S,S,3) uint8 RGB, one per tracklet. light: brightness()."""
    inner = [_face(crop, tracklet.margin) for crop, tracklet in zip(crops, tracklets, strict=True)]
    sharp = round(float(np.median([sharpness(face) for face in inner])), 3)
    return replace(file, face=face_side(tracklets), sharpness=sharp, brightness=light)


def face_side(tracklets: Sequence[TrackletRecord]) -> float:
    """The median side of the face boxes, in pixels."""
    return round(float(np.median([tracklet.path.side for tracklet in tracklets])), 1)


def brightness(clips: NDArray[np.uint8], margin: float) -> float:
    """The median over clips (N,3,T,S,S) of the mean within the face box, 0 to 255. margin: of the clips.

    >>> brightness(np.full((2, 3, 1, 8, 8), 90, np.uint8), 1.6)
    90.0
    """
    edge = round(clips.shape[-1] * (1 - 1 / margin) / 2)
    faces = clips[..., edge : clips.shape[-1] - edge, edge : clips.shape[-1] - edge]
    return round(float(np.median(faces.mean(axis=(1, 2, 3, 4)))), 1)


def sharpness(face: Picture) -> float:
    """Share of a face's contrast that lies between neighbouring pixels, at 64 pixels across: 0 if flat or fully
    blurred.

    The standard deviation of the Laplacian divided by that of the image, so brightness and contrast cancel.

    >>> sharpness(np.full((64, 64, 3), 90, np.uint8))
    0.0
    """
    grey = cv2.cvtColor(cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(1.0, float(grey.std())))


def _face(crop: Picture, margin: float) -> Picture:
    """Cut the face box out of its crop."""
    side = crop.shape[0]
    edge = round(side * (1 - 1 / margin) / 2)
    return crop[edge : side - edge, edge : side - edge]
