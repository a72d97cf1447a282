"""Resolve a command's input: the videos of a local folder or a URL, all or one shard of them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dfd.errors import ConfigError
from dfd.types import Video
from dfd.videos.found import Found
from dfd.videos.manifest import read_folder
from dfd.videos.remote import fetch_tables, file_name, listed, url_of, within


def placed(path: Path) -> Path:
    """Make a path valid on every machine: a URL unchanged, other paths absolute."""
    return path if url_of(path) else path.absolute()


def found_at(path: Path, unlisted: bool = False) -> Found:
    """Find videos like read_folder, at a path or a URL: a single video, or a folder in any layout.

    Raises what read_folder does; ManifestError if a URL cannot be listed.
    """
    if not url_of(path):
        return read_folder(placed(path), unlisted)
    names = listed(path)
    if not names:
        return Found((Video(path, file_name(path)),))
    with TemporaryDirectory(prefix="dfd-listed-") as folder:
        skeleton = Path(folder) / "videos"  # empty files with the same names: they reveal the layout
        for name in names:
            (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
            (skeleton / name).touch()
        fetch_tables(path, names, skeleton)
        found = read_folder(skeleton, unlisted)
        return replace(
            found, videos=_moved(found.videos, skeleton, path), left_out=_moved(found.left_out, skeleton, path)
        )


def _moved(videos: Sequence[Video], here: Path, there: Path) -> tuple[Video, ...]:
    """The same videos with paths in another folder."""
    return tuple(replace(video, path=within(there, video.path.relative_to(here).as_posix())) for video in videos)


def shard_of(videos: Sequence[Video], shard: str | None) -> list[Video]:
    """Shard I of N, as in "2/8": every N-th of `videos` from the I-th on; all if None. Raises ConfigError.

    >>> videos = [Video(Path(name), name) for name in "abcde"]
    >>> [video.name for part in ("1/2", "2/2", None) for video in shard_of(videos, part)]
    ['a', 'c', 'e', 'b', 'd', 'a', 'b', 'c', 'd', 'e']
    """
    if shard is None:
        return list(videos)
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", shard)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(f"--shard is {shard!r}: give I/N, as in 2/8, with I from 1 to N")
    if part > len(videos):
        raise ConfigError(f"--shard is {shard}, and there are only {len(videos)} videos: split them into fewer parts")
    return list(videos[part - 1 :: parts])
