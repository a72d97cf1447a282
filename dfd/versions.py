"""Versions of the libraries that affect numerical results, and how they differ from recorded ones."""

import importlib.metadata
import platform
from collections.abc import Callable, Mapping

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


def release(version: str) -> str:
    """The part of a version within which releases are expected to be compatible.

    >>> release("2.13.0+cpu"), release("0.1.3")
    ('2', '0.1')
    """
    first, *rest = version.split(".")
    return ".".join([first, *rest[:1]]) if first == "0" else first
