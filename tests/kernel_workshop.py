"""A separate checkout for kernel tests: dfd and kernels committed, with wheels of the installed packages."""

import json
import shutil
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from dfd.files import sha256
from kernels import inputs, places

HERE = Path(__file__).resolve().parents[1]
WHEELS = ("av", "facenet-pytorch")
"""Packages that the rehearsed kernels need."""
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


def git(root: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=root, check=True, capture_output=True)


def checkout(root: Path) -> Path:
    """Commit a copy of everything that a kernel is built from."""
    left_out = shutil.ignore_patterns("__pycache__", "pretrained")  # the bundle is in no kernel
    for part in ("dfd", "kernels"):
        shutil.copytree(HERE / part, root / part, ignore=left_out)
    for name in ("requirements.txt", ".gitignore"):
        shutil.copy(HERE / name, root)
    git(root, "init", "-q")
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "as it is")


def installed_wheel(package: str, folder: Path) -> Path:
    """Build a wheel from an installed package's files; needs no registry."""
    found = metadata.distribution(package)
    tags = [line.removeprefix("Tag: ") for line in (found.read_text("WHEEL") or "").splitlines() if line[:4] == "Tag:"]
    python, abi, platform = (
        ".".join(dict.fromkeys(parts)) for parts in zip(*(t.split("-") for t in tags), strict=True)
    )
    name = found.metadata["Name"].replace("-", "_")
    path = folder / f"{name}-{found.version}-{python}-{abi}-{platform}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in found.files or ():
            if (
                file.parts[0] != ".."
                and "__pycache__" not in file.parts
                and file.name not in ("INSTALLER", "REQUESTED")
            ):
                wheel.write(str(file.locate()), file.as_posix())
    return path


def stock(root: Path, packages: tuple[str, ...] = WHEELS) -> None:
    """Fill a checkout's wheelhouse and write its lock."""
    folder = root / "build" / "wheelhouse"
    folder.mkdir(parents=True)
    wheels = [installed_wheel(package, folder) for package in packages]
    lock = {path.name: sha256(path) for path in wheels}
    (root / "kernels" / "wheelhouse.json").write_text(json.dumps(lock))
    inputs.write_manifest(folder, "wheels")


def use(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(places, "ROOT", root)
