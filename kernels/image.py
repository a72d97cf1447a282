"""An environment with the packages of Kaggle's image and no others, in the versions that are installed here.

So a kernel that leans on something which Kaggle does not have fails in the rehearsal: on PyAV before the
wheelhouse, on dfd from this checkout.
"""

import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kernels import KernelError
from kernels.pin import pinned

BLOCKER = '''\
"""No network, for want of a namespace without one: only sockets of this machine's own processes connect."""
import socket

def refused(self, address):
    if self.family == socket.AF_UNIX:
        return connect(self, address)
    raise OSError(101, "Network is unreachable: a kernel has no internet")

connect = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = refused
'''


def make_environment(folder: Path, blocked: bool) -> Path:
    """A virtual environment of links to the installed packages that the image has too; returns its Python.

    blocked: connections to the network are refused in it.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = folder / "lib" / version / "site-packages"
    for name in image_packages():
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            target = Path(str(distribution.locate_file(top))).resolve()
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)
    if blocked:
        (site / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    return folder / "bin" / "python"


def exact_environment(folder: Path) -> Path:
    """The image's Python with its very versions, from the registry: once, some minutes and gigabytes.

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
            raise KernelError(f"no environment like the image's: {done.stderr.strip()[-300:]}")
    ready.touch()
    return python


def image_packages() -> list[str]:
    """The installed packages that the image has: those of kernels/image.json, and what they require."""
    found: set[str] = set()
    todo = list(pinned().versions)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # another platform's, or not installed here
            continue
        found.add(name)
        needed = (Requirement(text) for text in required)
        todo += [need.name for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    return sorted(found)


def differences() -> list[dict[str, str]]:
    """A row a package of the image whose version here is another."""
    image = pinned()
    rows = [{"package": "python", "on Kaggle": image.python, "here": f"{sys.version_info[0]}.{sys.version_info[1]}"}]
    for name, wanted in image.versions.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "not installed"
        rows.append({"package": name, "on Kaggle": wanted or "newest", "here": here})
    return [row for row in rows if row["on Kaggle"] not in (row["here"], "newest") or row["here"] == "not installed"]
