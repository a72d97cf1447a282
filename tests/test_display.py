from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.faces.recorder import in_memory
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video
from dfd.videos.decode import probe, read_frames, stream_pictures
from dfd.videos.display import Display
from tests.conftest import moving_face
from tests.footage import planes_of, quarters, write_clip

ORIENTATIONS: dict[str, tuple[tuple[float, ...], Callable[[np.ndarray], np.ndarray]]] = {
    "as stored": ((1, 0, 0, 1), lambda image: image),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "by 180 degrees": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
}
"""a, b, c, d of the display matrix, which maps (x, y) to (ax + cy, bx + dy), y down; and the picture shown."""


def turn(degrees: float) -> tuple[float, ...]:
    """The display matrix of a counter-clockwise rotation."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return cosine, -sine, sine, cosine


def shown(path: Path) -> np.ndarray:
    """The first picture of a video, checked to be equal in whole and in parts, by every way of reading."""
    whole = read_frames(path, [0]).images[0]
    ((picture, *_),) = stream_pictures(path, lambda *_: [np.arange(3)])
    assert picture.shape == whole.shape
    height, width = whole.shape[:2]
    assert (probe(path).height, probe(path).width) == (height, width)
    np.testing.assert_array_equal(picture.reduced(None), whole)
    for area in [
        (0, height, 0, width),
        (3, height // 2 + 5, 1, width // 3),
        (height - 1, height, 7, width),
        (4, 4, 0, 9),
    ]:
        top, bottom, left, right = area
        np.testing.assert_array_equal(picture[top:bottom, left:right], whole[top:bottom, left:right])
    half = picture.reduced(max(height, width) // 2)
    near = cv2.resize(whole, half.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - near).mean() < 2
    return whole


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_rotation_and_mirroring_is_applied(tmp_path: Path, name: str) -> None:
    matrix, oriented = ORIENTATIONS[name]
    image = quarters()
    path = write_clip(tmp_path / "a.mp4", planes_of(image / 255), matrix=matrix)
    picture = shown(path)
    assert picture.shape == oriented(image).shape
    assert np.abs(picture.astype(int) - oriented(image)).max() <= 3
    assert probe(path).display.caveats == ()


@pytest.mark.parametrize(("degrees", "turns"), [(30, 0), (80, 1), (-100, 3), (170, 2), (0.5, 0)])
def test_other_angles_are_rounded_to_a_quarter_turn(tmp_path: Path, degrees: float, turns: int) -> None:
    image = quarters()
    path = write_clip(tmp_path / "a.mp4", planes_of(image / 255), matrix=turn(degrees))
    assert np.abs(shown(path).astype(int) - np.rot90(image, turns)).max() <= 3
    (caveat,) = probe(path).display.caveats or ("",)
    assert caveat.startswith(f"to be turned by {degrees} degrees") == (degrees != 0.5)


def test_a_degenerate_matrix_is_ignored(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", planes_of(quarters() / 255), matrix=(0, 0, 0, 0))
    assert np.abs(shown(path).astype(int) - quarters()).max() <= 3


@pytest.mark.parametrize(
    ("pixel", "turns", "size"),
    [
        (Fraction(64, 45), 0, (137, 64)),
        (Fraction(8, 9), 0, (96, 72)),
        (Fraction(2), 1, (64, 192)),
        (Fraction(1, 2), 3, (128, 96)),
        (Fraction(1281, 1280), 0, (96, 64)),
    ],
)
def test_pictures_have_their_display_shape(tmp_path: Path, pixel: Fraction, turns: int, size: tuple[int, int]) -> None:
    across, down = np.meshgrid(np.linspace(30, 220, 96), np.linspace(30, 220, 64))
    image = np.stack([across, down, 250 - across], axis=2)  # a ramp, which identifies positions
    path = write_clip(tmp_path / "a.mp4", planes_of(image / 255), matrix=turn(90 * turns), pixel=pixel)
    picture = shown(path)
    assert picture.shape[1::-1] == size
    wanted = cv2.resize(np.ascontiguousarray(np.rot90(image, turns)), size, interpolation=cv2.INTER_LINEAR)
    difference = np.abs(picture - wanted)  # ratio of neighbours: 2 to 3
    assert difference.mean() < 3
    assert difference.max() <= 9


@pytest.mark.parametrize("pixel", [Fraction(1, 20), Fraction(16), Fraction(5)])
def test_implausible_pixel_aspect_ratios_are_ignored(tmp_path: Path, pixel: Fraction) -> None:
    path = write_clip(tmp_path / "a.mp4", planes_of(quarters() / 255), pixel=pixel)
    assert shown(path).shape == (64, 96, 3)
    assert probe(path).display.caveats == (f"pixels of {pixel} are not believed and shown square",)


def test_a_held_picture_is_reduced_before_it_is_stretched() -> None:
    from dfd.videos.pictures import Picture, View

    frame = av.VideoFrame(96, 64, "yuv420p")
    view = View(frame, Display(turns=1, pixel=2.0), reduction=2)
    assert (view.stored, view.size, view.shape) == ((48, 32), (96, 32), (96, 32, 3))
    assert Picture(frame, view).reduced(None).shape == (96, 32, 3)


@pytest.mark.parametrize("how", [{"matrix": (-1, 0, 0, 1)}, {"pixel": Fraction(4, 3)}, {"color_trc": 16}])
def test_decord_is_refused_when_its_picture_differs(tmp_path: Path, how: dict) -> None:
    path = write_clip(tmp_path / "a.mp4", planes_of(quarters() / 255), **how)
    with pytest.raises(VideoReadError, match="does not show it as a player does: read it with pyav"):
        read_frames(path, [0], decoder="decord")


def test_caveats_are_stored_in_the_videos_record(tmp_path: Path) -> None:
    planes, config = planes_of(moving_face(1)[0] / 255), FacesConfig(size=64, detect_side=320)
    plain = in_memory(Video(write_clip(tmp_path / "plain.mp4", planes), "plain.mp4"), config)
    odd = in_memory(Video(write_clip(tmp_path / "odd.mp4", planes, matrix=turn(9)), "odd.mp4"), config)
    assert (plain.status, plain.reason) == ("ok", "")
    assert (odd.status, odd.reason) == ("ok", "to be turned by 9 degrees and shown turned by 0")
    empty = in_memory(Video(write_clip(tmp_path / "e.mp4", planes_of(quarters() / 255), matrix=turn(9)), "e"), config)
    assert (empty.status, empty.reason.split(", ")[-1]) == ("no_face", odd.reason)
