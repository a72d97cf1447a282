import os

import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.videos import fallback
from dfd.videos.decode import read_frames
from dfd.videos.encode import write_video
from dfd.videos.fallback import open_source
from tests.conftest import moving_face


def refuse(path):
    raise VideoReadError(path, "no picture decodes")


def test_pyav_reads_what_it_can(face_video):
    source = open_source(face_video)
    assert source.decoder == "pyav"
    assert [len(frames) for frames in source.stream(20, None)] == [20, 20, 5]


def test_decord_gives_the_same_pictures_where_pyav_finds_none(face_video, monkeypatch):
    wanted = read_frames(face_video, range(45))
    monkeypatch.setattr(fallback, "probe", refuse)
    source = open_source(face_video)
    assert source.decoder == "decord"
    assert (source.info.width, source.info.height, source.info.frames, source.info.fps) == (320, 240, 45, 15.0)
    chunks = list(source.stream(20, None))
    assert [frames.indices.tolist() for frames in chunks] == [[*range(20)], [*range(20, 40)], [*range(40, 45)]]
    assert np.array_equal(np.concatenate([frames.rgb() for frames in chunks]), wanted.images)


def test_where_both_fail_it_is_pyavs_reason_and_nothing_is_printed(tmp_path, capfd):
    write_video(tmp_path / "a.mp4", moving_face(3), 15)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(VideoReadError, match="no picture decodes"):
        open_source(tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"#EXTM3U\nwhole.mp4\n", b"ffconcat version 1.0\n", b"<MPD/>", b"", b"ftyp"])
def test_decord_never_sees_what_could_name_another_file(tmp_path, monkeypatch, content):
    monkeypatch.setattr(fallback, "_open_with_decord", lambda _: pytest.fail("decord was asked"))
    (tmp_path / "list.mp4").write_bytes(content)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("list.mp4", "pipe.mp4", "folder.mp4", "gone.mp4"):
        with pytest.raises(VideoReadError):
            open_source(tmp_path / name)
