"""The frame that a player shows: decoded, rotated or mirrored, at its display aspect ratio and in its colours.

Only this module knows about display. Every frame and every still passes through it; other modules see the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dfd.videos.colours import ORDINARY, Colours

Area = tuple[int, int, int, int]
"""An area of a frame: first row, end row, first column, end column; ends are exclusive."""

Array = TypeVar("Array", bound=NDArray)

LONGEST_PIXEL = 4
"""Largest plausible pixel aspect ratio. The most extreme in use is 2.9 to 1 (352x576 shown as 16:9)."""
SKEWED = 1.0
"""A rotation further than this from the nearest quarter turn, in degrees, is reported as a caveat."""


@dataclass(frozen=True)
class Display:
    """How all frames of a video are displayed, according to the first one.

    turns: quarter turns counter-clockwise, from stored to upright. mirrored: then swap left and right. pixel: aspect
    ratio of a stored pixel, width to height. caveats: for viewers.
    """

    turns: int = 0
    mirrored: bool = False
    pixel: float = 1.0
    colours: Colours = ORDINARY
    caveats: tuple[str, ...] = ()

    @classmethod
    def of(cls, first: VideoFrame, pixel: Fraction | None) -> Display:
        """Read from a video's first decoded frame, and its container's pixel aspect ratio."""
        caveats = []
        mirrored, angle = _orientation(first)
        turns = round(angle / 90)
        if abs(angle - 90 * turns) > SKEWED:
            caveats.append(f"to be turned by {angle:.0f} degrees and shown turned by {90 * turns}")
        shape = float(pixel or 1)
        if not 1 / LONGEST_PIXEL <= shape <= LONGEST_PIXEL:
            caveats.append(f"pixels of {pixel} are not believed and shown square")
            shape = 1.0
        colours = Colours.of(first)
        if colours.hdr:
            caveats.append(f"HDR ({colours.hdr}) shown as on an ordinary screen")
        return cls(turns % 4, mirrored, shape, colours, tuple(caveats))

    @property
    def plain(self) -> bool:
        """Whether decord displays the same. It applies rotations and nothing else."""
        return not self.mirrored and self.pixel == 1 and not self.caveats and self.colours.plain

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a stored frame at its display aspect ratio, before rotation. One side is enlarged.

        >>> Display(pixel=64 / 45).size(720, 576), Display(pixel=8 / 9).size(720, 480)
        ((1024, 576), (720, 540))
        """
        if self.pixel >= 1:
            return round(width * self.pixel), height
        return width, round(height / self.pixel)

    def upright(self, picture: Array) -> Array:
        """Rotate and mirror a frame (H,W,…) at its display aspect ratio."""
        turned = np.rot90(picture, self.turns)
        return turned[:, ::-1] if self.mirrored else turned

    def before(self, area: Area, height: int, width: int) -> Area:
        """Map an area of an upright frame of that size to the frame before rotation and mirroring.

        >>> Display(turns=1).before((0, 1, 0, 2), 4, 3)  # the upper left corner was the upper right one, of 4 columns
        (0, 2, 3, 4)
        >>> Display(mirrored=True).before((0, 1, 0, 2), 4, 3)
        (0, 1, 1, 3)
        """
        top, bottom, left, right = area
        if self.mirrored:
            left, right = width - right, width - left
        for _ in range(self.turns):
            top, bottom, left, right = left, right, height - bottom, height - top
            height, width = width, height
        return top, bottom, left, right


def _orientation(frame: VideoFrame) -> tuple[bool, float]:
    """Whether a frame is mirrored, and the rotation before that: degrees counter-clockwise, in (-180, 180]."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV has no name for this side data
        return False, float(frame.rotation)
    if matrix is None:
        return False, 0.0
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float).tolist()
    determinant = a * d - b * c  # maps a point (x, y), y down, to (ax + cy, bx + dy)
    if not determinant:
        return False, 0.0
    if determinant < 0:
        a, c = -a, -c
    return determinant < 0, float(np.degrees(np.arctan2(c - b, a + d)))
