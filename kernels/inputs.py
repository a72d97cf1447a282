"""Folders passed from one kernel or upload to another, and the sources attached to a kernel.

Such a folder holds files only, and a MANIFEST.json: {"kind": its kind, "files": {name: sha256}}. Kaggle mounts one
source at changing paths (/kaggle/input/<slug>, /kaggle/input/datasets/<owner>/<slug>, …), even in one session, so
sources are found by their marker files. Runs before the wheels are installed: at import the standard library only.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dfd.files import sha256, whole, write_json
from kernels import KernelError

MANIFEST = "MANIFEST.json"
SAMPLE = "sample_submission.csv"
TEST_VIDEOS = "test_videos"
MARKERS = (
    ("bundle", "bundle.json"), ("faces", "dataset.json"), ("faces", "faces.tar"), ("run", "config.json"),
    ("run", "run.tar"), ("wheels", MANIFEST),
)  # fmt: skip
"""Kind of folder -> a file that identifies it."""
PACKED = ("faces", "run")
"""Kinds with many files, sent as one <kind>.tar, since Kaggle keeps few files of an output."""
DEPTH = 6
"""Levels of folders to search: models/<owner>/<model>/<framework>/<variation>/<version> has six."""


def find(root: Path, wanted: Callable[[Path], bool], depth: int = DEPTH) -> list[Path]:
    """The folders under `root` that are `wanted`, by path, except those inside another."""
    if not root.is_dir():
        return []
    if wanted(root):
        return [root]
    inner = sorted(path for path in root.iterdir() if path.is_dir()) if depth else []
    return [found for folder in inner for found in find(folder, wanted, depth - 1)]


def competition(root: Path) -> list[Path]:
    """The folders with test_videos/ and sample_submission.csv."""
    return find(root, lambda folder: (folder / SAMPLE).is_file() and (folder / TEST_VIDEOS).is_dir())


def videos(root: Path, name: str) -> list[Path]:
    """The folders of labelled videos: those with a metadata.json, or with `name` the folder of that name."""
    return find(root, lambda folder: folder.name == name if name else (folder / "metadata.json").is_file())


def of_kind(root: Path, kind: str, identity: str = "") -> list[Path]:
    """The folders whose MANIFEST.json declares this `kind`; with `identity`, those with that content."""
    return find(root, lambda folder: read_manifest(folder)["kind"] == kind and content(folder).startswith(identity))


def kind_of(folder: Path) -> str:
    """The kind of a folder: bundle, faces, run, wheels, or "nothing"."""
    return next((kind for kind, marker in MARKERS if (folder / marker).is_file()), "nothing")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the MANIFEST.json of `folder`; of kind "" if it has none of dfd."""
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        return {"kind": "", "files": {}}
    return {"kind": "", **about}


def write_manifest(folder: Path, kind: str) -> str:
    """Write the MANIFEST.json of all files in `folder`. Returns one sha256 for all."""
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in listed(folder) if path.name != MANIFEST}
    write_json(folder / MANIFEST, {"kind": kind, "files": files})
    return identity(files)


def content(folder: Path) -> str:
    """One sha256 for the files of a folder, by its MANIFEST.json."""
    return identity(read_manifest(folder)["files"])


def identity(files: Mapping[str, str]) -> str:
    """One sha256 for files by name and sha256, independent of their order.

    >>> identity({"a": "1", "b": "2"}) == identity({"b": "2", "a": "1"})
    True
    """
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def check(folder: Path, remedy: str) -> None:
    """Raise KernelError, which ends with a remedy, unless the files of a folder are those of its MANIFEST.json."""
    for name, wanted in read_manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            raise KernelError(f"{path} is missing: {remedy}")
        if (got := sha256(path)) != wanted:
            raise KernelError(f"{path} has sha256 {got[:12]}…, its manifest says {str(wanted)[:12]}…: {remedy}")


def listed(folder: Path) -> Iterator[Path]:
    """The files below a folder, by name, without hidden ones, which may still be being written."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def stage(folder: Path, to: Path, kind: str) -> str:
    """Copy the files of `folder` into `to` in the form for upload, with a manifest. Returns the sha256 of all.

    Kinds in PACKED become one tar, other folders are copied file by file. Raises KernelError for folders in these.
    """
    to.mkdir(parents=True, exist_ok=True)
    if kind in PACKED and not (folder / f"{kind}.tar").is_file():
        with whole(to / f"{kind}.tar") as partial, tarfile.open(partial, "w") as archive:
            for path in listed(folder):
                archive.add(path, path.relative_to(folder))
    elif any(path.is_dir() for path in folder.iterdir()):
        raise KernelError(f"{folder} holds folders, and Kaggle takes files only")
    else:
        for path in listed(folder):
            shutil.copy2(path, to)
    return write_manifest(to, kind)


def unpack(folder: Path, kind: str, to: Path) -> Path:
    """Unpack the <kind>.tar of an attached folder to `to`, atomically, since a session may be cut off."""
    with whole(to) as partial, tarfile.open(folder / f"{kind}.tar") as archive:
        archive.extractall(partial, filter="data")
    return to


def listing(root: Path) -> list[str]:
    """List the folders mounted under `root`, three levels deep, with their number of files, for a log."""
    below = (path for depth in ("*", "*/*", "*/*/*") for path in root.glob(depth) if path.is_dir())
    return [f"{path}/ ({sum(inner.is_file() for inner in path.iterdir())} files)" for path in sorted([root, *below])]
