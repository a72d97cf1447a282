from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dfd.videos import colours
from dfd.videos.colours import Colours
from dfd.videos.decode import probe, read_frames, stream_pictures
from dfd.videos.display import Display
from dfd.videos.pictures import Picture, View
from tests.footage import FOUR, frame_of, planes_of, quarters, write_clip

TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""BT.2087: converts linear light from BT.709 to BT.2020 primaries."""
BT709, BT601, BT2020 = 1, 5, 9
PQ, HLG, LINEAR = 16, 18, 8


def four(path: Path) -> np.ndarray:
    """The colours (2,2,3) of a clip's four quarters, checked to agree in whole, reduced and sliced pictures."""
    ((picture, *_),) = stream_pictures(path, lambda *_: [np.arange(3)])
    whole = read_frames(path, [0]).images[0]
    np.testing.assert_array_equal(picture[5:50, 9:60], whole[5:50, 9:60])
    height, width = whole.shape[:2]
    for image in (whole, picture.reduced(max(whole.shape) // 2)):
        found = image[len(image) // 4 :: len(image) // 2, len(image[0]) // 4 :: len(image[0]) // 2].astype(int)
        assert np.abs(found - whole[height // 4 :: height // 2, width // 4 :: width // 2]).max() <= 4
    return found


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT709, 4, BT601, 7, BT2020])
def test_matrix_and_range_are_those_of_the_tags(tmp_path: Path, matrix: int, full: bool, pixels: str) -> None:
    planes = planes_of(quarters() / 255, matrix, full, 10 if "10" in pixels else 8)
    path = write_clip(tmp_path / "a.mp4", planes, pixels, colorspace=matrix, color_range=2 if full else 1)
    assert np.abs(four(path) - FOUR).max() <= 3


@pytest.mark.parametrize(("size", "matrix"), [((640, 480), BT601), ((704, 704), BT601), ((1280, 720), BT709)])
@pytest.mark.parametrize("tag", [2, 0, 8, 14])
def test_missing_or_odd_colour_tags_are_guessed_from_the_height(
    tmp_path: Path, size: tuple[int, int], matrix: int, tag: int
) -> None:
    path = write_clip(tmp_path / "a.mp4", planes_of(quarters(*size) / 255, matrix), colorspace=tag)
    assert np.abs(four(path) - FOUR).max() <= 3


def test_a_rotated_video_is_guessed_from_its_stored_height(tmp_path: Path) -> None:
    planes = planes_of(quarters(1280, 640) / 255, BT601)
    path = write_clip(tmp_path / "a.mp4", planes, matrix=(0, 1, -1, 0))
    assert np.abs(four(path) - np.rot90(FOUR, -1)).max() <= 3


@pytest.mark.parametrize("name", ["colorspace", "color_range", "color_trc", "color_primaries"])
def test_no_colour_tag_raises_an_error(name: str) -> None:
    planes = planes_of(quarters() / 255)
    for number in [*range(24), 99, 255]:
        frame = frame_of(planes)
        setattr(frame, name, number)
        picture = Picture(frame, View(frame, Display.of(frame, None)))
        assert picture[3:40, 7:50].shape == (37, 43, 3)
        assert picture.reduced(48).shape == (32, 48, 3)
        assert picture[4:4, 0:9].size == 0


def test_a_late_tag_raises_no_error() -> None:
    first, later = frame_of(planes_of(quarters() / 255)), frame_of(planes_of(quarters() / 255, BT709))
    view = View(first, Display.of(first, None))
    later.colorspace = BT709
    assert np.abs(Picture(later, view).reduced(None)[10, 10].astype(int) - FOUR[0, 0]).max() <= 3
    later.colorspace, later.color_range = 3, 77
    assert Picture(later, view).reduced(None).shape == (64, 96, 3)


def hdr(light: np.ndarray, transfer: int, primaries: np.ndarray = TO_2020) -> list[np.ndarray]:
    """Convert linear BT.709 light, 1 for paper white, to 10-bit BT.2020 planes in PQ or HLG, as phones record."""
    wide = np.clip(light, 0, None) @ primaries.T
    if transfer == PQ:
        power = np.clip(wide * 203 / 10000, 0, 1) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        scene = np.clip(wide * 0.265, 0, 1)
        logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)
    return planes_of(code, BT2020, bits=10)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("primaries", [BT2020, 2])
def test_hdr_below_the_knee_matches_sdr(tmp_path: Path, transfer: int, primaries: int) -> None:
    planes = hdr((quarters() / 255) ** 2.4, transfer)
    tags: dict[str, Any] = {"colorspace": BT2020, "color_primaries": primaries, "color_trc": transfer, "color_range": 1}
    path = write_clip(tmp_path / "a.mp4", planes, "yuv420p10le", **tags)
    assert np.abs(four(path) - FOUR).max() <= 4
    name = {PQ: "PQ", HLG: "HLG"}[transfer]
    assert probe(path).display.caveats == (f"HDR ({name}) shown as on an ordinary screen",)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_are_rolled_off_and_never_clipped(tmp_path: Path, transfer: int) -> None:
    light = np.repeat(np.repeat(np.array([[0.18, 1.0], [2.0, 3.7]])[..., None].repeat(3, 2), 32, 0), 48, 1)
    tags: dict[str, Any] = {"colorspace": BT2020, "color_primaries": BT2020, "color_trc": transfer}
    path = write_clip(tmp_path / "a.mp4", hdr(light, transfer), "yuv420p10le", **tags)
    wanted = [
        125,
        244,
        251,
        253,
    ]  # 255 * 0.18 ** (1 / 2.4); 255 * (0.8 + 0.2 * u / (1 + u)) ** (1 / 2.4), u = 1, 6, 14.5
    assert np.abs(four(path)[..., 1].ravel() - wanted).max() <= 2
    assert np.ptp(four(path), axis=2).max() <= 1  # grey stays grey


def test_8_bit_hdr_is_converted(tmp_path: Path) -> None:
    ten = hdr((quarters() / 255) ** 2.4, PQ)
    path = write_clip(tmp_path / "a.mp4", [np.round(plane / 4) for plane in ten], colorspace=BT2020, color_trc=PQ)
    assert np.abs(four(path) - FOUR).max() <= 12  # 8-bit steps are coarse


def test_hdr_in_the_primaries_of_bt709_keeps_them(tmp_path: Path) -> None:
    planes = hdr((quarters() / 255) ** 2.4, PQ, np.eye(3))
    tags: dict[str, Any] = {"colorspace": BT2020, "color_primaries": BT709, "color_trc": PQ}
    assert np.abs(four(write_clip(tmp_path / "a.mp4", planes, "yuv420p10le", **tags)) - FOUR).max() <= 4


def test_wide_gamut_sdr_is_converted_to_bt709(tmp_path: Path) -> None:
    code = np.clip((quarters() / 255) ** 2.4 @ TO_2020.T, 0, 1) ** (1 / 2.4)
    tags: dict[str, Any] = {"colorspace": BT2020, "color_primaries": BT2020, "color_trc": 14}
    path = write_clip(tmp_path / "a.mp4", planes_of(code, BT2020, bits=10), "yuv420p10le", **tags)
    assert np.abs(four(path) - FOUR).max() <= 3
    assert probe(path).display.caveats == ()


def test_linear_light_is_gamma_encoded(tmp_path: Path) -> None:
    planes = planes_of((quarters() / 255) ** 2.4, BT709, bits=10)
    path = write_clip(tmp_path / "a.mp4", planes, "yuv420p10le", colorspace=BT709, color_trc=LINEAR)
    assert np.abs(four(path) - FOUR).max() <= 5


@pytest.mark.parametrize("transfer", [1, 2, 4, 5, 6, 7, 13, 14, 15])
def test_ordinary_transfer_functions_are_left_as_coded(transfer: int) -> None:
    frame = frame_of(planes_of(quarters() / 255))
    frame.color_trc = transfer
    assert Colours.of(frame).format == "rgb24"
    assert np.abs(Picture(frame, View(frame)).reduced(None)[10, 10].astype(int) - FOUR[0, 0]).max() <= 3


def test_held_hdr_frames_keep_ten_bits() -> None:
    frame = frame_of(hdr((quarters(192, 128) / 255) ** 2.4, PQ), "yuv420p10le")
    frame.colorspace, frame.color_trc = BT2020, PQ
    view = View(frame, Display.of(frame, None), reduction=2)
    held = view.hold(frame)
    assert (held.format.name, held.width) == ("yuv420p10le", 96)
    assert np.abs(Picture(frame, view).reduced(None)[10, 10].astype(int) - FOUR[0, 0]).max() <= 4


def test_the_curve_rises_and_ends_below_white() -> None:
    light = np.linspace(0, 50, 5001)
    rolled = colours.rolled_off(light)
    assert (np.diff(rolled) > 0).all()
    assert rolled[-1] < 1
    assert np.diff(rolled).max() <= np.diff(light).max() + 1e-12


def test_rgb_needs_no_matrix() -> None:
    frame = av.VideoFrame.from_ndarray(quarters(1280, 720), format="rgb24")
    np.testing.assert_array_equal(
        Picture(frame, View(frame, Display.of(frame, None))).reduced(None), quarters(1280, 720)
    )
