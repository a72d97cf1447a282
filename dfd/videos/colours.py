"""Convert decoded frames to the colours that a player shows, and HDR to what an ordinary (SDR) screen shows.

Tags are honoured. A frame with no matrix, or one unknown to the converter, gets BT.601 if its video has fewer than 720
lines and BT.709 otherwise, as in Firefox and Chrome. Without a range tag its values are limited (16 to 235), unless its
pixel format is full range. SDR is shown as coded, whatever its transfer function, as on a screen of gamma 2.4
(BT.1886); only primaries tagged as wide are converted to BT.709's. HDR is tone-mapped by `rolled_off`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps codes in [0,1] to linear light, where 1 is white."""

MATRICES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9, 10: 9}
"""FFmpeg's numbers of the matrices that its converter supports, and a substitute for one close to them (10, BT.2020
with constant luminance)."""
RANGES = (ColorRange.MPEG, ColorRange.JPEG)
HIGH_DEFINITION = 720
"""Least number of lines for which an image without a matrix gets BT.709."""
WHITE = 65280
"""White in FFmpeg's 16-bit RGB: 255 * 256."""
GAMMA = 2.4
KNEE = 0.8
"""Share of SDR's white up to which light is unchanged. Above it is compressed and approaches white asymptotically."""
DIFFUSE = 203.0
"""Candelas per square metre of white paper in PQ, shown as SDR's white (BT.2408)."""

NAMED = frozenset(ColorPrimaries) - {ColorPrimaries.UNSPECIFIED}
WIDE: dict[int, tuple[tuple[float, float, float], ...]] = {
    ColorPrimaries.BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    ColorPrimaries.SMPTE431: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
    ColorPrimaries.SMPTE432: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""Matrices from linear wide primaries (BT.2020, P3) to those of BT.709."""


def linear(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light, 1 for white, of a linear code in [0,1]."""
    return code


def gamma(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light, 1 for white, of an SDR code in [0,1]."""
    return code**GAMMA


def pq(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light, 1 for white paper, of a PQ code in [0,1] (SMPTE 2084).

    >>> pq(np.array([0.0, 0.5807, 1.0])).round(2).tolist()
    [0.0, 1.0, 49.26]
    """
    root = code ** (32 / 2523)
    return 10_000 / DIFFUSE * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)


def hlg(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light, 1 for white paper (a code of 0.75, BT.2408), of an HLG code in [0,1] (ARIB STD-B67).

    It is scene light: on a screen of ordinary brightness BT.2100's system gamma is 1.

    >>> hlg(np.array([0.0, 0.5, 0.75, 1.0])).round(2).tolist()
    [0.0, 0.31, 1.0, 3.77]
    """
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return scene / 0.26496256


def rolled_off(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tone-map HDR light for an SDR screen: unchanged up to KNEE, then with a slope falling from 1 to 0.

    >>> rolled_off(np.array([0.5, 0.8, 1.0, 49.26])).round(3).tolist()
    [0.5, 0.8, 0.9, 0.999]
    """
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    return np.minimum(light, KNEE) + (1 - KNEE) * over / (1 + over)


HDR: dict[int, tuple[str, Curve]] = {ColorTrc.SMPTE2084: ("PQ", pq), ColorTrc.ARIB_STD_B67: ("HLG", hlg)}


@dataclass(frozen=True)
class Colours:
    """Conversion of a video's frames to RGB.

    matrix: FFmpeg's number, for untagged frames. tagged: whether the first frame has a matrix. hdr: "PQ", "HLG" or
    empty. light: from RGB code to linear light; None if the code is shown unchanged. wide: FFmpeg's number of primaries
    to convert to BT.709's, 0 for none.
    """

    matrix: int = Colorspace.ITU601
    tagged: bool = False
    hdr: str = ""
    light: Curve | None = None
    wide: int = 0

    @classmethod
    def of(cls, first: VideoFrame) -> Colours:
        """Choose by the tags of a video's first frame."""
        guess = Colorspace.ITU601 if first.height < HIGH_DEFINITION else Colorspace.ITU709
        matrix, tagged = MATRICES.get(first.colorspace, guess), first.colorspace in MATRICES
        wide = first.color_primaries if first.color_primaries in WIDE else 0
        if first.color_trc in HDR:
            hdr, light = HDR[first.color_trc]
            return cls(matrix, tagged, hdr, light, wide if first.color_primaries in NAMED else ColorPrimaries.BT2020)
        if first.color_trc == ColorTrc.LINEAR:
            return cls(matrix, tagged, light=linear, wide=wide)
        return cls(matrix, tagged, light=gamma if wide else None, wide=wide)

    @property
    def plain(self) -> bool:
        """Whether a plain converter, which knows matrix and range and defaults to BT.601, gives the same."""
        return self.light is None and (self.tagged or self.matrix == Colorspace.ITU601)

    @property
    def format(self) -> str:
        """FFmpeg's name of the RGB format that `shown` takes: 16 bits if light is converted, else 8."""
        return "rgb48le" if self.light else "rgb24"

    def tag(self, frame: VideoFrame) -> None:
        """Set the matrix and range for converting `frame`: its own if FFmpeg's converter supports them."""
        frame.colorspace = MATRICES.get(frame.colorspace, self.matrix)
        if frame.color_range not in RANGES:
            frame.color_range = ColorRange.UNSPECIFIED

    def shown(self, rgb: NDArray) -> NDArray[np.uint8]:
        """Convert RGB (H,W,3) of `format` to uint8 for a BT.709 SDR screen."""
        if self.light is None:
            return rgb
        light = _lights(self.light)[rgb]
        if self.wide:
            light = light @ np.array(WIDE[self.wide], np.float32).T
        codes, top = _codes(self.light, bool(self.hdr))
        place = np.sqrt(np.clip(light, 0, top, out=light) * np.float32(1 / top))
        return codes[(place * np.float32(len(codes) - 1) + np.float32(0.5)).astype(np.uint16)]


ORDINARY = Colours()
"""Default for a video without tags, below high definition."""


@cache
def _lights(light: Curve) -> NDArray[np.float32]:
    """Look-up table of linear light for the 65536 values of 16-bit RGB."""
    return light(np.minimum(np.arange(65536) / WHITE, 1)).astype(np.float32)


@cache
def _codes(light: Curve, hdr: bool) -> tuple[NDArray[np.uint8], float]:
    """SDR codes of light from 0 to the maximum, at even steps of its square root; and the maximum."""
    top = float(light(np.array([1.0]))[0])
    steps = np.linspace(0, 1, 65536) ** 2 * top
    return np.round(255 * (rolled_off(steps) if hdr else steps) ** (1 / GAMMA)).astype(np.uint8), top
