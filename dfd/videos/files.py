"""Find the videos below a folder: by the suffixes of their names, or else by their first bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dfd.errors import ManifestError
from dfd.types import STILLS

SUFFIXES = frozenset(
    (
        ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m2t", ".m2ts", ".m4v", ".mkv", ".mov",
        ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".tod", ".ts", ".vob", ".webm", ".wmv",
    )
)  # fmt: skip
"""Suffixes of videos. A file with an unknown suffix is a video if its first bytes say so."""
ANIMATED = ".gif"
"""Read as a video, unless the folder holds images: then it is ignored."""
UNREAD = frozenset({".arw", ".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".hif", ".jp2", ".jxl", ".nef"})
"""Suffixes of unsupported images: iPhones' HEIC, raw formats of cameras, and animations."""
SCRIPTS = frozenset({".ts", ".mts"})
"""Suffixes shared with TypeScript: text files are not videos."""
OTHERS = frozenset(
    (
        ".aac", ".ac3", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".m4b", ".mka", ".mks", ".mp3", ".oga", ".ogg",
        ".opus", ".ra", ".wav", ".wma",
        ".!ut", ".aria2", ".bc!", ".crdownload", ".download", ".filepart", ".opdownload", ".tmp",
        ".unconfirmed", ".ytdl",
        ".csv", ".json", ".txt",
    )
)  # fmt: skip
"""Suffixes of audio, partial downloads, lists and notes. These files are not opened."""
PARTIAL = (".part", ".aria2", ".crdownload")
"""A second file with a video's name plus one of these suffixes marks the video as a partial download."""
BEGINNINGS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),  # MP4, QuickTime
    (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (29, b"theora"),  # Matroska, AVI, Flash, Ogg
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"\x00\x00\x01\xba"),  # ASF and WMV, MPEG
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"), (0, b"\x1f\x07\x00"), (0, b"GIF8"),  # MXF, DV, GIF
)  # fmt: skip
"""Signatures of video files: (offset, bytes)."""
NO_FILMS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"M4A ", b"M4B ", b"crx ")
"""MP4 brands of images or audio."""
PACKETS = ((0, 188), (4, 192))
"""Offset of the first packet in an MPEG transport stream, and packet length. Each packet starts with 0x47."""
HEAD = 512
"""Number of bytes examined."""
PASSED_OVER = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders of operating systems, to be ignored."""


@dataclass(frozen=True)
class Tree:
    """The contents of a folder, by relative path with forward slashes: videos, images, and other names.

    Includes files that are named like a video but are not one or cannot be read; opening them records the failure.
    """

    root: Path
    videos: dict[str, Path] = field(default_factory=dict)
    stills: dict[str, Path] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @property
    def films(self) -> dict[str, Path]:
        """The videos; the images if there are no videos."""
        return self.videos or self.stills

    @property
    def unread(self) -> list[str]:
        """Names of images in unsupported formats."""
        return [name for name in self.others if Path(name).suffix.lower() in UNREAD]

    def called(self, *names: str) -> list[str]:
        """The other files with one of these (lower-case) names, in any folder and case."""
        return [other for other in self.others if other.rpartition("/")[2].lower() in names]


def below(root: Path) -> Tree:
    """List everything below a folder, sorted, except hidden files (such as macOS's ._a.mp4) and partial downloads.

    Links are followed, but no folder is listed twice. Raises ManifestError for a folder that cannot be listed.
    """
    tree, animated = Tree(root), dict[str, Path]()
    for name, path in _walk(root, "", {root.resolve()}):
        if path.suffix.lower() == ANIMATED:
            animated[name] = path
        elif is_video(path):
            tree.videos[name] = path
        elif path.suffix.lower() in STILLS:
            tree.stills[name] = path
        else:
            tree.others.append(name)
    if tree.stills:
        tree.others.extend(animated)
    else:
        tree.videos.update(animated)
    return tree


def _walk(folder: Path, prefix: str, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of each file. seen: resolved folders listed so far, the root first."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ManifestError(f"{folder} cannot be listed: {error.strerror}; take it away, or let it be read") from None
    names = {entry.name for entry in entries}
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name in PASSED_OVER:
            continue
        if path.suffix.lower() in SUFFIXES or not _is_folder(
            entry
        ):  # a folder named like a video is reported when it is opened
            if not any(entry.name + end in names for end in PARTIAL):
                yield prefix + entry.name, path
            continue
        place = path.resolve()
        if place not in seen and not (entry.is_symlink() and _met_anyway(place, seen)):
            seen.add(place)
            yield from _walk(path, f"{prefix}{entry.name}/", seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one. A link to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _met_anyway(place: Path, seen: set[Path]) -> bool:
    """Whether a linked folder is listed anyway, or contains one that is (a loop)."""
    return any(place.is_relative_to(other) or other.is_relative_to(place) for other in seen)


def is_video(path: Path) -> bool:
    """Whether a file is a video, by the suffix of its name, or else by its first bytes.

    >>> [is_video(Path(name)) for name in ("a.MTS", "a.mp4", "a.mp4.part", "a.mp3", "a.jpg", "no such file")]
    [True, True, False, False, False, False]
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix not in SCRIPTS or not _is_text(_head(path))
    if suffix in OTHERS | STILLS or suffix.startswith(PARTIAL):
        return False
    return begins_as_video(_head(path))


def begins_as_video(head: bytes) -> bool:
    """Whether these first bytes of a file are those of a video format.

    >>> begins_as_video(bytes(4) + b"ftypisom"), begins_as_video(bytes(4) + b"ftypheic"), begins_as_video(b"text")
    (True, False, False)
    """
    if head[4:8] == b"ftyp" and head[8:12] in NO_FILMS:
        return False
    if any(head.startswith(mark, place) for place, mark in BEGINNINGS):
        return True
    return any(head[first : first + 2 * step : step] == b"GG" for first, step in PACKETS)


def _head(path: Path) -> bytes:
    """The first bytes of a file; empty if it cannot be read or is not a regular file, since a pipe might never end."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _is_text(head: bytes) -> bool:
    """Whether the bytes are text. A transport stream has zeros within its first packets."""
    return bool(head) and min(head) >= ord("\t")
