"""The state, log and output of a pushed kernel."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from dfd.report import terminal as show
from kernels import KernelError, client, places
from kernels.image import DIGEST, Image, seen
from kernels.report import read_report
from kernels.session import REPORT, SUBMISSION

ENDED = frozenset({"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"})
WANTED = {
    "faces": rf"^({REPORT}|faces/.*)$",
    "train": rf"^({REPORT}|run\.html|bundle/.*|run/(score\.json|metrics\.csv|folds\.csv|oof\.csv))$",
    "predict": rf"^({REPORT}|explain\.html|submission\.csv|sample_submission\.csv)$",
}
"""Files to fetch from a kernel's output, as a regular expression."""


def status(name: str, kernel: str, wait: float = 0) -> str:
    """The state of owner/slug, after waiting up to `wait` minutes for its end. Raises KernelError when it failed."""
    state, why = wait_for(kernel, wait)
    if state in ENDED and state != "COMPLETE":
        again = f"; resume from what it left: make kernel-push KERNEL={name} RESUME=1"
        raise KernelError(
            f"{kernel} ended as {state}{': ' + why if why else ''}; see its log: make kernel-logs KERNEL={name}"
            + again * (places.base(name) != "predict")
        )
    return state


def wait_for(kernel: str, wait: float) -> tuple[str, str]:
    """The state of owner/slug at its end, or after `wait` minutes, and why it failed or "".

    A lost network connection does not end the wait.
    """
    for last in client.tries(wait):
        try:
            state, why = client.kernel_status(kernel)
        except client.UnreachableError as error:
            if last:
                raise
            show.say(str(error))
            continue
        if last or state in ENDED:
            break
        show.say(f"{kernel} is {state.lower()}")
    return state, why


def fetch(name: str, kernel: str, out: Path, everything: bool = False) -> Path:
    """Fetch the output of the last version of owner/slug into `out`. Returns that folder.

    Raises KernelError when there is none, or a file is an error message of Kaggle's.
    """
    for earlier in (REPORT, SUBMISSION):  # remove those of an earlier version
        (out / earlier).unlink(missing_ok=True)
    download(kernel, out, ".*" if everything else WANTED[places.base(name)])
    if not (out / REPORT).is_file():
        raise KernelError(
            f"{kernel} has no {REPORT}: it has not ended, or was stopped; make kernel-status KERNEL={name} says which"
        )
    return out


def download(kernel: str, out: Path, pattern: str) -> None:
    """Fetch the files of the last version of owner/slug whose names match `pattern`, and its log, into `out`.

    Raises KernelError when a file is an error message of Kaggle's.
    """
    out.mkdir(parents=True, exist_ok=True)
    options = ["-p", str(out), "-o", "-q", "--page-size", "200", "--file-pattern", pattern]
    client.ask("kernels", "output", kernel, *options)
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            start = file.read(120)
        if re.match(rb'\s*\{"code": ?[45]\d\d', start):
            path.unlink()
            raise KernelError(f"{path} could not be fetched, Kaggle says {start.decode(errors='replace')}: try again")


def read_last_report(kernel: str) -> dict[str, Any]:
    """The kernel.json of the last version of owner/slug; {} when it left none."""
    with tempfile.TemporaryDirectory(prefix="dfd-report-") as temporary:
        download(kernel, Path(temporary), f"^{REPORT}$")
        return read_report(Path(temporary)) if (Path(temporary) / REPORT).is_file() else {}


def image(kernel: str) -> Image:
    """The image that the last version of owner/slug ran in. Raises KernelError when Kaggle or its report do not say."""
    with tempfile.TemporaryDirectory(prefix="dfd-image-") as temporary:
        client.ask("kernels", "pull", kernel, "-p", temporary, "-m")
        about = json.loads((Path(temporary) / places.METADATA).read_text(encoding="utf-8"))
    if not DIGEST.fullmatch(ran_in := str(about.get("docker_image"))):
        raise KernelError(f"Kaggle does not say in which image {kernel} ran: its docker_image is {ran_in!r}")
    if not (report := read_last_report(kernel)):
        raise KernelError(f"{kernel} has no {REPORT} that says its versions: it has not ended, or was stopped")
    return seen(ran_in, report)


def log(kernel: str, out: Path) -> str:
    """The log of the last version of owner/slug. Raises KernelError when there is none yet."""
    download(kernel, out, "^$")
    path = out / f"{kernel.rpartition('/')[2]}.log"
    if not path.is_file():
        raise KernelError(f"{kernel} has no log yet")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:  # Kaggle stores it as JSON
        return "".join(str(entry.get("data", "")) for entry in json.loads(text, strict=False))
    except (ValueError, AttributeError, TypeError):
        return text
