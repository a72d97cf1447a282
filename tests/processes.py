"""Find processes left running by a command started with start_new_session=True."""

import time
from pathlib import Path


def running(session: int) -> list[str]:
    """Command lines of the processes in `session` that still run; zombies count as ended."""
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
    """Wait up to `patience` seconds for all processes to end, then return running()."""
    until = time.monotonic() + patience
    while (found := running(session)) and time.monotonic() < until:
        time.sleep(0.05)
    return found
