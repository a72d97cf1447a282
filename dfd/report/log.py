"""Redirect the output of libraries to a log file."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO


@contextmanager
def into_log() -> Iterator[Path]:
    """Context in which the output of libraries goes to a file. Ray prints pages about a killed node, even on stdout.

    sys.stderr still writes to the terminal, for dfd's own messages. The file is kept after an error.
    """
    handle, name = tempfile.mkstemp(".log", "dfd-cluster-")
    path = Path(name)
    before, terminal = sys.stderr, os.dup(2)
    try:
        sys.stderr.flush()
        os.dup2(handle, 2)
        with _lines(terminal) as own, _lines(handle) as log:
            sys.stderr = own
            with redirect_stdout(log):
                yield path
        path.unlink()
    finally:
        sys.stderr = before
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(handle)
        if path.exists() and not path.stat().st_size:
            path.unlink()


def _lines(handle: int) -> TextIO:
    """A line-buffered text stream on a copy of a file descriptor."""
    return os.fdopen(os.dup(handle), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
