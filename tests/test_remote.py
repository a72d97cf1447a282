"""Videos by URL, from servers on loopback that can be made to fail: of files, of Amazon's API, of Google's."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from dfd.errors import ManifestError, VideoReadError
from dfd.faces.written import file_stamp
from dfd.types import Video
from dfd.videos import remote
from dfd.videos.inputs import found_at
from dfd.videos.remote import at_hand, listed, url_of

pytestmark = pytest.mark.timeout(120)  # a store that never answers must not hold up the suite


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


def test_a_download_that_is_cut_or_falls_silent_is_tried_again(server, monkeypatch):
    monkeypatch.setattr(remote, "SILENCE", 0.3)
    for name, faults in (("cut.mp4", server.cut), ("silent.mp4", server.silent)):
        (server.folder / name).write_bytes(bytes(99))
        faults[name] = 2
        with at_hand(Video(server.place / name, name)) as here:
            assert here.path.read_bytes() == bytes(99)
        assert server.asked[name] == 3


NAMES = ("a b.mp4", "é #1?.mp4", "part/100%25.mp4", "c&d+e;f.mp4")


def test_names_on_the_web_are_decoded_and_match_their_labels(server):
    (server.folder / "part").mkdir()
    for name in NAMES:
        (server.folder / name).write_text(name)
    (server.folder / "metadata.json").write_text(json.dumps({name: {"label": "FAKE"} for name in NAMES}))
    found = found_at(server.place).videos
    assert {video.name: video.label for video in found} == dict.fromkeys(NAMES, 1)
    for video in found:
        with at_hand(video) as here:
            assert here.path.read_text() == video.name
    assert found_at(Path(f"{url_of(server.place)}/a%20b.mp4?key=a/b")).videos[0].name == "a b.mp4"


def test_a_folder_is_listed_recursively(server):
    (server.folder / "part").mkdir()
    for name in ("b.mp4", "part/a.mp4"):
        (server.folder / name).touch()
    assert listed(server.place) == ["b.mp4", "part/a.mp4"]
    assert listed(server.place / "b.mp4") == []
    (server.folder / "index.html").write_text('<a href="?C=N;O=D"><a href="/"><a href="a.mp4"><a href="%2e%2e/x.mp4">')
    assert listed(server.place) == ["a.mp4"]
    with pytest.raises(ManifestError, match="none is not there: give a video or a folder of videos"):
        listed(server.place / "none")
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


def test_a_bucket_is_listed_and_read_like_a_folder(bucket):
    """Keys may be names that no folder could hold: these are left out."""
    real = {f"set 1/{name}": name.encode() for name in NAMES}
    labels = json.dumps({name: {"label": "REAL"} for name in NAMES}).encode()
    odd = ("set 1/", "set 1/part/", "set 1//b.mp4", "set 1/../b.json", "set 1/./c.mp4", "set 2/d.mp4")
    bucket.files |= {**real, **dict.fromkeys(odd, b""), "set 1/metadata.json": labels}
    found = found_at(bucket.place / "set 1").videos
    assert {video.name: video.label for video in found} == dict.fromkeys(NAMES, 0)
    assert {url_of(video.path) for video in found} == {f"{url_of(bucket.place)}/{key}" for key in real}
    for video in found:
        with at_hand(video) as here:
            assert here.path.read_bytes() == video.name.encode()
        assert file_stamp(video.path) == {"bytes": len(video.name.encode()), "modified_ns": 1_704_067_200 * 10**9}


def test_what_a_bucket_refuses_has_a_reason(bucket):
    bucket.files |= {"a.mp4": b"a", "refused.mp4": b"no", "part/b.mp4": b"b"}
    bucket.refused.add("refused.mp4")
    for name, reason in (("refused.mp4", "Denied|Forbidden"), ("none.mp4", "there is no such file")):
        video = Video(bucket.place / name, name)
        with pytest.raises(VideoReadError, match=f"it cannot be fetched: .*({reason})"), at_hand(video):
            pass
    for place in (bucket.place / "none", Path(f"{bucket.place}s")):
        with pytest.raises(ManifestError, match=f"{url_of(place)} is not there: give a video or a folder of videos"):
            listed(place)


def test_a_video_is_read_from_a_bucket_that_may_not_be_listed(bucket):
    bucket.private, bucket.files["part/b.mp4"] = True, b"b"
    with pytest.raises(ManifestError, match="part cannot be listed: .*(Denied|Forbidden)"):
        listed(bucket.place / "part")
    (video,) = found_at(bucket.place / "part/b.mp4").videos
    with at_hand(video) as here:
        assert here.path.read_bytes() == b"b"


@pytest.mark.parametrize("fault", [503, "cut", "slow"])
def test_a_fault_of_a_store_is_survived_in_silence(bucket, fault, capfd):
    bucket.files["a.mp4"] = bytes(999)
    bucket.faults["a.mp4"] = [fault]
    with at_hand(Video(bucket.place / "a.mp4", "a.mp4")) as here:
        assert here.path.read_bytes() == bytes(999)
    assert bucket.asked["a.mp4"] == (1 if fault == "slow" else 2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)  # gcsfs takes a minute to give up
def test_a_download_that_is_always_cut_is_given_up(bucket, capfd):
    bucket.files["a.mp4"], bucket.faults["a.mp4"] = bytes(999), ["cut"] * 9
    with pytest.raises(VideoReadError, match="it cannot be fetched: .*not completed"):
        at_hand(Video(bucket.place / "a.mp4", "a.mp4")).__enter__()
    assert bucket.asked["a.mp4"] == 4
    assert capfd.readouterr() == ("", "")


def test_without_its_package_the_extra_is_named(monkeypatch):
    from fsspec.registry import _registry

    for name in ("s3fs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(ManifestError, match=r"^s3://b/a cannot be listed: s3:// takes .*: pip install 'dfd\[urls\]'$"):
        listed(Path("s3://b/a"))
    with pytest.raises(ManifestError, match=r"abfs:// takes packages of its own: Install adlfs"):
        listed(Path("abfs://b/a"))
