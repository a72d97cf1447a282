"""Kaggle's image, pinned in kernels/image.json with its Python and packages, and a similar local environment.

Kaggle changes its default image every month or two, and Python with it. A version pushed with LATEST=1 runs in the
newest image; `make kernel-image KERNEL=… MOVE=1` then pins that one.
"""

import json
import re
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dfd.files import write_json
from kernels import KernelError, places
from kernels.session import installed

DIGEST = re.compile(r"gcr\.io/kaggle-[a-z-]+/python@sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Image:
    """docker_image: with its digest. python: as in "3.12". versions: of packages, "" accepts any."""

    docker_image: str
    python: str
    versions: dict[str, str]

    def metadata(self) -> dict[str, str]:
        """The entries of kernel-metadata.json that pin it."""
        return {"docker_image": self.docker_image, "docker_image_pinning_type": "original"}


def pinned() -> Image:
    """The image of kernels/image.json. Raises KernelError when that file has no digest, Python and versions."""
    path = places.source("image.json")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        image = Image(str(about["docker_image"]), str(about["python"]), dict(about["versions"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise KernelError(f"{path} names no docker_image, python and versions: {error}") from None
    if not DIGEST.fullmatch(image.docker_image):
        raise KernelError(f"{path}: docker_image is {image.docker_image!r}, without a digest as in python@sha256:…")
    return image


def seen(docker_image: str, about: Mapping[str, Any]) -> Image:
    """The image in which a run took place, from its kernel.json."""
    return Image(docker_image, ".".join(str(about["python"]).split(".")[:2]), dict(about.get("versions", {})))


def here() -> Image:
    """This machine's Python and package versions in the form of an image; "not installed" for missing ones."""
    image = pinned()
    missing = dict.fromkeys(image.versions, "not installed")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return Image(image.docker_image, python, {**missing, **installed(image.versions)})


def differences(one: Image, other: Image) -> list[dict[str, str]]:
    """One row for each item of `one` whose version differs in `other`; build tags like +cu128 are ignored."""
    left, right = _parts(one), _parts(other)
    return [
        {"what": what, "pinned": value, "there": right[what]}
        for what, value in left.items()
        if value and right.get(what, value) != value
    ]


def move(to: Image) -> None:
    """Pin `to`, with versions for the packages that had one."""
    versions = {name: to.versions.get(name, "") if wanted else "" for name, wanted in pinned().versions.items()}
    write_json(places.source("image.json"), {**asdict(to), "versions": versions})


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


def image_packages() -> list[str]:
    """The installed packages that the image has too: those of kernels/image.json, and their requirements."""
    found: set[str] = set()
    todo = list(pinned().versions)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform, or not installed here
            continue
        found.add(name)
        needed = (Requirement(text) for text in required)
        todo += [need.name for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    return sorted(found)


def _parts(image: Image) -> dict[str, Any]:
    """Digest, Python and versions; torch 2.10.0+cu128 is torch 2.10.0."""
    digest = image.docker_image.rpartition("@")[2]
    return {"image": digest, "python": image.python, **{n: v.partition("+")[0] for n, v in image.versions.items()}}
