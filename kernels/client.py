"""The only door to Kaggle's API: its command line, whose words count, since it ends with 0 on many errors.

The package is never imported: importing it logs in.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels import KernelError

PATIENCE = 3600
"""Seconds that one command may take: an upload of a large dataset."""
TOKEN = "make an API token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token"


@dataclass(frozen=True)
class Answer:
    """What one command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams."""
        return f"{self.out}\n{self.err}"


def kaggle(*arguments: str) -> Answer:
    """Run `kaggle` with `arguments`. Raises KernelError: it is not installed, does not answer, or is not let in."""
    beside = Path(sys.executable).with_name("kaggle")
    command = str(beside) if beside.is_file() else shutil.which("kaggle")
    if command is None:
        raise KernelError("Kaggle's command line is not installed: pip install 'dfd[kaggle]'")
    environment = {**os.environ, "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(
            [command, "-W", *arguments], capture_output=True, text=True, encoding="utf-8", errors="replace",
            env=environment, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise KernelError(f"kaggle {' '.join(arguments[:2])} gave no answer within {PATIENCE} s") from None
    answer = Answer(done.returncode, done.stdout, done.stderr)
    if answer.status and "kaggle auth login" in answer.text:  # said of none, and of those that Kaggle refuses
        local = arguments[0] == "config"
        raise KernelError(f"{'no Kaggle credentials' if local else 'Kaggle does not accept your credentials'}: {TOKEN}")
    if answer.status and re.search(r"Max retries exceeded|Connection aborted|ConnectionError|timed out", answer.text):
        raise KernelError(f"Kaggle cannot be reached: {_last(answer)}")
    if answer.status and "No module named" in answer.text:
        raise KernelError(f"Kaggle's command line does not start ({_last(answer)}): pip install 'dfd[kaggle]'")
    return answer


def asked(*arguments: str) -> str:
    """What a command prints. Raises KernelError with Kaggle's words when it ends otherwise than with 0."""
    answer = kaggle(*arguments)
    if answer.status:
        raise KernelError(f"Kaggle refused `kaggle {' '.join(arguments[:3])}`: {_last(answer)}")
    return answer.out


def account() -> str:
    """The account whose credentials are here. Raises KernelError when there are none."""
    found = re.search(r"^- username: (\S+)$", asked("config", "view"), re.MULTILINE)
    if found is None or found[1] == "None":
        raise KernelError(f"no Kaggle credentials: {TOKEN}")
    return found[1]


def kernel_status(kernel: str) -> tuple[str, str]:
    """(QUEUED, RUNNING, COMPLETE, ERROR, CANCEL_ACKNOWLEDGED, …; why it failed or "") of owner/slug."""
    out = asked("kernels", "status", kernel)
    found = re.search(r'has status "(?:KernelWorkerStatus\.)?(\w+)"', out)
    if found is None:
        raise KernelError(f"Kaggle's answer on the status of {kernel} is not understood: {out.strip()[:200]!r}")
    why = re.search(r'Failure message: "(.*)"', out, re.DOTALL)
    return found[1].upper(), why[1].strip() if why else ""


def dataset_status(dataset: str) -> str:
    """ready, or what it is on the way there. Raises KernelError for a dataset that is not there."""
    return asked("datasets", "status", dataset).strip().splitlines()[-1].strip().lower()


def kernel_log(path: Path) -> str:
    """The text of a log, which Kaggle hands out as JSON."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        entries: list[dict[str, Any]] = json.loads(text, strict=False)
        return "".join(str(entry.get("data", "")) for entry in entries)
    except (ValueError, AttributeError, TypeError):
        return text


def _last(answer: Answer) -> str:
    """The last line of what was printed, errors first."""
    lines = [line.strip() for line in (answer.err.strip() or answer.out.strip()).splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit status {answer.status}, without a word"
