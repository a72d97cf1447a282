"""After a push: where it stands, what it says, and what it made."""

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kernels import KernelError, client, places
from kernels.pin import DIGEST, Image, seen
from kernels.report import read_report
from kernels.session import REPORT, SUBMISSION

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
        name = kernel.rpartition("/dfd-")[2]
        again = "" if name == "predict" else f"; go on from what it left: make kernel-push KERNEL={name} RESUME=1"
        raise KernelError(
            f"{kernel} ended as {state}{': ' + why if why else ''}; see its log: make kernel-logs KERNEL={name}{again}"
        )
    return state


def fetch(name: str, kernel: str, out: Path, everything: bool = False) -> Path:
    """Fetch what the last version of owner/slug made into `out`; returns the folder.

    Raises KernelError when there is nothing, or a file that is an error message of Kaggle's.
    """
    for earlier in (REPORT, SUBMISSION):  # an earlier version's must not pass for this one's
        (out / earlier).unlink(missing_ok=True)
    download(kernel, out, ".*" if everything else WANTED[name])
    if not (out / REPORT).is_file():
        raise KernelError(
            f"{kernel} has no {REPORT}: it has not ended, or was stopped; make kernel-status KERNEL={name} says which"
        )
    return out


def download(kernel: str, out: Path, pattern: str) -> None:
    """Fetch the files whose names match `pattern` of what the last version of owner/slug that ran made into `out`.

    Raises KernelError for a file that is an error message of Kaggle's.
    """
    out.mkdir(parents=True, exist_ok=True)
    client.asked(
        "kernels", "output", kernel, "-p", str(out), "-o", "-q", "--page-size", "200", "--file-pattern", pattern
    )
    for path in sorted(out.rglob("*")):
        if path.is_file() and re.match(rb'\s*\{"code": ?[45]\d\d', _start_of(path)):
            words = path.read_text(encoding="utf-8", errors="replace")[:120]
            path.unlink()
            raise KernelError(f"{path} could not be fetched, Kaggle says {words}: fetch it again")


def stopped_early(kernel: str) -> bool:
    """Whether the last version of owner/slug, one of dfd's, stopped by its own clock with work left."""
    with tempfile.TemporaryDirectory(prefix="dfd-report-") as temporary:
        folder = Path(temporary)
        download(kernel, folder, f"^{REPORT}$")
        return (folder / REPORT).is_file() and read_report(folder)["status"] == "unfinished"


def image(kernel: str) -> Image:
    """The image that the last version of owner/slug ran in. Raises KernelError when Kaggle or its report do not say."""
    with tempfile.TemporaryDirectory(prefix="dfd-image-") as temporary:
        folder = Path(temporary)
        client.asked("kernels", "pull", kernel, "-p", str(folder), "-m")
        ran_in = str(json.loads((folder / places.METADATA).read_text(encoding="utf-8")).get("docker_image"))
        if not DIGEST.fullmatch(ran_in):
            raise KernelError(f"Kaggle does not say in which image {kernel} ran: its docker_image is {ran_in!r}")
        download(kernel, folder, f"^{REPORT}$")
        return seen(ran_in, read_report(folder))


def log(kernel: str, out: Path) -> str:
    """What the last version of owner/slug printed. Raises KernelError when there is no log yet."""
    out.mkdir(parents=True, exist_ok=True)
    client.asked("kernels", "output", kernel, "-p", str(out), "-o", "-q", "--file-pattern", "^$")
    path = out / f"{kernel.rpartition('/')[2]}.log"
    if not path.is_file():
        raise KernelError(f"{kernel} has no log yet")
    return client.kernel_log(path)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(40)
