from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.videos.container import open_film
from dfd.videos.decode import probe, read_frames, stream_pictures
from tests.footage import FOUR, add_stream, fill, frame_of, planes_of, quarters

DEFAULT, COVER, THUMBNAILS = 1, 1 << 10, 1 << 11
VIDEO = planes_of(quarters() / 255)
GREY = planes_of(np.full((128, 192, 3), 0.5))
"""A picture that is larger than the video's."""
SMALL = planes_of(np.full((16, 16, 3), 0.5))

Told = tuple[list[np.ndarray], Iterable[int], int]
"""A stream: its planes, its frame positions and its flags."""


def write(path: Path, *streams: Told) -> Path:
    with av.open(path, "w") as container:
        made = [add_stream(container, planes) for planes, _, _ in streams]
        for stream, (_, _, flags) in zip(made, streams, strict=True):
            stream.disposition = flags if path.suffix != ".mp4" else flags & ~COVER  # covers are JPEGs only
        for stream, (planes, places, _) in zip(made, streams, strict=True):
            fill(container, stream, frame_of(planes), places)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    "others",
    {
        "one picture, the default": [(GREY, [0], DEFAULT)],
        "one picture without flags, late": [(GREY, [45], 0)],
        "a cover": [(GREY, [0], COVER)],
        "a shorter video": [(GREY, range(20), DEFAULT)],
        "thumbnails as long as the video": [(SMALL, [0, 10, 20, 30, 40, 50], DEFAULT)],
        "large pictures that change twice a second": [(GREY, [0, 12, 24, 36, 48], THUMBNAILS | DEFAULT)],
        "a small copy": [(SMALL, range(50), DEFAULT)],
        "several": [(GREY, [0], DEFAULT), (SMALL, range(0, 50, 5), 0), (GREY, range(9), 0)],
    }.items(),
    ids=lambda others: others[0],
)
def test_the_longest_video_stream_is_read_whatever_its_flags_and_order(
    tmp_path: Path, suffix: str, others: tuple[str, list[Told]]
) -> None:
    video: Told = (VIDEO, range(50), 0)
    for number, streams in enumerate(([video, *others[1]], [*others[1], video])):
        path = write(tmp_path / f"{number}.{suffix}", *streams)
        info = probe(path)
        assert (info.width, info.height) == (96, 64)
        frames = read_frames(path, [0, 30, 49])
        assert frames.indices.tolist() == [0, 30, 49]
        assert np.abs(frames.images[:, 16::32, 24::48].astype(int) - FOUR).max() <= 3
        assert [group.shown for group in stream_pictures(path, lambda *_: [np.arange(3)])] == [50]


def test_a_film_of_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", (VIDEO, [0], DEFAULT))
    assert len(read_frames(path, [0])) == 1
    with open_film(path) as stream:
        assert (stream.width, stream.height) == (96, 64)


def test_cover_art_alone_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        sound = container.add_stream("aac", rate=44100)
        container.add_attachment("cover.png", "image/png", cv2.imencode(".png", quarters())[1].tobytes())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux([*sound.encode(frame), *sound.encode()])
    with pytest.raises(VideoReadError, match="no video stream"):
        read_frames(path, [0])
