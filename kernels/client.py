"""Kaggle's API, used only through its command line, because importing the package logs in.

The printed output decides, not the exit status, which is 0 for many errors.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kernels import KernelError

PATIENCE = 3600
"""Time limit of a command in seconds: an upload of a large dataset."""
PAUSE = 30.0
"""Seconds between two polls."""
TOKEN = "make an API token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token"
NO_NETWORK = re.compile(r"Max retries exceeded|Connection (aborted|broken)|ConnectionError|[Tt]imed out|\b50[234]\b")
ABSENT = re.compile(r"not found|\b40[34]\b|permission\b.*\bdenied|cannot access", re.IGNORECASE)
"""Kaggle's words for what does not exist, or is private to another account."""


class UnreachableError(KernelError):
    """Kaggle did not answer, so the request's result is unknown."""


class MissingError(KernelError):
    """The requested object does not exist, or is private to another account."""


def ask(*arguments: str) -> str:
    """Run `kaggle` with `arguments`, and return its output.

    Raises KernelError with Kaggle's words when it fails, is not installed or refuses the credentials; MissingError;
    UnreachableError without a network.
    """
    command = shutil.which("kaggle", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if command is None:
        raise KernelError("Kaggle's command line is not installed: pip install 'dfd[kaggle]'")
    try:
        done = subprocess.run(
            [command, "-W", *arguments], capture_output=True, text=True, encoding="utf-8", errors="replace",
            env={**os.environ, "PYTHONUTF8": "1"}, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"kaggle {' '.join(arguments[:2])} gave no answer within {PATIENCE} s") from None
    if done.returncode == 0:
        return done.stdout
    text, fault = done.stdout + done.stderr, words(done.stderr.strip() or done.stdout)
    if NO_NETWORK.search(text):
        raise UnreachableError(f"Kaggle cannot be reached: look at your network ({fault})")
    if "kaggle auth login" in text:  # printed without credentials, and for refused ones
        refused = "no Kaggle credentials" if arguments[0] == "config" else "Kaggle does not accept your credentials"
        raise KernelError(f"{refused}: {TOKEN}")
    if "No module named" in text:
        raise KernelError(f"Kaggle's command line does not start ({fault}): pip install 'dfd[kaggle]'")
    kind = MissingError if ABSENT.search(text) else KernelError
    raise kind(f"Kaggle refused `kaggle {' '.join(arguments[:3])}`: {fault}")


def words(text: str) -> str:
    """Kaggle's message in one line, without the advice after an empty line; of a traceback the last line.

    >>> words("403 Client Error\\nForbidden\\n\\nDid you know …")
    '403 Client Error Forbidden'
    """
    said = "\n".join(line for line in text.splitlines() if "B/s" not in line).strip()  # without bars of uploads
    said = said.splitlines()[-1] if said.startswith("Traceback") else said.partition("\n\n")[0]
    return " ".join(said.split())[-300:] or "nothing"


def tries(minutes: float) -> Iterator[bool]:
    """Yield once per attempt, PAUSE seconds apart, for `minutes`: whether it is the last."""
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        yield False
        time.sleep(PAUSE)
    yield True


def account() -> str:
    """The account of the credentials. Raises KernelError when there are none."""
    found = re.search(r"^- username: (\S+)$", ask("config", "view"), re.MULTILINE)
    if found is None or found[1] == "None":
        raise KernelError(f"no Kaggle credentials: {TOKEN}")
    return found[1]


def kernel_status(kernel: str) -> tuple[str, str]:
    """The state of owner/slug's last version, and why it failed or "".

    MISSING, or as Kaggle says it: QUEUED, RUNNING, COMPLETE, ERROR, CANCEL_ACKNOWLEDGED, …
    """
    try:
        said = ask("kernels", "status", kernel)
    except MissingError:
        return "MISSING", ""
    found = re.search(r'has status "(?:KernelWorkerStatus\.)?(\w+)"', said)
    if found is None:
        raise KernelError(f"Kaggle's answer on the status of {kernel} is not understood: {said.strip()[:200]!r}")
    why = re.search(r'Failure message: "(.*)"', said, re.DOTALL)
    return found[1].upper(), why[1].strip() if why else ""
