"""Self-blended fakes: a clip's face is changed a little and blended back into the same clip.

What is left is what every face swap leaves: a border, two colours, a face that does not quite move with its head.
The recipe is that of Shiohara and Yamasaki 2022, "Detecting Deepfakes with Self-Blended Images", with two changes: the
mask is an oval through five landmarks instead of the hull of 81, and all is drawn once a clip, not once a frame, so
that a fake does not flicker unless it is meant to. Clips of several frames are also faked in time: the face drifts
against its head, flickers, or repeats and skips frames of its own (Yan et al. 2024, "Generalizing Deepfake Video
Detection with Plug-and-Play"; Wang et al. 2023, "AltFreezing"). Lengths are in eye distances: they hold at any size.
"""

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.ndimage import gaussian_filter1d

from dfd.config import Config

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]

SHAPES = {"face": 0.35, "inner": 0.25, "full": 0.20, "triangle": 0.15, "mouth": 0.05}
"""What a mask covers, and how often."""

SMOOTHING = 2.0
"""Frames (standard deviation) over which landmarks are smoothed: a detector's jitter must not move the mask."""

PERSISTENCE = 6.0
"""Frames (standard deviation) over which drift is smoothed."""

Motion = Literal["still", "drift", "flicker", "stutter"]
"""What a changed face does over a clip. still: it moves with its head. drift: it slides about on it slowly. flicker:
its brightness is unsteady, and now and then a frame keeps the face that it had. stutter: it repeats or skips frames
that the head does not."""

GAIN = (0.01, 0.04)
"""Of flicker: how much of its brightness a face gains or loses from frame to frame (std)."""

MISSED = 3
"""Of flicker: at most so many frames keep their own face, as where a detector missed it."""

STUTTER = (1, 5)
"""Frames that a face repeats or skips."""

SUBPIXEL = 4
"""Binary places of a polygon's coordinates, so that a slowly moving mask does not jump from pixel to pixel."""


class BlendConfig(Config):
    """How a clip is blended with itself."""

    ratios: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.0, 1.0), min_length=1, description="how much of the changed face shows, one is drawn"
    )
    change_target: float = Field(
        0.5, ge=0, le=1, description="how often the surroundings (and the real twin) are recoloured instead of the face"
    )
    jitter: float = Field(0.03, ge=0, le=0.2, description="mask's size and place at random (std, relative)")
    ripple: float = Field(0.03, ge=0, le=0.2, description="waves of the mask's outline (std, of its radius)")
    shift: float = Field(0.12, ge=0, le=1, description="face moves sideways by at most this, up and down by half of it")
    zoom: float = Field(0.05, ge=0, lt=0.5, description="face shrinks or grows by at most this")
    drift: float = Field(0.02, ge=0, le=0.5, description="how far a drifting face slides about on its head (std)")
    motions: tuple[float, float, float, float] = Field(
        (0.55, 0.2, 0.15, 0.1),
        description="how often a clip's face moves with its head, drifts on it, flickers, stutters (relative)",
    )

    @field_validator("motions")
    @classmethod
    def _motions(cls, motions: tuple[float, ...]) -> tuple[float, ...]:
        if min(motions) < 0 or sum(motions) <= 0:
            raise ValueError(f"motions are shares of at least 0, not all 0, not {motions}")
        return motions

    @field_validator("ratios")
    @classmethod
    def _ratios(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= ratio <= 1 for ratio in ratios):
            raise ValueError(f"ratios lie in [0, 1], not {ratios}")
        return ratios


def face_mask(
    landmarks: NDArray[np.floating], height: int, width: int, rng: np.random.Generator, config: BlendConfig
) -> NDArray[np.float32]:
    """A soft mask (height, width) float32 in [0,1] over the face, or a part of it, with these landmarks.

    landmarks: (5,2) pixels: left eye, right eye, nose, left and right corner of the mouth, as seen in the picture.
    The same state of `rng` draws the same mask relative to the landmarks, so that a mask follows a face. A face out of
    the picture, or of no size, has a mask of zeros.

    >>> face = np.array([[40, 40], [60, 40], [50, 52], [42, 62], [58, 62]])
    >>> mask = face_mask(face, 100, 100, np.random.default_rng(0), BlendConfig())
    >>> bool(mask[62, 50] > 0.9), float(mask[0, 0])
    (True, 0.0)
    """
    face = _Face.of(np.asarray(landmarks, np.float64))
    if face.unit < 1:
        return np.zeros((height, width), np.float32)
    outline = _ripple(_outline(rng), rng, config.ripple)
    outline = outline * rng.normal(1, config.jitter) + rng.normal(0, config.jitter, 2)
    shrink, soften, sigma = rng.uniform(0.09, 0.45), rng.uniform(0.09, 0.45), rng.uniform(0.09, 0.8)
    mask = np.zeros((height, width), np.uint8)
    polygon = np.round(face.to_pixels(outline) * 2**SUBPIXEL).astype(np.int32)
    cv2.fillPoly(mask, [polygon], 255, shift=SUBPIXEL, lineType=cv2.LINE_AA)
    mask = cv2.erode(mask, np.ones((_odd(shrink * face.unit),) * 2, np.uint8))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (_odd(soften * face.unit),) * 2, max(sigma * face.unit, 0.1))
    return soft / max(float(soft.max()), 1.0)


def self_blend(
    images: Picture, landmarks: NDArray[np.floating], rng: np.random.Generator, config: BlendConfig
) -> tuple[Picture, Picture, NDArray[np.float32]]:
    """A clip's real twin, its fake and where they differ.

    images: (T,H,W,3) uint8 RGB, landmarks: (T,5,2) in their pixels. Returns (twin, fake, mask): twin and fake (T,H,W,3)
    uint8, mask (T,H,W) float32 in [0,1], how much of each pixel is of the changed face. Outside the mask twin and fake
    are equal; compare the fake with its twin and not with `images`, since the surroundings may be recoloured in both,
    so that colour gives no fake away. At a ratio of 0 the fake is the twin.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.shape} {images.dtype}, not (T, H, W, 3) uint8")
    frames, height, width = images.shape[:3]
    if landmarks.shape != (frames, 5, 2) or not np.isfinite(landmarks).all():
        raise ValueError(f"landmarks are {landmarks.shape}, not {(frames, 5, 2)}, or not finite")
    smooth = gaussian_filter1d(np.asarray(landmarks, np.float64), SMOOTHING, axis=0, mode="nearest")
    look = _Look.draw(rng)
    recoloured = np.stack([look(image) for image in images])
    source, target = (images, recoloured) if rng.random() < config.change_target else (recoloured, images)
    film = _Film.draw(frames, rng, config)
    moves = _moves(smooth, film.drift, rng, config)
    ratio = float(rng.choice(config.ratios))
    seed = int(rng.integers(2**32))
    fake, masks = target.copy(), np.zeros((frames, height, width), np.float32)
    for t in np.flatnonzero(film.gains):
        at, move = film.frames[t], moves[t]
        moved = smooth[at] @ move[:, :2].T + move[:, 2]
        masks[t] = ratio * face_mask(moved, height, width, np.random.default_rng(seed), config)
        face = source[at] if film.gains[t] == 1 else cv2.convertScaleAbs(source[at], alpha=film.gains[t])
        _paste(fake[t], face, masks[t], move)
    return target, fake, masks


class _Face(NamedTuple):
    """A face's own coordinates: from the middle of the eyes `x` along them and `y` to the mouth, by `unit` pixels."""

    origin: Points
    x: Points
    y: Points
    unit: float

    @classmethod
    def of(cls, landmarks: Points) -> "_Face":
        left, right, _, mouth_left, mouth_right = landmarks
        eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
        across, down = right - left, mouth - eyes
        # In a profile the eyes nearly meet; the height of the face still tells its size.
        unit = max(np.linalg.norm(across), np.linalg.norm(down) / 1.07)
        return cls(eyes, _direction(across), _direction(down), float(unit))

    def to_pixels(self, points: Points) -> Points:
        return self.origin + self.unit * (points[:, :1] * self.x + points[:, 1:] * self.y)


def _direction(vector: Points) -> Points:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _outline(rng: np.random.Generator) -> Points:
    """A mask's outline (N,2) in the face's own coordinates."""
    shape = rng.choice(list(SHAPES), p=list(SHAPES.values()))
    if shape == "triangle":
        return np.array([[-0.95, -0.35], [0.95, -0.35], [0.75, 1.25], [0.0, 1.55], [-0.75, 1.25]])
    if shape == "mouth":
        return _oval(0.7, 0.5, 0.5) + np.array([0, 1.1])
    return _oval(*{"face": (1.08, 0.95, 1.75), "inner": (0.95, 0.55, 1.55), "full": (1.15, 1.20, 1.85)}[str(shape)])


def _oval(half_width: float, up: float, down: float, points: int = 64) -> Points:
    """An oval about the middle of the eyes that narrows towards the chin."""
    angles = 2 * np.pi * np.arange(points) / points
    x, y = np.cos(angles), np.sin(angles)
    narrowing = 1 - 0.12 * np.maximum(y, 0) ** 2
    return np.stack([half_width * x * narrowing, np.where(y < 0, up, down) * y], axis=1)


def _ripple(outline: Points, rng: np.random.Generator, std: float) -> Points:
    """The outline with waves of two to six periods, of `std` times its radius together."""
    middle = outline.mean(axis=0)
    rays = outline - middle
    angles = np.arctan2(rays[:, 1], rays[:, 0])
    periods = np.arange(2, 7)
    waves = np.cos(angles[:, None] * periods + rng.uniform(0, 2 * np.pi, len(periods)))
    heights = rng.normal(0, std, len(periods)) * np.sqrt(2 / len(periods))
    return middle + rays * (1 + waves @ heights)[:, None]


def _odd(pixels: float) -> int:
    """The odd number nearest to `pixels`, of at least 1: a size that OpenCV takes for a kernel."""
    return 2 * round((max(pixels, 1) - 1) / 2) + 1


class _Look(NamedTuple):
    """One change of colour and sharpness, the same for every frame of a clip."""

    curves: Picture
    reduction: int
    sharpness: float
    lightness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Look":
        tint = rng.uniform(-20, 20, 3) * (rng.random() < 0.3)
        contrast, brightness = rng.uniform(0.9, 1.1), 255 * rng.uniform(-0.1, 0.1)
        curves = np.clip(np.round(np.arange(256)[:, None] * contrast + brightness + tint), 0, 255).astype(np.uint8)
        blurred = rng.random() < 0.5
        reduction, sharpness = (int(rng.choice([2, 4])), 0.0) if blurred else (1, rng.uniform(0.2, 0.5))
        return cls(curves[None], reduction, sharpness, rng.uniform(0.5, 1.0))

    def __call__(self, image: Picture) -> Picture:
        toned = cv2.LUT(image, self.curves)
        if self.reduction > 1:
            height, width = toned.shape[:2]
            small = (max(1, width // self.reduction), max(1, height // self.reduction))
            return cv2.resize(cv2.resize(toned, small, interpolation=cv2.INTER_AREA), (width, height))
        kernel = np.full((3, 3), -self.sharpness, np.float32)
        kernel[1, 1] = 1 - self.sharpness + self.sharpness * (8 + self.lightness)
        return cv2.filter2D(toned, -1, kernel)


class _Film(NamedTuple):
    """What the changed face does over a clip of T frames.

    frames: (T,) which frame's face is shown in each. gains: (T,) factor on its brightness; 0: the frame keeps its own.
    drift: (T,2) how far it slid on its head, in eye distances.
    """

    frames: NDArray[np.int64]
    gains: Points
    drift: Points

    @classmethod
    def draw(cls, length: int, rng: np.random.Generator, config: BlendConfig) -> "_Film":
        """A motion by its share, and its course; a single frame has none."""
        frames, gains, drift = np.arange(length), np.ones(length), np.zeros((length, 2))
        shares = np.array(config.motions)
        motion: Motion = get_args(Motion)[int(rng.choice(len(shares), p=shares / shares.sum()))]
        if length == 1 or motion == "still":
            return cls(frames, gains, drift)
        if motion == "drift":
            return cls(frames, gains, config.drift * _wander(length, rng))
        if motion == "flicker":
            gains = np.clip(rng.normal(1, rng.uniform(*GAIN), length), 0.5, 1.5)
            gains[rng.choice(length, min(int(rng.integers(MISSED + 1)), length - 1), replace=False)] = 0
            return cls(frames, gains, drift)
        by, start = int(rng.integers(STUTTER[0], STUTTER[1] + 1)), int(rng.integers(1, length))
        if rng.random() < 0.5:
            frames[start : start + by] = start - 1  # repeated, and then in step with the head again
        else:
            frames[start:] += by  # skipped: ahead of the head from there on
        return cls(np.minimum(frames, length - 1), gains, drift)


def _wander(length: int, rng: np.random.Generator) -> Points:
    """A slow random path (length,2) of unit deviation."""
    margin = int(4 * PERSISTENCE)  # as far as the filter reaches
    path = gaussian_filter1d(rng.normal(0, 1, (length + 2 * margin, 2)), PERSISTENCE, axis=0)[margin:-margin]
    return np.asarray(path * np.sqrt(2 * np.sqrt(np.pi) * PERSISTENCE))  # smoothing had shrunk its deviation


def _moves(landmarks: Points, drift: Points, rng: np.random.Generator, config: BlendConfig) -> NDArray[np.float64]:
    """How the changed face moves against its head: a matrix (2,3) a frame, about the middle of the landmarks."""
    offset = rng.uniform(-config.shift, config.shift, 2) * [1, 0.5]
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(config.zoom))
    units = np.array([_Face.of(points).unit for points in landmarks])
    middles = landmarks.mean(axis=1)
    linear = np.broadcast_to(zoom * np.eye(2), (len(landmarks), 2, 2))
    shifts = (offset + drift) * units[:, None] + (1 - zoom) * middles
    return np.concatenate([linear, shifts[..., None]], axis=2)


def _paste(target: Picture, source: Picture, mask: NDArray[np.float32], move: NDArray[np.float64]) -> None:
    """Blend the moved `source` into `target`, in place, where `mask` is not zero."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width == 0:
        return
    here = np.s_[y : y + height, x : x + width]
    into_view = np.column_stack([move[:, :2], move[:, 2] - (x, y)])
    moved = cv2.warpAffine(source, into_view, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = mask[here][..., None]
    target[here] = np.round(weight * moved + (1 - weight) * target[here]).astype(np.uint8)
