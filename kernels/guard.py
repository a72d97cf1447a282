"""Refuses connections to other machines, and writes to the attached sources: sitecustomize.py of a rehearsal.

Connections to this machine are allowed, as on Kaggle: the processes of a training need them.
"""

import os
import sys
from pathlib import Path
from typing import Any

INPUT = [Path(path).resolve() for path in os.environ["DFD_READ_ONLY"].split(os.pathsep)]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
NAMES = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.rmtree"}
CONTENTS = {"os.chmod", "os.chown", "os.truncate", "os.utime"}


def here(address: Any) -> bool:
    """Whether the address of a connection is this machine's: a path, or loopback."""
    return isinstance(address, str | bytes) or str(address[0]).startswith(("127.", "::1", "localhost"))


def attached(path: Any, name: bool) -> bool:
    """Whether a path is in an attached source. name: do not follow a link in its last part."""
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    there = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100
    real = there.parent.resolve() / there.name if name else there.resolve()
    return any(real.is_relative_to(folder) for folder in INPUT)


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise OSError for an event of Python's audit hooks that a kernel on Kaggle could not cause."""
    if event in ("socket.connect", "socket.sendto") and not here(arguments[1]):
        raise OSError(101, "Network is unreachable: a kernel has no internet")
    if event in NAMES:
        changed = arguments[event == "os.symlink" : 2]
    elif event in CONTENTS or (event == "open" and arguments[2] & WRITING):
        changed = arguments[:1]
    else:
        return
    for path in changed:
        if attached(path, event in NAMES):
            raise OSError(30, "Read-only file system", path)


sys.addaudithook(guard)
