"""Paths of this checkout, and what the kernels pass to each other."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("faces", "train", "predict")
TAKES = {"train": "faces", "predict": "bundle"}
"""The kind of folder that a kernel takes from the one before it."""
LEAVES = {"faces": "faces", "train": "run"}
"""The folder in a kernel's output from which it resumes; also its kind."""
AS_NOTEBOOK = "-notebook"
"""Suffix of the name of a kernel that runs as a notebook."""
METADATA = "kernel-metadata.json"
SCRIPT, NOTEBOOK = "main.py", "main.ipynb"


def base(name: str) -> str:
    """A kernel's name without -notebook.

    >>> base("train-notebook"), base("train")
    ('train', 'train')
    """
    return name.removesuffix(AS_NOTEBOOK)


def source(name: str) -> Path:
    """The folder with a kernel's main.py and metadata, or a file shared by all kernels, such as image.json."""
    return ROOT / "kernels" / base(name)


def built(name: str) -> Path:
    """The build folder of a kernel, the wheelhouse or the image's packages."""
    return ROOT / "build" / name


def output(name: str) -> Path:
    """The folder with the output (/kaggle/working) of a kernel's last rehearsal."""
    return built(name) / "working"


def shown(path: Path) -> Path:
    """A path for printing, relative if it is below the current folder.

    >>> str(shown(Path.cwd() / "build" / "predict")), str(shown(Path("/elsewhere")))
    ('build/predict', '/elsewhere')
    """
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
