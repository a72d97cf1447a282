"""The attached sources of a kernel, found by marker files, since Kaggle mounts them at changing paths.

/kaggle/input/<slug>, /kaggle/input/datasets/<owner>/<slug>, /kaggle/input/competitions/<slug> and
/kaggle/input/notebooks/<owner>/<slug> all occur, even in one session. Runs before the wheels are installed, so
it imports the standard library only, directly and through dfd.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dfd.files import PARTIAL, sha256, write_json
from kernels import KernelError

MANIFEST = "MANIFEST.json"
"""In each folder that one kernel or upload makes for another: {"kind": its kind, "files": {name: sha256}}."""
METADATA = "metadata.json"
SAMPLE = "sample_submission.csv"
TEST_VIDEOS = "test_videos"
DEPTH = 6
"""Levels of folders to search: models/<owner>/<model>/<framework>/<variation>/<version> has six."""
LISTED = 60
"""Lines of a listing of what is mounted."""


def find(root: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The folders under `root` that are `wanted`, by path, except those inside another."""
    found: list[Path] = []

    def look(folder: Path, depth: int) -> None:
        if wanted(folder):
            found.append(folder)
        elif depth:
            for inner in folders(folder):
                look(inner, depth - 1)

    if root.is_dir():
        look(root, DEPTH)
    return found


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir())


def competition(root: Path) -> Path | None:
    """The folder with test_videos/ and sample_submission.csv; None where it is not mounted (yet)."""
    found = find(root, lambda folder: (folder / SAMPLE).is_file() and (folder / TEST_VIDEOS).is_dir())
    return found[0] if found else None


def videos(root: Path, name: str) -> list[Path]:
    """The folders of videos with labels: each with a metadata.json, or with `name` the folder called so."""
    if name:
        return find(root, lambda folder: folder.name == name)
    return find(root, lambda folder: (folder / METADATA).is_file())


def of_kind(root: Path, kind: str) -> list[Path]:
    """The folders whose MANIFEST.json says that they are a `kind`: wheels, faces, run or bundle."""
    return find(root, lambda folder: (folder / MANIFEST).is_file() and read_manifest(folder)["kind"] == kind)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the MANIFEST.json of `folder` says; a foreign one is of kind ""."""
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        return {"kind": "", "files": {}}
    return {"kind": "", **about}


def write_manifest(folder: Path, kind: str) -> str:
    """Write the MANIFEST.json of all files in `folder`; return one sha256 for all."""
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in listed(folder)}
    write_json(folder / MANIFEST, {"kind": kind, "files": files})
    return identity(files)


def listed(folder: Path) -> list[Path]:
    """The files of a folder for its manifest: all except itself and unfinished ones."""
    files = (path for path in folder.rglob("*") if path.name != MANIFEST and not path.match(f".*{PARTIAL}"))
    return sorted(path for path in files if path.is_file())


def identity(files: Mapping[str, str]) -> str:
    """One sha256 for files by name and sha256, whatever their order.

    >>> identity({"a": "1", "b": "2"}) == identity({"b": "2", "a": "1"})
    True
    """
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def fault(folder: Path) -> str:
    """What is wrong with a folder's files by its MANIFEST.json, in a few words; "" when each has its sha256."""
    for name, wanted in read_manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if (got := sha256(path)) != wanted:
            return f"{path} has sha256 {got[:12]}…, its manifest says {str(wanted)[:12]}…"
    return ""


def videos_of(found: list[Path]) -> list[Any]:
    """The videos of several folders as one list. Raises KernelError when two of them have one name."""
    from dfd.videos.manifest import read_videos

    first: dict[str, Path] = {}
    all_videos = [video for folder in found for video in read_videos(folder)]
    for video in all_videos:
        if first.setdefault(video.name, video.path) != video.path:
            raise KernelError(f"{video.path} and {first[video.name]} have one name: attach one of them")
    return all_videos


def listing(root: Path) -> list[str]:
    """The folders mounted under `root`, three levels deep, with the number of their files, for a log."""
    below = (path for depth in ("*", "*/*", "*/*/*") for path in root.glob(depth))
    mounted = [path for path in (root, *below) if path.is_dir()]
    lines = [f"{path}/ ({sum(inner.is_file() for inner in path.iterdir())} files)" for path in sorted(mounted)]
    return [*lines[:LISTED], *([f"… and {len(lines) - LISTED} more"] if len(lines) > LISTED else [])]
