"""Videos by URL (https://, s3://, gs://, …): listed remotely, downloaded for reading, and not kept.

A URL is represented as a path like any other: s3:/bucket/a.mp4, which is never a local file name. Only this module
imports fsspec, which supports each kind of store.
"""

import html
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from dfd.errors import ManifestError, VideoReadError
from dfd.types import STILLS, Video
from dfd.videos.files import SUFFIXES

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before each retry of a download."""
TABLES = frozenset({".json", ".csv", ".tsv", ".txt"})
EXTRA = frozenset({"http", "https", "s3", "gs"})
"""Kinds of URLs that the extra dfd[urls] brings packages for; fsspec knows more, each with packages of its own."""
SILENCE = 60.0
"""Seconds that a web server may send nothing. The whole download has no limit but that of its video."""

for _name in ("fsspec", "gcsfs", "s3fs"):  # without a handler, their logs would be pages on stderr
    logging.getLogger(_name).addHandler(logging.NullHandler())


def url_of(path: Path) -> str | None:
    """The URL behind a path; None for the path of a local file.

    >>> url_of(Path("https://host/a%20b.mp4")), url_of(Path("videos/a.mp4"))
    ('https://host/a%20b.mp4', None)
    """
    match = re.match(r"([a-z][a-z0-9+.-]+):/+(?=[^/])", str(path))
    return f"{match[1]}://{str(path)[match.end() :]}" if match else None


def file_name(path: Path) -> str:
    """The name of the file at a URL. A web address is decoded, and has no query.

    >>> file_name(Path("https://host/a%20b.mp4?key=1")), file_name(Path("s3://bucket/a%20b.mp4"))
    ('a b.mp4', 'a%20b.mp4')
    """
    return _decoded(urlsplit(str(path)).path).rpartition("/")[2] if _on_web(path) else path.name


def within(folder: Path, name: str) -> Path:
    """The path of a file that `listed` has found in the folder at a URL.

    >>> within(Path("https://host"), "a #1.mp4").name, within(Path("s3://bucket"), "a #1.mp4").name
    ('a%20%231.mp4', 'a #1.mp4')
    """
    return folder / (quote(name, errors="surrogateescape") if _on_web(folder) else name)


def listed(path: Path) -> list[str]:
    """The files under the folder at a URL, relative to it; empty if the URL is a file.

    What is named like a video or an image is a file: many stores let it be read, but not listed. Left out are names
    that no folder on a disk could hold: with empty parts or "..", or that are also folders. Raises ManifestError if
    nothing is there, or it cannot be listed.
    """
    if PurePosixPath(file_name(path)).suffix.lower() in SUFFIXES | STILLS:
        return []
    try:
        system, place = _opened(path)
        root = place.rstrip("/") + "/"
        found = [str(name) for name in system.find(place)] if system.isdir(place) else []
        there = bool(found) or system.exists(place)
    except Exception as error:  # every kind of store has its own errors  # noqa: BLE001
        raise ManifestError(f"{url_of(path)} cannot be listed: {_line(error)}") from None
    if not there:
        raise ManifestError(f"{url_of(path)} is not there: give a video or a folder of videos")
    below = [name.removeprefix(root) for name in found if name.startswith(root)]
    names = {_decoded(name.partition("?")[0]) for name in below} if _on_web(path) else set(below)
    names = {name for name in names if not {"", ".", ".."} & set(name.split("/"))}
    return sorted(names - {str(folder) for name in names for folder in PurePosixPath(name).parents})


def fetch_tables(path: Path, names: Sequence[str], to: Path) -> None:
    """Copy metadata of videos (JSON, CSV and text) from a URL into a folder. Raises ManifestError."""
    for name in names:
        if Path(name).suffix.lower() in TABLES:
            system, place = _opened(within(path, name))
            try:
                (to / name).write_bytes(system.cat_file(place))
            except Exception as error:  # noqa: BLE001
                raise ManifestError(f"{url_of(path / name)} cannot be read: {_line(error)}") from None


def remote_stamp(path: Path) -> dict[str, int] | None:
    """Size and time in nanoseconds of the file at a URL, 0 if the store does not say; None if there is no file."""
    try:
        system, place = _opened(path)
        about = system.info(place)
    except Exception:  # noqa: BLE001
        return None
    changed = about.get("LastModified") or about.get("mtime")
    seconds = changed.timestamp() if hasattr(changed, "timestamp") else 0.0
    return {"bytes": int(about.get("size") or 0), "modified_ns": int(seconds * 1e9)}


def refusal(path: Path) -> str:
    """The reason why a file or folder at a URL cannot be reached from this machine; empty if it can."""
    try:
        system, place = _opened(path)
        _ = system.ls(place) if _on_web(path) else system.info(place)  # on the web info() hides the reason
    except Exception as error:  # noqa: BLE001
        return _line(error)
    return ""


@contextmanager
def at_hand(video: Video) -> Iterator[Video]:
    """Context with `video` as a local file: itself, or downloaded until the context ends.

    On Linux a downloaded video has no name, so nothing stays on the disk, however this process ends. Raises
    VideoReadError after four failed downloads.
    """
    if url_of(video.path) is None:
        yield video
        return
    nameless = sys.platform == "linux" and not video.still  # an image is recognised by its suffix
    with tempfile.TemporaryFile() if nameless else tempfile.NamedTemporaryFile(suffix=video.path.suffix) as file:
        for pause in (*PAUSES, None):
            try:
                _fetch(video.path, file)
                break
            except Exception as error:  # noqa: BLE001
                if pause is None or isinstance(error, FileNotFoundError | PermissionError):
                    raise VideoReadError(video.path, f"it cannot be fetched: {_line(error)}") from None
                time.sleep(pause)
        yield replace(video, path=Path(f"/proc/self/fd/{file.fileno()}" if nameless else file.name))


def _fetch(path: Path, to: Any) -> None:
    system, place = _opened(path)
    to.seek(0)
    to.truncate()
    if _on_web(path):
        system.get_file(place, to)  # open() first asks for the size, and takes every refusal for a missing file
    else:
        with system.open(place, "rb") as source:
            shutil.copyfileobj(source, to, 1 << 20)
    to.flush()


def _opened(path: Path) -> tuple[Any, str]:
    """The file system of a URL, and the file's path on it."""
    url = url_of(path)
    assert url is not None, path
    try:
        import fsspec  # from the extra dfd[urls], though torch installs it too

        system, place = fsspec.core.url_to_fs(url, **(_patient() if _on_web(path) else {}))
    except ImportError as error:
        kind = url.partition("://")[0]
        what = "pip install 'dfd[urls]'" if kind in EXTRA else _line(error)
        raise OSError(f"{kind}:// takes packages of its own: {what}") from None
    return system, place


def _patient() -> dict[str, Any]:
    """Options for a web server: aiohttp's own limit is five minutes a file, however fast it comes."""
    import aiohttp

    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=SILENCE, sock_read=SILENCE)}}


def _on_web(path: Path) -> bool:
    """Whether the path is a web address, whose special characters are encoded; keys of other stores are plain."""
    return str(path).startswith(("http:", "https:"))


def _decoded(name: str) -> str:
    return unquote(html.unescape(name), errors="surrogateescape")


def _line(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join((str(error) or type(error).__name__).split())[:200]
