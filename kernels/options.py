"""Options that several commands share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import FILE
from kernels import KernelError

Name = Annotated[str, Parameter(help="faces, train or predict; as in faces-notebook it is pushed as a notebook.")]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", negative=(), help="A setting of main.py, as in hours=8 or recipe=tiny; repeat it."),
]
Latest = Annotated[bool, Parameter(negative=(), help="In Kaggle's newest image, not in the pinned one.")]
Labels = Annotated[
    Path | None, Parameter(help="Of the scored videos: a CSV filename,label or a metadata.json."), FILE
]  # fmt: skip


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse settings NAME=VALUE, with values as JSON where possible. Raises KernelError."""
    found: dict[str, Any] = {}
    for key, text in pairs(texts, "--set").items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Parse texts NAME=VALUE, by name. Raises KernelError."""
    for text in texts:
        if "=" not in text:
            raise KernelError(f"{option} {text!r}: name=value is wanted")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}
