"""Videos by URL, from a loopback server that can be made to fail."""

import shutil
from pathlib import Path

import pytest

from dfd.errors import ManifestError, VideoReadError
from dfd.faces.written import file_stamp
from dfd.types import Video
from dfd.videos.remote import at_hand, listed, url_of


def test_urls_are_distinguished_from_paths():
    assert url_of(Path("s3://bucket/a/b.mp4")) == "s3://bucket/a/b.mp4"
    assert url_of(Path("s3://bucket") / "b.mp4") == "s3://bucket/b.mp4"
    for path in ("a.mp4", "/s3:/a.mp4", "C:/a.mp4", "s3:", "a/s3://b"):
        assert url_of(Path(path)) is None


def test_a_fetched_file_is_identical_and_temporary(server):
    (server.folder / "a.mp4").write_bytes(b"twelve bytes")
    video = Video(server.place / "a.mp4", "a.mp4", 1)
    with at_hand(video) as here:
        assert here.path.read_bytes() == b"twelve bytes"
        assert (here.name, here.label) == ("a.mp4", 1)
        left = here.path.readlink() if here.path.is_symlink() else here.path
        assert not left.exists()
    assert not here.path.exists()
    assert file_stamp(video.path)["bytes"] == 12
    assert file_stamp(server.place / "b.mp4") is None


def test_a_fetch_is_tried_four_times(server):
    for name, times in (("late.mp4", 3), ("never.mp4", 4)):
        (server.folder / name).write_bytes(b"it")
        server.busy[name] = times
    with at_hand(Video(server.place / "late.mp4", "late.mp4")) as here:
        assert here.path.read_bytes() == b"it"
    with pytest.raises(VideoReadError, match="cannot be fetched: 503"), at_hand(Video(server.place / "never.mp4", "n")):
        pass
    with pytest.raises(VideoReadError, match="cannot be fetched"), at_hand(Video(server.place / "no.mp4", "no.mp4")):
        pass
    assert server.asked["no.mp4"] == 1


def test_a_folder_is_listed_recursively(server):
    (server.folder / "part").mkdir()
    for name in ("b.mp4", "part/a.mp4"):
        (server.folder / name).touch()
    assert listed(server.place) == ["b.mp4", "part/a.mp4"]
    assert listed(server.place / "b.mp4") == []
    with pytest.raises(ManifestError, match="127.0.0.1:1/videos cannot be listed"):
        listed(Path("http://127.0.0.1:1/videos"))


def test_a_video_by_url_has_the_same_faces_as_its_file(server, face_video, tmp_path):
    from dfd.faces.recorder import in_memory
    from dfd.faces.tracklets import FacesConfig

    shutil.copy(face_video, server.folder / "face.mp4")
    config = FacesConfig(size=64, detect_side=320)
    far, near = (in_memory(Video(place, "face.mp4"), config) for place in (server.place / "face.mp4", face_video))
    assert far.tracklets
    assert [t.film for t in far.tracklets] == [t.film for t in near.tracklets]
