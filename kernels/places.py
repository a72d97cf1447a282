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


def shown(path: Path) -> str:
    """A path as it is printed: from here, where it lies below.

    >>> shown(Path.cwd() / "build" / "predict"), shown(Path("/elsewhere"))
    ('build/predict', '/elsewhere')
    """
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def ledger() -> Path:
    """What was pushed: a line a version."""
    return ROOT / "kernels" / "ledger.csv"
