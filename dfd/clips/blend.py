"""Self-blended fakes: change a clip's face a little and blend it back into the same clip.

The result shows the traces of every face swap: a blending border, two colour casts, and a face that does not quite
follow its head. The recipe is that of Shiohara and Yamasaki 2022, "Detecting Deepfakes with Self-Blended Images", with
two changes: the mask is a hull of other landmarks (clips/masks.py), and everything is drawn once per clip instead of
once per frame, so that a fake flickers only on purpose. Clips of several frames also get temporal artefacts: the face
drifts against its head, flickers, or repeats and skips its own frames (Yan et al. 2024, "Generalizing Deepfake Video
Detection with Plug-and-Play"; Wang et al. 2023, "AltFreezing"). Lengths are in eye distances, so they hold at any size.
"""

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.ndimage import gaussian_filter1d

from dfd.clips.masks import Face, MaskConfig, face_mask
from dfd.clips.meshes import Mesher
from dfd.faces.mesh import face_mesh

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]

SMOOTHING = 2.0
"""Frames (standard deviation) over which landmarks are smoothed, so that detector jitter does not move the mask."""

PERSISTENCE = 6.0
"""Frames (standard deviation) over which the drift is smoothed."""

Motion = Literal["still", "drift", "flicker", "stutter"]
"""How a changed face moves during a clip. still: with its head. drift: it slides slowly across its head. flicker: its
brightness varies, and now and then a frame keeps its original face. stutter: it repeats or skips frames while the head
goes on."""

GAIN = (0.01, 0.04)
"""Flicker: standard deviation of the change in brightness from frame to frame."""

MISSED = 3
"""Flicker: maximum number of frames that keep their original face, as if the detector had missed it."""

STUTTER = (1, 5)
"""Number of frames that a face repeats or skips."""


class BlendConfig(MaskConfig):
    """How a clip is blended with itself."""

    ratios: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.0, 1.0), min_length=1, description="how much of the changed face shows, one is drawn"
    )
    change_target: float = Field(
        0.5, ge=0, le=1, description="how often the surroundings (and the real twin) are recoloured instead of the face"
    )
    shift: float = Field(0.12, ge=0, le=1, description="face moves sideways by at most this, up and down by half of it")
    zoom: float = Field(0.05, ge=0, lt=0.5, description="face shrinks or grows by at most this")
    turn: float = Field(0.0, ge=0, le=45, description="face turns by at most this, in degrees")
    drift: float = Field(0.02, ge=0, le=0.5, description="how far a drifting face slides about on its head (std)")
    motions: tuple[float, float, float, float] = Field(
        (0.55, 0.2, 0.15, 0.1),
        description="how often a clip's face moves with its head, drifts on it, flickers, stutters (relative)",
    )

    @field_validator("motions")
    @classmethod
    def _motions(cls, motions: tuple[float, ...]) -> tuple[float, ...]:
        if min(motions) < 0 or not 0 < sum(motions) < 1e6:
            raise ValueError(f"motions are shares of at least 0, not all 0, below a million, not {motions}")
        return motions

    @field_validator("ratios")
    @classmethod
    def _ratios(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= ratio <= 1 for ratio in ratios):
            raise ValueError(f"ratios lie in [0, 1], not {ratios}")
        return ratios


def self_blend(
    images: Picture,
    landmarks: NDArray[np.floating],
    rng: np.random.Generator,
    config: BlendConfig,
    mesher: Mesher = face_mesh,
) -> tuple[Picture, Picture, NDArray[np.float32]]:
    """Blend a clip with itself. Returns its real twin, its fake, and the mask of their difference.

    images: (T,H,W,3) uint8 RGB; landmarks: (T,5,2) in pixels. mesher: locates meshes, if `config` has weights of them.
    Returns (twin, fake, mask): twin and fake (T,H,W,3) uint8, mask (T,H,W) float32 in [0,1], the share of the changed
    face in each pixel. Outside the mask twin and fake are equal. Compare the fake with its twin, not with `images`:
    both may have been recoloured around the face, so that colour does not give the fake away. At a ratio of 0 the fake
    equals the twin.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.shape} {images.dtype}, not (T, H, W, 3) uint8")
    frames, height, width = images.shape[:3]
    if landmarks.shape != (frames, 5, 2) or not np.isfinite(landmarks).all():
        raise ValueError(f"landmarks are {landmarks.shape}, not {(frames, 5, 2)}, or not finite")
    smooth = gaussian_filter1d(_outlined(images, landmarks, config.mesh, mesher), SMOOTHING, axis=0, mode="nearest")
    look = _Look.draw(rng, OVAL if config.mesh is None else HULL)
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


def _outlined(images: Picture, landmarks: NDArray[np.floating], weights: Path | None, mesher: Mesher) -> Points:
    """Face meshes (T,468,2) of a clip; the five landmarks (T,5,2) without weights, or if a frame has no mesh."""
    if weights is not None:
        meshes = [mesher(image, points, weights) for image, points in zip(images, landmarks, strict=True)]
        if all(mesh is not None for mesh in meshes):
            return np.array(meshes, np.float64)
    return np.asarray(landmarks, np.float64)


class _Strength(NamedTuple):
    """Upper limits of the changes of colour and sharpness.

    tint: change of red, green and blue (0-255), with probability `tinted`. brightness: of 255. hue (units of 2 degrees)
    and saturation: with probability `toned`. reductions: of the sides of softened images. lightness: of sharpened ones;
    below 1 they are darker, too.
    """

    tint: float
    tinted: float
    brightness: float
    hue: int
    saturation: float
    toned: float
    reductions: tuple[int, ...]
    lightness: tuple[float, float]


OVAL = _Strength(
    tint=20, tinted=0.3, brightness=25.5, hue=0, saturation=0, toned=0, reductions=(2, 4), lightness=(0.5, 1)
)
HULL = _Strength(
    tint=18, tinted=0.5, brightness=12, hue=6, saturation=0.3, toned=0.5, reductions=(2, 3, 4), lightness=(1, 1)
)
"""One strength per kind of mask. The sample's videos use ovals and keep their look."""


class _Look(NamedTuple):
    """One change of colour and sharpness, the same for every frame of a clip.

    curves: (1,256,3) look-up table of red, green and blue. tones: optional table of hue, saturation and value, applied
    afterwards.
    """

    curves: Picture
    reduction: int
    sharpness: float
    lightness: float
    tones: Picture | None

    @classmethod
    def draw(cls, rng: np.random.Generator, by: _Strength) -> "_Look":
        """Draw a change within the limits `by`."""
        tint = rng.uniform(-by.tint, by.tint, 3) * (rng.random() < by.tinted)
        contrast, brightness = rng.uniform(0.9, 1.1), by.brightness * rng.uniform(-1, 1)
        curves = np.clip(np.round(np.arange(256)[:, None] * contrast + brightness + tint), 0, 255).astype(np.uint8)
        blurred = rng.random() < 0.5
        reduction, sharpness = (int(rng.choice(by.reductions)), 0.0) if blurred else (1, rng.uniform(0.2, 0.5))
        lightness = rng.uniform(*by.lightness)
        tones = _tones(rng, by) if by.toned and rng.random() < by.toned else None
        return cls(curves[None], reduction, sharpness, lightness, tones)

    def __call__(self, image: Picture) -> Picture:
        toned = cv2.LUT(image, self.curves)
        if self.tones is not None:
            toned = cv2.cvtColor(cv2.LUT(cv2.cvtColor(toned, cv2.COLOR_RGB2HSV), self.tones), cv2.COLOR_HSV2RGB)
        if self.reduction > 1:
            height, width = toned.shape[:2]
            small = (max(1, width // self.reduction), max(1, height // self.reduction))
            return cv2.resize(cv2.resize(toned, small, interpolation=cv2.INTER_AREA), (width, height))
        kernel = np.full((3, 3), -self.sharpness, np.float32)
        kernel[1, 1] = 1 - self.sharpness + self.sharpness * (8 + self.lightness)
        return cv2.filter2D(toned, -1, kernel)


def _tones(rng: np.random.Generator, by: _Strength) -> Picture:
    """Look-up table (1,256,3) of hue, saturation and value. OpenCV's hue wraps at 180."""
    levels = np.arange(256)
    hue = (levels + rng.integers(-by.hue, by.hue + 1)) % 180
    saturation = np.clip(np.round(levels * (1 + rng.uniform(-by.saturation, by.saturation))), 0, 255)
    return np.stack([hue, saturation, levels], axis=1).astype(np.uint8)[None]


class _Film(NamedTuple):
    """The course of the changed face over a clip of T frames.

    frames: (T,) index of the frame whose face is shown. gains: (T,) factor of its brightness; 0: the frame keeps its
    original face. drift: (T,2) displacement against the head, in eye distances.
    """

    frames: NDArray[np.int64]
    gains: Points
    drift: Points

    @classmethod
    def draw(cls, length: int, rng: np.random.Generator, config: BlendConfig) -> "_Film":
        """Draw a kind of motion by the configured shares, and its course. A single frame has none."""
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
            frames[start : start + by] = start - 1  # repeat, then return in step with the head
        else:
            frames[start:] += by  # skip: the face stays ahead of the head from here on
        return cls(np.minimum(frames, length - 1), gains, drift)


def _wander(length: int, rng: np.random.Generator) -> Points:
    """A slow random path (length,2) with unit standard deviation."""
    margin = int(4 * PERSISTENCE)  # the reach of the filter
    path = gaussian_filter1d(rng.normal(0, 1, (length + 2 * margin, 2)), PERSISTENCE, axis=0)[margin:-margin]
    return np.asarray(path * np.sqrt(2 * np.sqrt(np.pi) * PERSISTENCE))  # undo the shrinkage of the smoothing


def _moves(landmarks: Points, drift: Points, rng: np.random.Generator, config: BlendConfig) -> NDArray[np.float64]:
    """Affine matrix (2,3) per frame that moves the changed face against its head, about the centre of the landmarks."""
    offset = rng.uniform(-config.shift, config.shift, 2) * [1, 0.5]
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(config.zoom))
    angle = np.radians(config.turn * rng.uniform(-1, 1)) if config.turn else 0.0
    units = np.array([Face.of(points).unit for points in landmarks])
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shifts = (offset + drift) * units[:, None] + landmarks.mean(axis=1) @ (np.eye(2) - linear).T
    return np.concatenate([np.broadcast_to(linear, (len(landmarks), 2, 2)), shifts[..., None]], axis=2)


def _paste(target: Picture, source: Picture, mask: NDArray[np.float32], move: NDArray[np.float64]) -> None:
    """Blend the moved `source` into `target` where `mask` is not zero, in place."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width == 0:
        return
    here = np.s_[y : y + height, x : x + width]
    into_view = np.column_stack([move[:, :2], move[:, 2] - (x, y)])
    moved = cv2.warpAffine(source, into_view, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = mask[here][..., None]
    target[here] = np.round(weight * moved + (1 - weight) * target[here]).astype(np.uint8)
