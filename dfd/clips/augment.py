"""Augmentations of training clips: the damage seen in test videos, and changes against overfitting.

Everything is drawn once per clip. A draw can be applied again to the paired clip of the other class, so that neither
compression nor colour gives the fake away. OpenCV works on NumPy images; augmentation libraries offer neither H.264
nor face landmarks, and cannot repeat a draw.
"""

import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dfd.clips.sampling import ClipConfig, Positions, random_clips, thinned
from dfd.config import Config
from dfd.faces.crops import resize
from dfd.videos.decode import read_frames
from dfd.videos.encode import write_video

Picture = NDArray[np.uint8]
Points = NDArray[np.floating]
Part = Literal["eyes", "nose", "mouth", "left", "right", "upper", "lower"]

CRF = (17, 40)
"""x264 CRF of re-encoded clips, from hardly visible to ruined. Part of DFDC's test videos was re-encoded like this."""
RATES = (15.0, 30.0)
"""Range of frame rates, in frames a second, to which a video is thinned out."""
REDUCTION = 0.25
"""Smallest factor by which a video is scaled down before it is scaled back up to its own size."""
QUALITY = (30, 95)
NOISE = (1.0, 10.0)
"""Standard deviation, of 255."""
BLUR = (0.4, 2.0)
"""Standard deviation in pixels of a stored crop."""
PARTS: tuple[Part, ...] = ("eyes", "nose", "mouth", "left", "right", "upper", "lower")


class AugmentConfig(Config):
    """How training clips are changed. Probabilities are of a clip; 0 leaves that change out."""

    flip: float = Field(0.5, ge=0, le=1, description="probability that a clip is mirrored")
    zoom: float = Field(
        0.1, ge=0, lt=1, description="crop is narrower or wider by at most this, as a share of its side"
    )
    shift: float = Field(0.05, ge=0, lt=1, description="crop moves by at most this, as a share of its side")
    colour: float = Field(0.4, ge=0, le=1, description="probability of another brightness, contrast, tint, saturation")
    blur: float = Field(0.1, ge=0, le=1, description="probability of Gaussian blur")
    noise: float = Field(0.1, ge=0, le=1, description="probability of a sensor's noise, new in every frame")
    grey: float = Field(0.0, ge=0, le=1, description="probability that all colour is lost")
    reduce: float = Field(0.3, ge=0, le=1, description="probability that the video was reduced")
    reduce_to: float = Field(
        REDUCTION, gt=0, le=1, description="least share of its sides that a reduced video has, before it is enlarged"
    )
    jpeg: float = Field(0.15, ge=0, le=1, description="probability of JPEG compression, quality 30 to 95")
    codec: float = Field(0.2, ge=0, le=1, description="probability that the video was encoded again, CRF 17 to 40")
    rate: float = Field(0.3, ge=0, le=1, description="probability that frames were dropped, to 15 to 30 a second")
    cutout: float = Field(0.2, ge=0, le=1, description="probability that eyes, nose, mouth or half a face is covered")


NOTHING = AugmentConfig(flip=0, zoom=0, shift=0, colour=0, blur=0, noise=0, reduce=0, jpeg=0, codec=0, rate=0, cutout=0)
"""Leaves scored clips unchanged."""


def thinned_clips(
    frames: int, fps: float, config: ClipConfig, count: int, rng: np.random.Generator, augment: AugmentConfig
) -> Positions:
    """`count` random clips of a tracklet of `frames`: positions (count, length) int64, perhaps of a thinned-out video.

    A video thinned from 30 to 20 frames a second has lost every third frame. Clips sampled from it run at another speed
    than clips of the whole video.
    """
    thin = rng.random() < augment.rate
    left, rate = thinned(frames, fps, rng.uniform(*RATES) if thin else fps)
    positions = random_clips(left, rate, config, count, rng)
    return (positions * (fps / rate)).astype(np.int64)


@dataclass(frozen=True)
class Draw:
    """The changes drawn for one clip by `Draw.of`. Call it on the images of a clip, or of its pair, to apply them.

    zoom: factor of the crop's side. shift: of the crop's centre, as a share of its side, (x, y). curves: (256,3) uint8
    look-up table of colours. saturation: factor. blur, noise: standard deviations, 0 for none. seed: of the noise.
    reduction: share of the side. quality, crf: of JPEG and H.264, None for none. part: the part of the face to cover
    with the colour `cover`.
    """

    flip: bool
    zoom: float
    shift: tuple[float, float]
    curves: Picture | None
    saturation: float
    blur: float
    noise: float
    seed: int
    reduction: float
    quality: int | None
    crf: int | None
    part: Part | None
    cover: tuple[int, int, int]

    @classmethod
    def of(cls, rng: np.random.Generator, config: AugmentConfig) -> "Draw":
        """Draw the changes of one clip. Takes the same number of values from `rng` whatever it draws."""
        happens = rng.random(8) < [
            config.flip, config.colour, config.blur, config.noise,
            config.reduce, config.jpeg, config.codec, config.cutout,
        ]  # fmt: skip
        flip, colour, blur, noise, reduce, jpeg, codec, cutout = happens.tolist()
        x, y = rng.uniform(-config.shift, config.shift, 2)
        zoom = 1 + rng.uniform(-config.zoom, config.zoom)
        curves, saturation = _curves(rng), rng.uniform(0.5, 1.4)
        blurring, grain, left = (
            rng.uniform(*BLUR),
            rng.uniform(*NOISE),
            np.exp(rng.uniform(np.log(config.reduce_to), 0)),
        )
        quality, crf = int(rng.integers(QUALITY[0], QUALITY[1] + 1)), int(rng.integers(CRF[0], CRF[1] + 1))
        part, (red, green, blue) = PARTS[rng.integers(len(PARTS))], rng.integers(0, 256, 3).tolist()
        seed = int(rng.integers(2**32))
        grey = config.grey > 0 and rng.random() < config.grey  # last: recipes without it keep their random draws
        return cls(
            flip=flip,
            zoom=float(zoom),
            shift=(float(x), float(y)),
            curves=curves if colour else None,
            saturation=0.0 if grey else float(saturation) if colour else 1.0,
            blur=float(blurring) if blur else 0.0,
            noise=float(grain) if noise else 0.0,
            seed=seed,
            reduction=float(left) if reduce else 1.0,
            quality=quality if jpeg else None,
            crf=crf if codec else None,
            part=part if cutout else None,
            cover=(red, green, blue),
        )

    def __call__(self, images: Picture, stored: float, margin: float, size: int, landmarks: Points | None) -> Picture:
        """Apply the changes to stored crops (T,S,S,3) uint8 and cut out the clip (T,size,size,3) uint8.

        The stored crops are changed first and cut afterwards, so that a narrower cut shows the same blur and blocks.
        stored: the crops' margin, in widths of the face box. margin: the margin of the clip before zoom; a cut wider
        than the crops is limited to them. landmarks: (T,5,2) in pixels of the crops; None if unknown: then nothing is
        covered. If no change was drawn this equals `dfd.faces.crops.narrow`. Raises ValueError when `margin` is wider
        than `stored`.
        """
        if margin > stored:
            raise ValueError(f"margin {margin} is wider than the stored crops' {stored}")
        side = images.shape[1]
        keep = min(side, max(1, round(side * margin / stored * self.zoom)))
        left, top = (min(max((side - keep) // 2 + round(by * keep), 0), side - keep) for by in self.shift)
        images = self._film(images)[:, top : top + keep, left : left + keep]
        cut = np.stack([resize(image, size) for image in images])
        if self.part is not None and landmarks is not None:
            for image, points in zip(cut, (landmarks - (left, top)) * (size / keep), strict=True):
                _cover(image, points, self.part, self.cover)
        return np.ascontiguousarray(cut[:, :, ::-1]) if self.flip else cut

    def _film(self, images: Picture) -> Picture:
        """Apply what a camera, a converter and an encoder do to a video: (T,S,S,3) in and out."""
        side = images.shape[1]
        if self.curves is not None:
            images = np.stack([cv2.LUT(image, self.curves[None]) for image in images])
        if self.saturation != 1:
            images = np.stack([_saturate(image, self.saturation) for image in images])
        if self.blur:
            images = np.stack([cv2.GaussianBlur(image, (0, 0), self.blur) for image in images])
        if self.noise:
            images = _noisy(images, self.noise, self.seed)
        if self.reduction < 1:
            images = _resized(images, 2 * max(8, round(side * self.reduction / 2)))
        if self.crf is not None:
            images = recoded(images, self.crf)
        if self.quality is not None:
            images = np.stack([_jpeg(image, self.quality) for image in images])
        return _resized(images, side)


def recoded(images: Picture, crf: int) -> Picture:
    """Encode a clip (T,H,W,3) uint8 with H.264 at quality `crf`, with one key frame, and decode it again."""
    height, width = images.shape[1:3]
    film = io.BytesIO()
    write_video(film, images, 30, crf=crf, keyframe_every=len(images))
    return read_frames(film.getvalue(), range(len(images))).images[:, :height, :width]


def _curves(rng: np.random.Generator) -> Picture:
    """Look-up table (256,3) uint8 for a random brightness, contrast, gamma and tint."""
    contrast, brightness = rng.uniform(0.7, 1.3), rng.uniform(-40, 40)
    gamma, tint = np.exp(rng.uniform(-0.3, 0.3)), rng.uniform(-15, 15, 3)
    levels = 255 * (np.arange(256) / 255)[:, None] ** gamma
    return np.clip(np.rint((levels - 128) * contrast + 128 + brightness + tint), 0, 255).astype(np.uint8)


def _saturate(image: Picture, factor: float) -> Picture:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image, factor, grey, 1 - factor, 0))


def _noisy(images: Picture, std: float, seed: int) -> Picture:
    """Add normal noise, another in each frame and channel. OpenCV draws it in a third of NumPy's time."""
    cv2.setRNGSeed(seed - 2**31)  # it takes a signed integer
    noise = np.empty(images.shape[1:], np.int16)
    return np.stack([cv2.add(image, cv2.randn(noise, 3 * (0,), 3 * (std,)), dtype=cv2.CV_8U) for image in images])


def _resized(images: Picture, size: int) -> Picture:
    return images if images.shape[1] == size else np.stack([resize(image, size) for image in images])


def _jpeg(image: Picture, quality: int) -> Picture:
    code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _cover(image: Picture, landmarks: Points, part: Part, colour: tuple[int, int, int]) -> None:
    """Paint over one part of the face, located by its landmarks, in place."""
    left, right, nose, mouth_left, mouth_right = np.asarray(landmarks, np.float64)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    unit = max(1.0, float(np.linalg.norm(right - left)), float(np.linalg.norm(mouth - eyes)))
    across, down = (right - left) / unit, (mouth - eyes) / unit
    strokes = {"eyes": (left, right, 0.5), "nose": (eyes, nose, 0.4), "mouth": (mouth_left, mouth_right, 0.5)}
    if part in strokes:
        start, end, width = strokes[part]
        cv2.line(image, _pixel(start), _pixel(end), colour, max(1, round(width * unit)), cv2.LINE_AA)
        return
    way = {"left": -across, "right": across, "upper": -down, "lower": down}[part]
    side = 1.5 * unit * way
    edge = 1.5 * unit * (down if part in ("left", "right") else across)
    middle = (eyes + mouth) / 2
    corners = np.array([middle - edge, middle + edge, middle + edge + side, middle - edge + side])
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], colour)


def _pixel(point: Points) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
