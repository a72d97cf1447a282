"""Which files below a folder are videos: by the ends of their names, and where these do not say, by how they begin."""

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
"""How files end that are videos. Of another end, a file is one where it begins as one."""
ANIMATED = ".gif"
"""Is read as a video, unless the folder holds pictures: then it is none of them."""
UNREAD = frozenset({".arw", ".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".hif", ".jp2", ".jxl", ".nef"})
"""Ends of pictures that are not read: iPhones' HEIC, raw formats of cameras, and animations."""
SCRIPTS = frozenset({".ts", ".mts"})
"""Ends that TypeScript has too: a text is no video."""
OTHERS = frozenset(
    (
        ".aac", ".ac3", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".m4b", ".mka", ".mks", ".mp3", ".oga", ".ogg",
        ".opus", ".ra", ".wav", ".wma",
        ".!ut", ".aria2", ".bc!", ".crdownload", ".download", ".filepart", ".opdownload", ".tmp",
        ".unconfirmed", ".ytdl",
        ".csv", ".json", ".txt",
    )
)  # fmt: skip
"""Ends of sound, of downloads that are not whole, and of lists and notes: such a file is not opened."""
PARTIAL = (".part", ".aria2", ".crdownload")
"""With one of these after its name, a second file says that a video is not whole yet."""
BEGINNINGS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),  # MP4, QuickTime
    (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (29, b"theora"),  # Matroska, AVI, Flash, Ogg
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"\x00\x00\x01\xba"),  # ASF and WMV, MPEG
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"), (0, b"\x1f\x07\x00"), (0, b"GIF8"),  # MXF, DV, GIF
)  # fmt: skip
"""Where in a file that is a video stands what."""
NO_FILMS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"M4A ", b"M4B ", b"crx ")
"""Kinds of MP4 that are pictures or sound."""
PACKETS = ((0, 188), (4, 192))
"""Where an MPEG transport stream's first packet begins, and after how many bytes the next: each with 0x47."""
HEAD = 512
"""Bytes that are looked at."""
PASSED_OVER = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders of operating systems."""


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, by its path within, with forward slashes: videos, pictures, and other names.

    Also what is called a video and is none, or cannot be read: it is put on record when it is opened.
    """

    root: Path
    videos: dict[str, Path] = field(default_factory=dict)
    stills: dict[str, Path] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @property
    def films(self) -> dict[str, Path]:
        """The videos; where there are none, the pictures."""
        return self.videos or self.stills

    @property
    def unread(self) -> list[str]:
        """Names of pictures of kinds that are not read."""
        return [name for name in self.others if Path(name).suffix.lower() in UNREAD]

    def called(self, *names: str) -> list[str]:
        """The other files of one of these names, which are in lower case, whatever their folder and case."""
        return [other for other in self.others if other.rpartition("/")[2].lower() in names]


def below(root: Path) -> Tree:
    """Everything below a folder, sorted, less hidden files, such as macOS's ._a.mp4, and partial downloads.

    A link is followed, but no folder is listed twice. Raises ManifestError for a folder that cannot be listed.
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
    """(name, path) of each file. seen: the resolved folders that are listed already, the root first."""
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
    """Whether it is one, or a link to one; a link to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _met_anyway(place: Path, seen: set[Path]) -> bool:
    """Whether a link's folder is listed without it, or holds one that is: a loop."""
    return any(place.is_relative_to(other) or other.is_relative_to(place) for other in seen)


def is_video(path: Path) -> bool:
    """Whether a file is a video, by the end of its name; where that does not say, by how it begins.

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
    """Whether a file of these first bytes is of a kind that videos are.

    >>> begins_as_video(bytes(4) + b"ftypisom"), begins_as_video(bytes(4) + b"ftypheic"), begins_as_video(b"text")
    (True, False, False)
    """
    if head[4:8] == b"ftyp" and head[8:12] in NO_FILMS:
        return False
    if any(head.startswith(mark, place) for place, mark in BEGINNINGS):
        return True
    return any(head[first : first + 2 * step : step] == b"GG" for first, step in PACKETS)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none of what cannot be read, or is no file: a pipe would not end."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _is_text(head: bytes) -> bool:
    """A transport stream has zeros within its first packets."""
    return bool(head) and min(head) >= ord("\t")
