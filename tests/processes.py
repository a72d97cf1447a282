"""Find the processes that a command has left running, if it was started with start_new_session=True."""

import time
from pathlib import Path


def running(session: int) -> list[str]:
    """Command lines of the processes of `session` that still run; zombies have ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its) == session and state not in "ZX":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def left_running(session: int, patience: float = 20.0) -> list[str]:
    """Like running(), after waiting up to `patience` seconds for all of them to end."""
    until = time.monotonic() + patience
    while (found := running(session)) and time.monotonic() < until:
        time.sleep(0.05)
    return found
