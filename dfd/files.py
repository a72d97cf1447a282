"""Atomic writes: a file is written under a temporary name in its folder, then renamed. Digests. JSON files.

No other module writes or hashes files that are kept. Temporary names are unique across processes and machines: two may
write the same file at once, and the last to finish wins. `durable` files also survive a power loss, which costs some
milliseconds a file: journals, submissions, checkpoints and records of a dataset.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from dfd.errors import ConfigError, DfdError

PARTIAL = ".partial"
STALE = 86_400.0
"""Age in seconds above which a temporary file must belong to a killed process."""


def cache() -> Path:
    """The folder for downloads, created if needed: $DFD_CACHE or ~/.cache/dfd."""
    folder = Path(os.environ.get("DFD_CACHE") or Path.home() / ".cache" / "dfd")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def partial_path(path: Path) -> Path:
    """A unique temporary name in the folder of `path`: hidden, and no longer than a file system allows.

    >>> one, other = partial_path(Path("runs/a.csv")), partial_path(Path("runs/a.csv"))
    >>> one != other, one.parent == other.parent == Path("runs"), one.name.startswith(".a.csv.")
    (True, True, True)
    """
    name = path.name.encode()[:180].decode(errors="ignore")
    return path.with_name(f".{name}.{uuid4().hex}{PARTIAL}")


@contextmanager
def whole(path: Path, durable: bool = False) -> Iterator[Path]:
    """Context with a temporary path to write to, which is renamed to `path` at the end. Removed after an exception.

    The folder is created if it does not exist. An existing folder at `path` is not replaced. Raises OSError when `path`
    cannot be written.
    """
    with _temporary(path) as partial:
        yield partial
        if durable:
            sync(partial)
        partial.replace(path)
        if durable:
            sync(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Context with a temporary folder to fill, which replaces the one at `path` at the end. Removed after an exception.

    Raises ConfigError for the current folder, which cannot be replaced under the shell that is in it.
    """
    path = path.resolve()
    if path == Path.cwd():
        raise ConfigError(f"{path} is the current folder, and would be replaced: name another folder")
    with _temporary(path) as partial:
        partial.mkdir()
        yield partial
        old = partial_path(path)
        if path.exists():
            path.rename(old)
        partial.rename(path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Context with an unused temporary name for `path`, in its folder. What is there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, durable: bool = False) -> None:
    """Write `data` to `path` atomically."""
    with whole(path, durable) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write `text` to `path` as UTF-8, atomically, without changing line ends."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_new(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically and durably.

    Raises FileExistsError if the file exists, even if another process wrote it a moment ago.
    """
    with _temporary(path) as partial:
        partial.write_text(text, encoding="utf-8")
        sync(partial)
        try:
            os.link(partial, path)
        except OSError:
            if path.exists():
                raise FileExistsError(path) from None
            partial.replace(path)  # a file system without hard links
        sync(path.parent)


def write_json(path: Path, value: Any, durable: bool = False) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n", durable)


def read_json(path: Path, error: type[DfdError], remedy: str) -> Any:
    """Read a JSON file. Raises `error` when it cannot be read or is not JSON; the message ends with `remedy`."""
    try:
        text = path.read_bytes()
    except OSError as why:
        raise error(f"{path} cannot be read ({why.strerror or why}): {remedy}") from None
    return _parsed(text, path, error, remedy)


def read_object(path: Path, error: type[DfdError], remedy: str) -> dict[str, Any]:
    """Read the object in a JSON file. Raises as read_json, and when it holds something else."""
    return _object(read_json(path, error, remedy), path, error, remedy)


def parse_object(text: str | bytes, where: Path, error: type[DfdError], remedy: str) -> dict[str, Any]:
    """Parse a JSON object that was read from `where`. Raises as read_object."""
    return _object(_parsed(text, where, error, remedy), where, error, remedy)


def _parsed(text: str | bytes, where: Path, error: type[DfdError], remedy: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as why:  # the latter for brackets nested a thousand deep
        raise error(f"{where} is not JSON ({why}): {remedy}") from None


def _object(value: Any, where: Path, error: type[DfdError], remedy: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise error(f"{where} holds no JSON object: {remedy}")
    return value


def sync(path: Path) -> None:
    """Flush a file's contents, or a folder's names, to the disk. Some systems do not support this for folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def sha256(content: Path | bytes) -> str:
    """SHA-256 of a file or of bytes, in hexadecimal.

    >>> sha256(b"")[:12]
    'e3b0c44298fc'
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(rows: Iterable[Iterable[object]]) -> str:
    """Digest of a table, independent of the order of its rows: 16 hexadecimal digits.

    >>> digest([("a", 0), ("b", 1)]) == digest([("b", 1), ("a", 0)]) != digest([("a", 1), ("b", 0)])
    True
    """
    lines = sorted(json.dumps(list(row)) for row in rows)
    return sha256("\n".join(lines).encode())[:16]


def sweep(folder: Path) -> None:
    """Remove temporary files under `folder` that killed processes left a day ago or earlier."""
    for left in folder.rglob(f".*{PARTIAL}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                left.unlink()
