"""What libraries print, in a file instead of between dfd's own words."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO


@contextmanager
def into_log() -> Iterator[Path]:
    """Inside, what libraries print goes to a file: of a node that was killed Ray prints pages, on stdout too.

    sys.stderr is dfd's own way to the terminal all the same. The file stays where something went wrong.
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
    """Text to where a handle leads, a line at a time."""
    return os.fdopen(os.dup(handle), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
