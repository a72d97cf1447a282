"""Golden answers of a bundle: a network's logit for a generated clip, and a drawn face detected in a video.

They are compared wherever the bundle is loaded, so that other library versions cannot change its predictions unnoticed.
The clip tests resizing and the network; the video tests decoding, face detection and cropping.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from dfd.errors import CheckpointError, VideoReadError
from dfd.faces.crops import narrow
from dfd.faces.tracklets import FacesConfig, video_tracklets
from dfd.inference.info import GoldenFace
from dfd.models.checkpoint import Header
from dfd.types import Rgb, Video
from dfd.versions import drifted, release
from dfd.videos.encode import write_video

LOGIT_TOLERANCE = 1e-3
"""Tolerance of a golden logit. CPU types differ by 1e-5; another resizing or another network by more."""
MIDDLE = 0.2
"""Central share of a crop from which the skin colour is measured. The crop as a whole is grey, and grey is the same
under every YUV matrix."""
RELEASES = ("dfd", "torch", "timm", "facenet-pytorch", "av")
"""Libraries that are refused in another release (2 and 3, or 0.1 and 0.2): a few golden answers cannot cover all that
may change there. For other libraries, and smaller changes, the golden answers decide."""
REMEDY = "bundle the run again, or take --force"
SIDE, FRAMES, FPS = 200, 4, 4.0
"""Frames of the golden video: four key frames, with a face 80 pixels wide."""


def golden_face(video: Path, faces: FacesConfig, sha256: str) -> GoldenFace:
    """Detect the face in `video`, a golden one with that sha256. Raises CheckpointError if it cannot be read."""
    try:
        found = [face for looked in video_tracklets(Video(video, video.name), faces) for face in looked.tracklets]
    except VideoReadError as error:
        raise CheckpointError(f"{video} cannot be read ({error.reason}): copy the bundle again") from None
    if not found:
        return GoldenFace(sha256=sha256)
    box, colour = found[0].boxes[0].round(3).tolist(), skin_colour(found[0].images)
    return GoldenFace(sha256=sha256, box=tuple(box), colour=tuple(colour))


def skin_colour(crops: Rgb) -> list[float]:
    """Mean red, green and blue, 0 to 255, of the centre of crops (T,S,S,3) of the drawn face."""
    side = crops.shape[1]
    middle = slice(round(side * (1 - MIDDLE) / 2), round(side * (1 + MIDDLE) / 2))
    found: list[float] = crops[:, middle, middle].mean(axis=(0, 1, 2)).round(3).tolist()
    return found


def write_golden_video(path: Path) -> None:
    """Write the golden video: a drawn face that moves right by two pixels per frame."""
    face = drawn_face(SIDE)
    moves = [np.array([[1, 0, 2.0 * number], [0, 1, 0]]) for number in range(FRAMES)]
    pictures = [cv2.warpAffine(face, move, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for move in moves]
    write_video(path, pictures, FPS, crf=10)


def drawn_face(side: int) -> Rgb:
    """A face (side,side,3) uint8 RGB that MTCNN detects, drawn from soft ellipses. No image of a person is needed."""
    row, column = np.mgrid[0:side, 0:side] / side
    picture = np.full((side, side, 3), (90.0, 105.0, 120.0))
    for x, y, wide, high, soft, colour in ELLIPSES:
        distance = np.hypot((column - x) / wide, (row - y) / high)
        mask = np.clip((1 - distance) / soft, 0, 1)[..., None]
        picture += mask * (np.array(colour) - picture)
    return cv2.GaussianBlur(picture, (0, 0), side / 200).round().astype(np.uint8)


def _pair(x: float, *ellipse: object) -> list[tuple[object, ...]]:
    """An ellipse mirrored on both sides of the middle."""
    return [(0.5 - x, *ellipse), (0.5 + x, *ellipse)]


ELLIPSES: list[tuple] = [
    (0.5, 0.98, 0.42, 0.30, 0.08, (60, 70, 110)),  # shoulders
    (0.5, 0.75, 0.11, 0.20, 0.08, (190, 145, 120)),  # neck
    (0.5, 0.40, 0.27, 0.33, 0.10, (60, 42, 32)),  # hair
    (0.5, 0.48, 0.215, 0.29, 0.10, (205, 160, 135)),  # face
    *_pair(0.09, 0.44, 0.06, 0.045, 0.6, (160, 115, 98)),  # sockets
    *_pair(0.09, 0.385, 0.065, 0.014, 0.5, (70, 48, 38)),  # brows
    *_pair(0.09, 0.44, 0.045, 0.019, 0.3, (235, 230, 225)),  # eyes
    *_pair(0.09, 0.44, 0.019, 0.019, 0.3, (50, 35, 30)),  # irises
    *_pair(0.09, 0.426, 0.05, 0.008, 0.5, (60, 40, 35)),  # lashes
    *_pair(0.035, 0.565, 0.014, 0.01, 0.6, (100, 65, 55)),  # nostrils
    (0.5, 0.54, 0.03, 0.09, 0.9, (225, 183, 158)),  # bridge of the nose
    (0.5, 0.575, 0.05, 0.018, 0.9, (177, 128, 107)),  # its tip
    (0.5, 0.655, 0.08, 0.022, 0.4, (165, 75, 75)),  # lips
    (0.5, 0.652, 0.075, 0.005, 0.5, (90, 35, 35)),  # between them
    (0.5, 0.715, 0.06, 0.02, 0.9, (187, 142, 120)),  # chin
]
"""The ellipses of the drawn face, from back to front: centre, half axes and edge softness as shares, and colour."""


def golden_clip(header: Header) -> torch.Tensor:
    """A generated clip (1,3,T,S,S) uint8 for the network of `header`, narrowed and resized like stored crops.

    It shows a moving gradient plus noise. The noise is a multiplicative hash of each pixel's index, since a library's
    random generator may change with its version.
    """
    side, frames = header.faces.size, header.clip.length
    shape = (frames, side, side, 3)
    noise = (np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(2654435761) >> np.uint32(25)).reshape(shape)
    time, row, column, channel = np.indices(shape, dtype=np.uint32)
    images = ((128 * (row + (channel + 1) * column) // (4 * side) + 4 * time) % 128 + noise).astype(np.uint8)
    crops = narrow(images, header.faces.margin, header.clip.margin, header.clip.size)
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(3, 0, 1, 2)[None]))


def golden_logit(model: nn.Module, header: Header) -> float:
    """The logit of golden_clip() on the CPU. Raises CheckpointError if it is not finite."""
    with torch.inference_mode():
        logit = float(model(golden_clip(header)).float())
    if not math.isfinite(logit):
        raise CheckpointError(f"a network ({header.model.name}) gives a logit of {logit}: its weights are broken")
    return logit


def check_releases(bundle: Path, made_with: Mapping[str, str]) -> None:
    """Raise CheckpointError if one of RELEASES is of another release than the one that `bundle` was made with."""
    other = drifted({name: was for name, was in made_with.items() if name in RELEASES}, release)
    if other:
        raise CheckpointError(
            f"{bundle} was made with {', '.join(other)}, which may give other scores: install those, {REMEDY}"
        )


def check_faces(video: Path, faces: FacesConfig, wanted: GoldenFace, made_with: Mapping[str, str]) -> None:
    """Raise CheckpointError unless the golden video gives the same face here as where the bundle was made."""
    found = golden_face(video, faces, wanted.sha256)
    if not wanted.agrees(found):
        raise CheckpointError(f"{video} shows {found}, and {wanted} when it was bundled, {_with(made_with)}")


def check_logit(member: Path, found: float, wanted: float, made_with: Mapping[str, str]) -> None:
    """Raise CheckpointError unless a network gives the same logit here as where the bundle was made."""
    if abs(found - wanted) > LOGIT_TOLERANCE:
        raise CheckpointError(
            f"{member} gives its golden clip a logit of {found:.4f}, not {wanted:.4f} as when it was bundled, "
            f"{_with(made_with)}"
        )


def _with(made_with: Mapping[str, str]) -> str:
    """The end of an error message: which versions made the bundle, and what to do."""
    other = drifted(made_with)
    return f"with {', '.join(other)}: install those, {REMEDY}" if other else f"with the same versions: {REMEDY}"
