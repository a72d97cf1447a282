"""Versions of the code and of the libraries that affect numerical results, and how they differ from recorded ones."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2


def versions() -> dict[str, str]:
    """Installed versions of the libraries that affect numerical results."""
    packages = ("dfd", "torch", "timm", "facenet-pytorch", "av", "numpy")
    own = {"python": platform.python_version(), "opencv": cv2.__version__}  # OpenCV has several package names
    return own | {name: importlib.metadata.version(name) for name in packages}


def drifted(made_with: Mapping[str, str], part: Callable[[str], str] = str) -> list[str]:
    """Libraries with another version here, as "torch 2.10.0 (here 2.13.0)". part: extracts what is compared."""
    here = dict.fromkeys(made_with, "none") | versions()
    return [f"{name} {was} (here {here[name]})" for name, was in made_with.items() if part(here[name]) != part(was)]


def git(*arguments: str, folder: Path | None = None) -> str | None:
    """Output of a git command in a folder, by default the current one; None outside a repository, or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def release(version: str) -> str:
    """The part of a version within which releases are expected to be compatible.

    >>> release("2.13.0+cpu"), release("0.1.3")
    ('2', '0.1')
    """
    first, *rest = version.split(".")
    return ".".join([first, *rest[:1]]) if first == "0" else first
