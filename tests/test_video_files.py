"""Recognizing video files: small real ones in every container that can be written here, and lookalikes."""

import os

import av
import numpy as np
import pytest

from dfd.videos.decode import probe
from dfd.videos.files import below, is_video

WRITTEN = {
    ".mp4": ("mp4", "mpeg4"), ".mov": ("mov", "mpeg4"), ".m4v": ("mp4", "mpeg4"), ".3gp": ("3gp", "mpeg4"),
    ".avi": ("avi", "mpeg4"), ".mkv": ("matroska", "mpeg4"), ".flv": ("flv", "flv"), ".wmv": ("asf", "wmv2"),
    ".asf": ("asf", "wmv2"), ".ts": ("mpegts", "mpeg2video"), ".MTS": ("mpegts", "mpeg2video"),
    ".mpg": ("mpeg", "mpeg2video"), ".mpeg": ("mpeg", "mpeg2video"), ".vob": ("vob", "mpeg2video"),
    ".mxf": ("mxf", "mpeg2video"), ".gif": ("gif", "gif"), ".webm": ("webm", "libvpx"), ".dv": ("dv", "dvvideo"),
}  # fmt: skip
"""Container and codec by suffix."""


def film(path, suffix):
    """Write six pictures of the codec's smallest size."""
    container, codec = WRITTEN[suffix]
    width, height = (720, 576) if codec == "dvvideo" else (64, 48)
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for grey in range(6):
            picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 40 * grey, np.uint8))
            file.mux(stream.encode(picture.reformat(format=pixels)))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_decodable_video_counts(tmp_path, suffix):
    path = film(tmp_path / f"a{suffix}", suffix)
    assert is_video(path)
    assert list(below(tmp_path).videos) == [path.name]
    assert probe(path).width in (64, 768)  # PAL DV: 720 pixels, each slightly wider than high


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_video_without_a_suffix_is_recognized_by_its_first_bytes(tmp_path, suffix):
    film(tmp_path / "camera", suffix)
    film(tmp_path / "clip.bin", suffix)
    assert list(below(tmp_path).videos) == ["camera", "clip.bin"]


def test_other_files_are_not_videos(tmp_path):
    whole = film(tmp_path / "a.mp4", ".mp4").read_bytes()
    partial = ["b.mp4.part", "c.mp4.crdownload", "d.mp4.part-Frag12", "e.mp4.!ut", "f.mp4.aria2", "g.partial"]
    for name in [*partial, "._a.mp4", ".h.mp4", "f.mp4"]:
        (tmp_path / name).write_bytes(whole)
    for folder in (".trash", "__MACOSX"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "i.mp4").write_bytes(whole)
    (tmp_path / "code.ts").write_text("export const a = 1;\n" * 99)
    (tmp_path / "photo.heic").write_bytes(bytes(4) + b"ftypheic" + bytes(99))
    (tmp_path / "sound.m4a").write_bytes(bytes(4) + b"ftypM4A " + bytes(99))
    (tmp_path / "notes").write_text("GGG")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert list(below(tmp_path).videos) == ["a.mp4"]


def test_links_are_followed_and_loops_end(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for name in ("in/a/1.mp4", "out/deep/2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (inside / "a" / "up").symlink_to(inside)
    (inside / "again").symlink_to(inside / "a")
    (inside / "disk").symlink_to(outside)
    (inside / "disk 2").symlink_to(outside)
    (inside / "above").symlink_to(tmp_path)
    (inside / "self").symlink_to(inside / "self")
    (outside / "back").symlink_to(inside)
    assert list(below(inside).videos) == ["a/1.mp4", "disk/deep/2.mp4"]
