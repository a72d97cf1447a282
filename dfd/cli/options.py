"""Options that several commands share: the bounds of numbers, the checks of paths, and groups of options.

Numbers and paths are checked before any work begins. A missing input path is left to the command, whose error message
says how to create it.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number

from dfd.videos.layouts import described
from dfd.videos.workers import MEMORY, Limits

Given = Path | list[Path] | None
"""An option's value; None if not given."""


def _each(value: Given) -> Iterator[Path]:
    if value is not None:
        yield from value if isinstance(value, list) else [value]


def _refuse_unreadable(path: Path) -> None:
    if path.exists() and not os.access(path, os.R_OK):
        raise ValueError("it may not be read; check its permissions")


def _refuse_unwritable(path: Path) -> None:
    """Raise ValueError without permission to write. path: a file, or the folder to write to."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is a file, and nothing can be put into it; give a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} may not be written to; check its permissions")


def a_file(_: Any, value: Given) -> None:
    """Raise ValueError for a folder, and for a file that may not be read."""
    for path in _each(value):
        if path.is_dir():
            raise ValueError("that is a folder; give a file")
        _refuse_unreadable(path)


def a_folder(_: Any, value: Given) -> None:
    """Raise ValueError for a file, and for a folder that may not be read."""
    for path in _each(value):
        if path.exists() and not path.is_dir():
            raise ValueError("that is a file; give a folder")
        _refuse_unreadable(path)


def a_place(_: Any, value: Given) -> None:
    """Raise ValueError for a file or folder that may not be read."""
    for path in _each(value):
        _refuse_unreadable(path)


def a_new_file(_: Any, value: Given) -> None:
    """Raise ValueError for a path where no file can be written: a folder, a device, below a file, no permission."""
    for path in _each(value):
        if path.is_dir():
            raise ValueError("that is a folder; give the name of a file in it")
        if path.exists() and not path.is_file():
            raise ValueError("that is not a regular file; give the name of a file")
        _refuse_unwritable(path.absolute().parent)


def a_new_folder(_: Any, value: Given) -> None:
    """Raise ValueError for a path where no folder can be made: a file, below a file, no permission."""
    for path in _each(value):
        if path.exists() and not path.is_dir():
            raise ValueError("that is a file; give a folder")
        _refuse_unwritable(path)


FILE, FOLDER, PLACE = (Parameter(validator=check) for check in (a_file, a_folder, a_place))
NEW_FILE, NEW_FOLDER = Parameter(validator=a_new_file), Parameter(validator=a_new_folder)


def whole(least: int, most: int) -> Parameter:
    """An integer option with these bounds. cyclopts alone would round 1.5."""
    return Parameter(converter=_whole, validator=Number(gte=least, lte=most))


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    return int(tokens[0].value)


SEED, FOLDS, FOLD, WORKERS = whole(0, 2**32 - 1), whole(2, 1000), whole(0, 999), whole(0, 1024)
SHARE = Parameter(validator=Number(gte=0, lte=1))
SECONDS = Parameter(validator=Number(gt=0, lte=1e6))
MINUTES = Parameter(validator=Number(gte=0, lte=1e6))
HOURS = Parameter(validator=Number(gt=0, lte=1e4))
GIGABYTES = Parameter(validator=Number(gt=0, lte=1e5))

Videos = Annotated[
    Path,
    Parameter(
        help="One video or image, or a folder whose file names show its layout. A label is FAKE or REAL in any case, "
        "or 1 (fake) or 0; a metadata.json may also name a video's original, and the person in it.\n\n"
        f"{described()}"
    ),
]
Unlisted = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Also take videos that the labels, the sample or the layout leave out, without a label.",
    ),
]


LIMITS = Group("Limits", sort_key=80)


@Parameter(name="*", group=LIMITS)
@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How videos are read: by how many processes, and what each video may take."""

    workers: Annotated[int, WORKERS] = 0
    """Processes that look for faces; 0 for one a core."""
    timeout: Annotated[float, SECONDS] = 120.0
    """Seconds that a video may take."""
    memory: Annotated[float, GIGABYTES] = MEMORY
    """Gigabytes that a video may take."""

    def limits(self) -> Limits:
        """Convert these options to the limits of worker processes."""
        return Limits(self.workers, self.timeout, memory=self.memory)


@Parameter(name="*", group=Group("Several machines", sort_key=90))
@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """How the work is shared with other machines."""

    cluster: str | None = None
    """A Ray cluster that does the work, on paths that all its nodes see: auto, local, host:port or ray://host:port.
    With --device cuda, on its nodes with a GPU. Needs pip install 'dfd[cluster]'."""
    shard: str | None = None
    """Do part I of N alone, as in 2/8. For dfd faces, N machines build one OUT together; run once more without --shard
    to redo what failed. For dfd predict, each part is written to an OUT of its own."""
