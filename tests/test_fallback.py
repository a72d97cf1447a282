import os

import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.videos import fallback
from dfd.videos.decode import read_frames
from dfd.videos.encode import write_video
from dfd.videos.fallback import open_source
from tests.conftest import moving_face


def thirds(frames, fps):
    """A plan: all frames, in three groups."""
    return np.split(np.arange(frames), 3)


def refuse(path):
    raise VideoReadError(path, "no picture decodes")


def test_pyav_is_used_when_it_can_read_the_file(face_video):
    source = open_source(face_video)
    assert source.caveats == ()
    assert [len(pictures) for pictures in source.stream(thirds)] == [15, 15, 15]


def test_decord_gives_the_same_pictures_when_pyav_finds_none(face_video, monkeypatch):
    wanted = read_frames(face_video, range(45))
    monkeypatch.setattr(fallback, "Footage", refuse)
    source = open_source(face_video)
    assert source.caveats == ("read by decord",)
    groups = list(source.stream(thirds))
    assert [pictures.indices.tolist() for pictures in groups] == [[*range(15)], [*range(15, 30)], [*range(30, 45)]]
    assert {(pictures.shown, pictures.fps, pictures.missing) for pictures in groups} == {(45, 15.0, 0)}
    assert np.array_equal(np.concatenate([pictures.rgb() for pictures in groups]), wanted.images)


def test_decord_reads_the_planned_frames_and_counts_missing_ones(face_video, monkeypatch):
    wanted = read_frames(face_video, range(45))
    monkeypatch.setattr(fallback, "Footage", refuse)
    plan = [np.array(group, np.int64) for group in ([3, 5, 8], [], [20], [40, 44, 45, 99], [200])]
    groups = list(open_source(face_video).stream(lambda *_: plan))
    assert [pictures.indices.tolist() for pictures in groups] == [[3, 5, 8], [], [20], [40, 44], []]
    assert [pictures.missing for pictures in groups] == [0, 0, 0, 2, 1]
    assert all(np.array_equal(pictures.rgb(), wanted.images[pictures.indices]) for pictures in groups if len(pictures))


def test_if_both_fail_pyavs_reason_is_given_and_nothing_printed(tmp_path, capfd):
    write_video(tmp_path / "a.mp4", moving_face(3), 15)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(VideoReadError, match="no picture decodes"):
        open_source(tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"#EXTM3U\nwhole.mp4\n", b"ffconcat version 1.0\n", b"<MPD/>", b"", b"ftyp"])
def test_decord_never_gets_a_file_that_could_reference_another(tmp_path, monkeypatch, content):
    monkeypatch.setattr(fallback, "_open_with_decord", lambda _: pytest.fail("decord was asked"))
    (tmp_path / "list.mp4").write_bytes(content)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("list.mp4", "pipe.mp4", "folder.mp4", "gone.mp4"):
        with pytest.raises(VideoReadError):
            open_source(tmp_path / name)
