"""Masks of a face or of parts of it: the area that a self-blended fake changes.

With a face mesh the mask is a hull of landmarks. With only five landmarks it is an oval through them.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dfd.config import Config
from dfd.errors import CheckpointError
from dfd.faces.mesh import POINTS, check_mesh, five

Points = NDArray[np.float64]

OVALS = {"face": 0.35, "inner": 0.25, "full": 0.20, "triangle": 0.15, "mouth": 0.05}
"""Kinds of mask drawn through five landmarks, and their probabilities."""

HULLS = {"oval": 0.25, "brows to jaw": 0.30, "brows to mouth": 0.20, "mouth and chin": 0.15, "eyes and nose": 0.10}
"""Kinds of mask drawn from a mesh, and their probabilities."""

JAW = (
    127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356,
)  # fmt: skip
FOREHEAD = (389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 37, 0, 267)
CORNERS = {
    "oval": (*JAW, *FOREHEAD),
    "brows to jaw": (*JAW, *BROWS),
    "brows to mouth": (*BROWS, *LIPS, 50, 280, 205, 425),
    "mouth and chin": (*LIPS, 98, 327, 205, 425, 149, 176, 148, 152, 377, 400, 378),
    "eyes and nose": (*BROWS, 226, 446, 228, 448, 129, 358, 2),
}
"""Mesh points whose hull outlines each part. 50, 280, 205 and 425 lie on the cheeks."""

SUBPIXEL = 4
"""Fractional bits of a polygon's coordinates, so that a slowly moving mask does not jump from pixel to pixel."""


class MaskConfig(Config):
    """Where a face is changed."""

    mesh: Path | None = Field(
        None, description="weights that `dfd weights mesh` wrote: masks are hulls of 468 landmarks, not ovals through 5"
    )
    jitter: float = Field(0.03, ge=0, le=0.2, description="mask's size and place at random (std, relative)")
    ripple: float = Field(0.03, ge=0, le=0.2, description="waves of the mask's outline (std, of its radius)")

    @field_validator("mesh")
    @classmethod
    def _mesh(cls, mesh: Path | None) -> Path | None:
        try:
            if mesh is not None:
                check_mesh(mesh)
        except CheckpointError as error:
            raise ValueError(str(error)) from None
        return mesh


def face_mask(
    landmarks: NDArray[np.floating], height: int, width: int, rng: np.random.Generator, config: MaskConfig
) -> NDArray[np.float32]:
    """Draw a soft mask (height, width) float32 in [0,1] over the face, or over a part of it.

    landmarks: pixels (x, y), either a mesh (468,2) of faces/mesh.py or five points (5,2): left eye, right eye, nose,
    left and right corner of the mouth, as seen in the image. The same state of `rng` draws the same mask relative to
    the landmarks, so a mask follows its face. A face outside the image, or of size zero, has a mask of zeros.

    >>> face = np.array([[40, 40], [60, 40], [50, 52], [42, 62], [58, 62]])
    >>> mask = face_mask(face, 100, 100, np.random.default_rng(0), MaskConfig())
    >>> bool(mask[62, 50] > 0.9), float(mask[0, 0])
    (True, 0.0)
    """
    points = np.asarray(landmarks, np.float64)
    meshed = len(points) == POINTS
    face = Face.of(points)
    if face.unit < 1:
        return np.zeros((height, width), np.float32)
    outline = _hull(face.from_pixels(points), rng) if meshed else _outline(rng)
    outline = _ripple(outline, rng, config.ripple)
    outline = outline * rng.normal(1, config.jitter) + rng.normal(0, config.jitter, 2)
    mask = np.zeros((height, width), np.uint8)
    polygon = np.round(face.to_pixels(outline) * 2**SUBPIXEL).astype(np.int32)
    cv2.fillPoly(mask, [polygon], 255, shift=SUBPIXEL, lineType=cv2.LINE_AA)
    soft = (_soft_hull if meshed else _soft_oval)(mask, face.unit, rng)
    return soft / max(float(soft.max()), 1.0)


class Face(NamedTuple):
    """A face's own coordinates: origin between the eyes, axis `x` across, axis `y` to the mouth, `unit` in pixels."""

    origin: Points
    x: Points
    y: Points
    unit: float

    @classmethod
    def of(cls, landmarks: Points) -> "Face":
        """Fit to five landmarks (5,2), with `x` along the eyes, or to a mesh (468,2), with `x` perpendicular to `y`."""
        meshed = len(landmarks) == POINTS
        left, right, _, mouth_left, mouth_right = five(landmarks) if meshed else landmarks
        eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
        across, down = right - left, mouth - eyes
        # In a profile the eyes nearly coincide; the height of the face still gives its size.
        unit = max(np.linalg.norm(across), np.linalg.norm(down) / 1.07)
        y = _direction(down)
        return cls(eyes, np.array([y[1], -y[0]]) if meshed else _direction(across), y, float(unit))

    def to_pixels(self, points: Points) -> Points:
        """Convert points (N,2) from face coordinates to pixels."""
        return self.origin + self.unit * (points[:, :1] * self.x + points[:, 1:] * self.y)

    def from_pixels(self, points: Points) -> Points:
        """Convert pixels to face coordinates. Only right if `x` is perpendicular to `y`."""
        return (points - self.origin) @ np.column_stack([self.x, self.y]) / self.unit


def _direction(vector: Points) -> Points:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _hull(mesh: Points, rng: np.random.Generator, points: int = 96) -> Points:
    """Outline (points,2) of a part, evenly spaced along the hull of its landmarks. mesh: in any coordinates."""
    part = str(rng.choice(list(HULLS), p=list(HULLS.values())))
    hull = cv2.convexHull(mesh[list(CORNERS[part])].astype(np.float32))[:, 0].astype(np.float64)
    closed = np.concatenate([hull, hull[:1]])
    along = np.concatenate([[0], np.linalg.norm(np.diff(closed, axis=0), axis=1).cumsum()])
    at = np.linspace(0, along[-1], points, endpoint=False)
    return np.stack([np.interp(at, along, coordinate) for coordinate in closed.T], axis=1)


def _outline(rng: np.random.Generator) -> Points:
    """Draw a mask's outline (N,2) in face coordinates."""
    shape = rng.choice(list(OVALS), p=list(OVALS.values()))
    if shape == "triangle":
        return np.array([[-0.95, -0.35], [0.95, -0.35], [0.75, 1.25], [0.0, 1.55], [-0.75, 1.25]])
    if shape == "mouth":
        return _oval(0.7, 0.5, 0.5) + np.array([0, 1.1])
    return _oval(*{"face": (1.08, 0.95, 1.75), "inner": (0.95, 0.55, 1.55), "full": (1.15, 1.20, 1.85)}[str(shape)])


def _oval(half_width: float, up: float, down: float, points: int = 64) -> Points:
    """An oval centred between the eyes that narrows towards the chin."""
    angles = 2 * np.pi * np.arange(points) / points
    x, y = np.cos(angles), np.sin(angles)
    narrowing = 1 - 0.12 * np.maximum(y, 0) ** 2
    return np.stack([half_width * x * narrowing, np.where(y < 0, up, down) * y], axis=1)


def _ripple(outline: Points, rng: np.random.Generator, std: float) -> Points:
    """Add waves of two to six periods to the outline, with a total amplitude of `std` times its radius."""
    middle = outline.mean(axis=0)
    rays = outline - middle
    angles = np.arctan2(rays[:, 1], rays[:, 0])
    periods = np.arange(2, 7)
    waves = np.cos(angles[:, None] * periods + rng.uniform(0, 2 * np.pi, len(periods)))
    heights = rng.normal(0, std, len(periods)) * np.sqrt(2 / len(periods))
    return middle + rays * (1 + waves @ heights)[:, None]


def _soft_oval(mask: NDArray[np.uint8], unit: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shrink and soften an oval's mask, float32 in [0,255]. unit: the face's size in pixels."""
    shrink, soften, sigma = rng.uniform(0.09, 0.45), rng.uniform(0.09, 0.45), rng.uniform(0.09, 0.8)
    mask = cv2.erode(mask, _square(shrink * unit))
    return _blurred(mask.astype(np.float32), soften * unit, sigma * unit)


def _soft_hull(mask: NDArray[np.uint8], unit: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shrink or grow a hull's mask and soften it twice, float32 in [0,255]. unit: the face's size in pixels."""
    bounds = ((-0.3, 0.2), (0.05, 0.3), (0.05, 0.3), (0.05, 0.5))
    grown, first, second, sigma = (unit * rng.uniform(low, high) for low, high in bounds)
    mask = (cv2.erode if grown < 0 else cv2.dilate)(mask, _square(abs(grown)))
    return _blurred(_blurred(mask.astype(np.float32), first), second, sigma)


def _blurred(mask: NDArray[np.float32], size: float, sigma: float = 0.0) -> NDArray[np.float32]:
    """Gaussian blur with a kernel of `size` pixels. sigma: in pixels; 0: derived from the kernel."""
    return np.asarray(cv2.GaussianBlur(mask, (_odd(size),) * 2, max(sigma, 0.1) if sigma else 0))


def _square(pixels: float) -> NDArray[np.uint8]:
    return np.ones((_odd(pixels),) * 2, np.uint8)


def _odd(pixels: float) -> int:
    """The odd number nearest to `pixels`, at least 1: a valid OpenCV kernel size."""
    return 2 * round((max(pixels, 1) - 1) / 2) + 1
