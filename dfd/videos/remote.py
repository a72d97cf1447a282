"""Videos by URL (https://, s3://, gs://, …): listed remotely, downloaded for reading, and not kept.

A URL is represented as a path like any other: s3:/bucket/a.mp4, which is never a local file name. Only this module
imports fsspec, which supports each kind of store.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfd.errors import ManifestError, VideoReadError
from dfd.types import Video

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before each retry of a download."""
TABLES = frozenset({".json", ".csv", ".tsv", ".txt"})


def url_of(path: Path) -> str | None:
    """The URL behind a path; None for the path of a local file.

    >>> url_of(Path("https://host/a%20b.mp4")), url_of(Path("videos/a.mp4"))
    ('https://host/a%20b.mp4', None)
    """
    match = re.match(r"([a-z][a-z0-9+.-]+):/+(?=[^/])", str(path))
    return f"{match[1]}://{str(path)[match.end() :]}" if match else None


def listed(path: Path) -> list[str]:
    """The files under the folder at a URL, relative to it; empty if the URL is a file.

    Raises ManifestError if it cannot be listed.
    """
    try:
        system, place = _opened(path)
        if not system.isdir(place):
            return []
        root = place.rstrip("/") + "/"
        found = [str(name) for name in system.find(place)]
        return sorted(name.removeprefix(root) for name in found if name.startswith(root))
    except Exception as error:  # every kind of store has its own errors  # noqa: BLE001
        raise ManifestError(f"{url_of(path)} cannot be listed: {_line(error)}") from None


def fetch_tables(path: Path, names: Sequence[str], to: Path) -> None:
    """Copy metadata of videos (JSON, CSV and text) from a URL into a folder. Raises ManifestError."""
    system, place = _opened(path)
    for name in names:
        if Path(name).suffix.lower() in TABLES:
            try:
                (to / name).write_bytes(system.cat_file(f"{place.rstrip('/')}/{name}"))
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
                if pause is None or isinstance(error, FileNotFoundError):
                    raise VideoReadError(video.path, f"it cannot be fetched: {_line(error)}") from None
                time.sleep(pause)
        yield replace(video, path=Path(f"/proc/self/fd/{file.fileno()}" if nameless else file.name))


def _fetch(path: Path, to: Any) -> None:
    system, place = _opened(path)
    to.seek(0)
    to.truncate()
    with system.open(place, "rb") as source:
        shutil.copyfileobj(source, to, 1 << 20)
    to.flush()


def _opened(path: Path) -> tuple[Any, str]:
    """The file system of a URL, and the file's path on it."""
    url = url_of(path)
    assert url is not None, path
    try:
        import fsspec  # from the extra dfd[urls], though torch installs it too

        system, place = fsspec.core.url_to_fs(url)
    except ImportError:
        raise OSError(f"{url.partition('://')[0]}:// takes packages of its own: pip install 'dfd[urls]'") from None
    return system, place


def _line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
