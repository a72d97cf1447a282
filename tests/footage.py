"""Clips with a known correct picture: given YUV planes, and a header that says how to display them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

HALF = {"yuv420p": np.uint8, "yuv420p10le": np.uint16}
"""Pixel formats of these clips, and their dtypes."""
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593), 7: (0.212, 0.087), 4: (0.3, 0.11)}
"""Weights of red and blue in luma, by FFmpeg's number of the colour matrix."""
FOUR = np.array([[[200, 40, 40], [40, 200, 40]], [[40, 40, 200], [190, 180, 60]]], np.uint8)


def quarters(width: int = 96, height: int = 64, colours: np.ndarray = FOUR) -> np.ndarray:
    """A picture (H,W,3) with four different quarters, so that every rotation and mirroring differs."""
    return np.repeat(np.repeat(colours, height // 2, 0), width // 2, 1)


def planes_of(rgb: np.ndarray, matrix: int = 5, full: bool = False, bits: int = 8) -> list[np.ndarray]:
    """Convert RGB (H,W,3) in [0,1] to the three planes of a 4:2:0 format, by the definition of Y'CbCr."""
    red, blue = WEIGHTS[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = ((rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red))
    scale, zero, span, width = (2**bits - 1, 0, 2**bits - 1, 2**bits) if full else (219, 16, 224, 256)
    unit = 1 if full else 2 ** (bits - 8)
    middle = width * unit // 2
    small = [plane.reshape(len(plane) // 2, 2, -1, 2).mean((1, 3)) for plane in chroma]
    planes = [scale * unit * luma + zero * unit, *(span * unit * plane + middle for plane in small)]
    return [np.clip(np.round(plane), 0, 2**bits - 1) for plane in planes]


def frame_of(planes: Sequence[np.ndarray], pixels: str = "yuv420p") -> av.VideoFrame:
    """Make a frame from such planes."""
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    for plane, numbers in zip(frame.planes, planes, strict=True):
        room = np.zeros((plane.height, plane.line_size // np.dtype(HALF[pixels]).itemsize), HALF[pixels])
        room[:, : numbers.shape[1]] = numbers
        plane.update(room.tobytes())
    return frame


def write_clip(
    path: Path,
    planes: Sequence[np.ndarray],
    pixels: str = "yuv420p",
    *,
    matrix: Sequence[float] = (),
    pixel: Fraction | None = None,
    **tags: int,
) -> Path:
    """Write the same picture three times, lossless. matrix: a, b, c, d of the display matrix. pixel: its aspect ratio.

    tags: colorspace, color_range, color_trc and color_primaries, as FFmpeg numbers them.
    """
    with av.open(path, "w") as container:
        stream = add_stream(container, planes, pixels, **tags)
        if pixel:
            stream.codec_context.sample_aspect_ratio = pixel
        if matrix:
            a, b, c, d = (round(number * 65536) for number in matrix)
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        fill(container, stream, frame_of(planes, pixels), range(3))
    return path


def add_stream(container: Any, planes: Sequence[np.ndarray], pixels: str = "yuv420p", **tags: int) -> Any:
    """Add a stream for frames of such planes."""
    options = {"qp": "0", "preset": "ultrafast", "threads": "1", "bf": "0"}
    stream: Any = container.add_stream("libx264", rate=25, options=options)
    stream.width, stream.height, stream.pix_fmt = planes[0].shape[1], planes[0].shape[0], pixels
    for name, value in tags.items():
        setattr(stream.codec_context, name, value)
    return stream


def fill(container: Any, stream: Any, frame: av.VideoFrame, places: Iterable[int]) -> None:
    """Encode the frame at these positions, 25 per second, with the tags of its stream."""
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(frame, name, getattr(stream.codec_context, name))
    for place in places:
        frame.pts = place
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
