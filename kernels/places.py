"""Where things are in this checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("faces", "train", "predict")
METADATA = "kernel-metadata.json"
SCRIPT = "main.py"


def source(name: str) -> Path:
    """The folder that a kernel is written in."""
    return ROOT / "kernels" / name


def built(name: str) -> Path:
    """The folder that a kernel is built into."""
    return ROOT / "build" / name


def wheelhouse() -> Path:
    """The folder that wheels are gathered in."""
    return ROOT / "build" / "wheelhouse"


def lock() -> Path:
    """The wheels that a kernel installs, by sha256."""
    return ROOT / "kernels" / "wheelhouse.json"


def image() -> Path:
    """The image that kernels run in."""
    return ROOT / "kernels" / "image.json"


def ledger() -> Path:
    """What was pushed: a line a version."""
    return ROOT / "kernels" / "ledger.csv"
