from pathlib import Path

import pytest

from dfd.errors import ConfigError, ManifestError
from dfd.types import Video
from dfd.videos.inputs import found_at, placed, shard_of
from dfd.videos.remote import url_of


def test_a_folder_by_url_is_read_like_a_local_one(server):
    for name in ("a.mp4", "b.MOV", "note.rst"):
        (server.folder / name).touch()
    there = url_of(server.place)
    videos = found_at(server.place).videos
    assert [(v.name, v.label, url_of(v.path)) for v in videos] == [
        ("a.mp4", None, f"{there}/a.mp4"),
        ("b.MOV", None, f"{there}/b.MOV"),
    ]
    (server.folder / "metadata.json").write_text('{"a.mp4": {"label": "FAKE", "original": "b.MOV"}}')
    assert [(v.name, v.label, v.source, v.path) for v in found_at(server.place).videos] == [
        ("a.mp4", 1, "b.MOV", server.place / "a.mp4")
    ]
    assert found_at(server.place / "a.mp4").videos == (Video(server.place / "a.mp4", "a.mp4"),)
    server.busy["metadata.json"] = 9
    with pytest.raises(ManifestError, match="metadata.json cannot be read: 503"):
        found_at(server.place)


def test_paths_are_resolved_against_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert placed(Path("a")) == tmp_path / "a"
    assert placed(Path("s3://a/b")) == Path("s3:/a/b")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "", "-1/2", "1/2/3", "²/3", "9" * 12 + "/1"])
def test_a_nonexistent_part_is_refused(shard):
    with pytest.raises(ConfigError, match="give I/N, as in 2/8"):
        shard_of([Video(Path("a"), "a")] * 4, shard)


def test_parts_hold_each_video_once():
    videos = [Video(Path(str(n)), str(n)) for n in range(11)]
    parts = [shard_of(videos, f"{part}/4") for part in (1, 2, 3, 4)]
    assert sorted(int(v.name) for part in parts for v in part) == list(range(11))
    assert {len(part) for part in parts} == {2, 3}
    with pytest.raises(ConfigError, match="only 11 videos"):
        shard_of(videos, "12/12")
