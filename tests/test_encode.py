import io
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfd.videos.decode import probe, read_frames
from dfd.videos.encode import write_video
from tests.conftest import moving_face
from tests.footage import FOUR, quarters


def ramp(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A brightness ramp that rises by 4 per frame."""
    slope = np.linspace(20, 160, width)[None, None, :, None] + 4 * np.arange(frames)[:, None, None, None]
    return np.broadcast_to(slope, (frames, height, width, 3)).astype(np.uint8)


def test_encoded_pictures_are_recovered(tmp_path: Path) -> None:
    images = ramp(12)
    write_video(tmp_path / "a.mp4", images, 25)
    frames = read_frames(tmp_path / "a.mp4", range(12))
    assert (frames.fps, frames.missing, frames.indices.tolist()) == (25.0, 0, list(range(12)))
    error = np.abs(frames.images.astype(int) - images)
    assert error.mean() < 1
    assert error.max() <= 6


def test_colours_survive_in_high_definition(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", quarters(1280, 720)[None], 25)
    (image,) = read_frames(tmp_path / "a.mp4", [0]).images
    assert np.abs(image[180::360, 320::640].astype(int) - FOUR).max() <= 4


def test_crf_trades_size_for_quality(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    sizes = []
    for crf in (10, 30, 50):
        write_video(tmp_path / "a.mp4", noise, 25, crf=crf)
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


def test_an_array_and_a_generator_encode_to_the_same_bytes(tmp_path: Path) -> None:
    images = ramp(20)
    write_video(tmp_path / "a.mp4", images, 30, keyframe_every=7)
    write_video(tmp_path / "b.mp4", (picture for picture in images), 30, keyframe_every=7)
    written = (tmp_path / "a.mp4").read_bytes()
    assert written == (tmp_path / "b.mp4").read_bytes()
    assert b"Lavf" not in written
    header = written.index(b"mvhd")
    assert struct.unpack(">II", written[header + 8 : header + 16]) == (0, 0)  # created, modified


def in_memory(images: Iterable[np.ndarray], **settings: Any) -> bytes:
    """Encode pictures in memory, 25 per second."""
    film = io.BytesIO()
    write_video(film, images, 25, **settings)
    return film.getvalue()


@pytest.mark.parametrize("every", [1, 5])
def test_a_film_in_memory_reads_like_a_file(tmp_path: Path, every: int) -> None:
    images = moving_face(12)
    write_video(tmp_path / "a.mp4", images, 25, keyframe_every=every)
    film = in_memory(images, keyframe_every=every)
    on_disk, here = read_frames(tmp_path / "a.mp4", range(12)), read_frames(film, range(12))
    np.testing.assert_array_equal(here.images, on_disk.images)
    assert (here.indices.tolist(), here.fps, here.missing) == (list(range(12)), 25.0, 0)
    np.testing.assert_array_equal(read_frames(film, [7, 3]).images, on_disk.images[[3, 7]])


def hard_and_easy(size: int = 96) -> dict[str, np.ndarray]:
    """Hard and easy pictures: x264's rate control depends on what it encoded before."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (30, size, size, 3), dtype=np.uint8)
    return {"noise": noise, "black": np.zeros_like(noise), "slope": ramp(30, size, size)}


@pytest.mark.parametrize("crf", [18, 21, 30])
@pytest.mark.parametrize("before", ["noise", "black", "slope"])
def test_a_key_frame_does_not_depend_on_earlier_frames(before: str, crf: int) -> None:
    face = np.stack([cv2.resize(image, (96, 96)) for image in moving_face(20)])
    alone = read_frames(in_memory(face, crf=crf), range(20)).images
    film = in_memory(chain(hard_and_easy()[before], face, hard_and_easy()["noise"]), crf=crf)
    np.testing.assert_array_equal(read_frames(film, range(30, 50)).images, alone)
    backwards = in_memory(face[::-1], crf=crf)
    np.testing.assert_array_equal(read_frames(backwards, range(20)).images[::-1], alone)


def test_encoded_pictures_do_not_depend_on_the_frame_rate() -> None:
    film = io.BytesIO()
    write_video(film, moving_face(6), 30000 / 1001)
    np.testing.assert_array_equal(
        read_frames(film.getvalue(), range(6)).images, read_frames(in_memory(moving_face(6)), range(6)).images
    )


def test_the_index_precedes_the_pictures(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", ramp(3), 30)
    written = (tmp_path / "a.mp4").read_bytes()
    assert written.index(b"moov") < written.index(b"mdat")


@settings(max_examples=12, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_odd_sides_are_padded_by_repeating_the_last_line(
    height: int, width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("odd") / "a.mp4"
    images = np.full((2, height, width, 3), 60, np.uint8)
    images[:, -1] = 200
    images[:, :, -1] = 200
    write_video(path, images, 25, crf=1)
    got = read_frames(path, [0, 1]).images.astype(int)
    assert got.shape == (2, height + height % 2, width + width % 2, 3)
    even = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert np.abs(got - even).max() <= 8


@pytest.mark.parametrize(("every", "keys"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6]), (100, [0])])
def test_key_frames_are_where_requested(tmp_path: Path, every: int, keys: list[int]) -> None:
    cuts = np.where(np.arange(8) % 2, 255, 0)[:, None, None, None] * np.ones((8, 32, 32, 3))  # a scene cut each frame
    write_video(tmp_path / "a.mp4", cuts.astype(np.uint8), 25, keyframe_every=every)
    with av.open(tmp_path / "a.mp4") as container:
        stream = container.streams.video[0]
        packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    times = sorted(time for time, _ in packets if time is not None)
    assert [times.index(time) for time, key in packets if key and time is not None] == keys


@pytest.mark.parametrize(
    ("fps", "rate"), [(29.97002997002997, Fraction(30000, 1001)), (29.97, Fraction(2997, 100)), (7.5, Fraction(15, 2))]
)
def test_fps_is_exact(tmp_path: Path, fps: float, rate: Fraction) -> None:
    write_video(tmp_path / "a.mp4", ramp(5), fps)
    with av.open(tmp_path / "a.mp4") as container:
        assert container.streams.video[0].average_rate == rate
    assert probe(tmp_path / "a.mp4").fps == float(rate)


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, ramp(3), 25)
    before = path.read_bytes()

    def breaking() -> Iterator[np.ndarray]:
        yield from ramp(5)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_video(path, breaking(), 25)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (np.empty((0, 8, 8, 3), np.uint8), {}, "no pictures"),
        (np.zeros((2, 8, 8, 3), np.float32), {}, "float32"),
        (np.zeros((2, 8, 8), np.uint8), {}, r"picture 0 is \(8, 8\)"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)], {}, r"picture 1 is \(8, 10, 3\)"),
        (ramp(2), {"fps": 0}, "fps is 0"),
        (ramp(2), {"fps": float("nan")}, "fps is nan"),
        (ramp(2), {"keyframe_every": 0}, "keyframe_every is 0"),
        (ramp(2), {"rotation": 45}, "rotation is 45"),
    ],
)
def test_invalid_arguments_are_named(
    tmp_path: Path, images: np.ndarray, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", images, **{"fps": 25, **settings})
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        write_video(io.BytesIO(), images, **{"fps": 25, **settings})


def test_a_missing_folder_is_created_and_an_impossible_one_is_an_os_error(tmp_path: Path) -> None:
    write_video(tmp_path / "new" / "a.mp4", ramp(2), 25)
    assert probe(tmp_path / "new" / "a.mp4").width
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_video(tmp_path / "file" / "a.mp4", ramp(2), 25)
