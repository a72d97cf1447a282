"""After a push: where it stands, what it says, and what it made."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from kernels import KernelError, client
from kernels.session import REPORT

ENDED = frozenset({"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"})
FAILED = ENDED - {"COMPLETE"}
PAUSE = 60.0
"""Seconds between two looks at a kernel that runs."""
WANTED = {
    "faces": rf"^({REPORT}|faces/.*)$",
    "train": rf"^({REPORT}|bundle/.*|run/(score\.json|metrics\.csv|folds\.csv|oof\.csv))$",
    "predict": rf"^({REPORT}|submission\.csv|sample_submission\.csv)$",
}
"""What is fetched of a kernel's output, as a regular expression on file names."""


def status(
    kernel: str, wait: float = 0, tell: Callable[[str], None] = print, sleep: Callable[[float], None] = time.sleep
) -> str:
    """The state of owner/slug; with `wait`, after its end or so many minutes. Raises KernelError when it failed."""
    until = time.monotonic() + wait * 60
    while True:
        state, why = client.kernel_status(kernel)
        if state in ENDED or time.monotonic() >= until:
            break
        tell(f"{kernel} is {state.lower()}")
        sleep(PAUSE)
    if state in FAILED:
        raise KernelError(f"{kernel} ended as {state}{': ' + why if why else ''}; see its log: python -m kernels logs")
    return state


def fetch(name: str, kernel: str, out: Path, everything: bool = False) -> Path:
    """Fetch what the last version of owner/slug made into `out`; returns the folder.

    Raises KernelError when there is nothing, or a file that is an error message of Kaggle's.
    """
    out.mkdir(parents=True, exist_ok=True)
    pattern = ".*" if everything else WANTED[name]
    client.asked(
        "kernels", "output", kernel, "-p", str(out), "-o", "-q", "--page-size", "200", "--file-pattern", pattern
    )
    for path in sorted(out.rglob("*")):
        if path.is_file() and re.match(rb'\s*\{"code": ?[45]\d\d', path.read_bytes()[:40]):
            words = path.read_text(encoding="utf-8", errors="replace")[:120]
            path.unlink()
            raise KernelError(f"{path} could not be fetched, Kaggle says {words}: fetch it again")
    if not (out / REPORT).is_file():
        raise KernelError(
            f"{kernel} has no {REPORT}: it has not ended, or was stopped; python -m kernels status {name}"
        )
    return out


def log(kernel: str, out: Path) -> str:
    """What the last version of owner/slug printed. Raises KernelError when there is no log yet."""
    out.mkdir(parents=True, exist_ok=True)
    client.asked("kernels", "output", kernel, "-p", str(out), "-o", "-q", "--file-pattern", "^$")
    path = out / f"{kernel.rpartition('/')[2]}.log"
    if not path.is_file():
        raise KernelError(f"{kernel} has no log yet")
    return client.kernel_log(path)
