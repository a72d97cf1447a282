"""List videos with their metadata: from a file, a folder in a known layout, or a sample submission."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dfd.errors import ManifestError
from dfd.types import Video
from dfd.videos.files import below
from dfd.videos.found import Found, unlabelled
from dfd.videos.labels import read_known, rows
from dfd.videos.layouts import understood
from dfd.videos.listed import place
from dfd.videos.names import Names

TABLES = frozenset({".csv", ".tsv", ".json", ".txt"})
"""Suffixes of files that list videos."""


def read_videos(path: Path | str, unlisted: bool = False) -> list[Video]:
    """The videos of read_folder, sorted by name."""
    return list(read_folder(path, unlisted).videos)


def read_folder(path: Path | str, unlisted: bool = False) -> Found:
    """List the videos of `path`, sorted by name, and describe its layout.

    path: one video or image, or a folder in one of layouts.LAYOUTS. A video's name is its path in the folder, or the
    name in a file of labels. A fake's source is the name of its original, whether that exists or not. In a
    metadata.json "original" may be a list, whose first entry is the source, and "person" a name or a list; in a CSV
    several people are separated by spaces. unlisted: include videos that a file of labels leaves out, without a label.

    Raises ManifestError: nothing there, no videos, or a malformed file of labels.
    """
    path = Path(path)
    if not path.exists():
        raise ManifestError(f"{path} is not there: give a video or a folder of videos")
    if not path.is_dir():
        if path.suffix.lower() in TABLES:
            raise ManifestError(f"{path} is a table, not a video: give a video, or the folder that holds the videos")
        return Found((Video(path, path.name),))
    tree = below(path)
    found = understood(tree)
    found = found.with_unlisted() if unlisted else found
    note = _unread(tree.unread)
    if not found.videos:
        raise ManifestError(
            f"{path}: {note}"
            if note
            else f"{path} holds no videos and no pictures that dfd reads (see `dfd faces --help`)"
        )
    return replace(found, notes=(*found.notes, note)) if note and not tree.videos else found


def _unread(names: Sequence[str]) -> str:
    """A note on unsupported images, if any.

    >>> _unread(["a/1.heic", "a/2.HEIC"]), _unread([])
    ('2 pictures are not read, first a/1.heic: convert HEIC to JPEG or PNG.', '')
    """
    count = f"{len(names):,} picture{'s are' if len(names) != 1 else ' is'}"
    kinds = ", ".join(sorted({Path(name).suffix[1:].upper() for name in names}))
    return f"{count} not read, first {names[0]}: convert {kinds} to JPEG or PNG." if names else ""


def named(paths: Sequence[Path]) -> list[Video]:
    """The videos in these files, each once, named by file name, or by whole path if two have the same name.

    >>> [video.name for video in named([Path("a/x.mp4"), Path("b/x.mp4"), Path("y.mp4"), Path("y.mp4")])]
    ['a/x.mp4', 'b/x.mp4', 'y.mp4']
    """
    once = list(dict.fromkeys(paths))
    times = Counter(path.name for path in once)
    return [Video(path, path.name if times[path.name] == 1 else path.as_posix()) for path in once]


def read_sample(path: Path | str, folder: Path | str) -> list[Video]:
    """The videos of read_asked, in its order."""
    return list(read_asked(path, folder).videos)


def read_asked(path: Path | str, folder: Path | str, unlisted: bool = False) -> Found:
    """The videos listed in a sample_submission.csv, in its order, unlabelled. Their files in `folder` may be missing.

    path: may also be a metadata.json, or Celeb-DF's list of test videos. unlisted: append the other videos of `folder`.
    Raises ManifestError: no such file or folder, no column filename, no rows, a name twice or one outside `folder`.
    """
    path, folder = Path(path), Path(folder)
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder: give the one with the videos of {path}")
    lists = path.suffix.lower() in (".json", ".txt")
    asked = list(read_known(path)) if lists else [name for name, _ in rows(path, ("filename",))]
    tree = below(folder)
    names = Names((*tree.videos, *tree.stills, *tree.others))
    videos = [Video(place(names, folder, name, path), name) for name in asked]
    taken = {video.path for video in videos}
    left_out = unlabelled({name: film for name, film in tree.films.items() if film not in taken})
    layout, why = f"what {path.name} asks for", f"not in {path.name}"
    if unlisted:
        return Found((*videos, *left_out), layout)
    return Found(tuple(videos), layout, left_out=left_out, why=why)
