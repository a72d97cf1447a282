"""Run a script or notebook under Kaggle's conditions: its folders, no network, read-only input, and limits.

DFD_KAGGLE tells the script which folder serves as /kaggle. Python's audit hooks refuse connections and writes to the
input in each process of its environment, so a rehearsal needs no privileges and runs on every system.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
from cyclopts import Parameter

from dfd.cli.options import GIGABYTES, SECONDS
from kernels.image import site_packages

GIB = 2**30
POLL = 0.2
"""Seconds between two measurements of a script's memory and disk."""
MOST_FILES = 500
"""Maximum number of output files that Kaggle keeps."""
now = time.monotonic
"""The clock of the time limit."""
GUARD = '''\
"""Refuses connections, and writes to the attached sources, in a rehearsal."""
import os
import socket
import sys

INPUT = [os.path.realpath(path) for path in os.environ["DFD_READ_ONLY"].split(os.pathsep)]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
NAMES = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.rmtree"}
CONTENTS = {"os.chmod", "os.chown", "os.truncate", "os.utime"}

def attached(path, name):
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    folder, last = os.path.split(os.path.abspath(os.fsdecode(path)))
    real = os.path.join(os.path.realpath(folder), last) if name else os.path.realpath(os.path.join(folder, last))
    return any(real == folder or real.startswith(folder + os.sep) for folder in INPUT)

def guard(event, arguments):
    if event in ("socket.connect", "socket.sendto") and arguments[0].family != socket.AF_UNIX:
        raise OSError(101, "Network is unreachable: a kernel has no internet")
    if event in NAMES:
        changed = arguments[event == "os.symlink" : 2]
    elif event in CONTENTS or event == "open" and arguments[2] & WRITING:
        changed = arguments[:1]
    else:
        return
    for path in changed:
        if attached(path, event in NAMES):
            raise OSError(30, "Read-only file system", path)

sys.addaudithook(guard)
'''
RUNNER = '''\
"""Runs a notebook as Kaggle does: prints what its cells print, and keeps it as __notebook__.ipynb."""
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

class Client(NotebookClient):
    def output(self, outs, msg, display_id, cell_index):
        print(msg["content"].get("text", ""), end="", flush=True)
        return super().output(outs, msg, display_id, cell_index)

book = nbformat.read(sys.argv[1], 4)
try:
    Client(book, timeout=None).execute()
except CellExecutionError as error:
    raise SystemExit(f"{error.ename}: {error.evalue}") from None
finally:
    nbformat.write(book, "__notebook__.ipynb")
'''


@Parameter(name="*")
@dataclass(frozen=True)
class Limits:
    """Kaggle's limits.

    Args:
        seconds: Time limit.
        memory: Limit in GiB.
        disk: Limit of the output in GiB.
    """

    seconds: Annotated[float, SECONDS] = 32_400
    memory: Annotated[float, GIGABYTES] = 31
    disk: Annotated[float, GIGABYTES] = 20


@dataclass(frozen=True)
class Run:
    """How a script ended. status: COMPLETE, ERROR or CANCEL_ACKNOWLEDGED, as on Kaggle; reason: "" if COMPLETE.

    memory, disk: peak use in bytes. files: number in /kaggle/working.
    """

    status: str
    reason: str
    seconds: float
    memory: int
    disk: int
    files: int


def run(python: Path, script: Path, tree: Path, sources: Mapping[str, Path], limits: Limits, log: Path) -> Run:
    """Run a script or notebook with `tree` as /kaggle and `sources` (path below input -> folder or file) attached.

    python: of a virtual environment, in which the guard is installed. Output goes to `log`.
    """
    for part in ("input", "working", "temp"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    command = [str(python), "-u", shutil.copy(script, tree)]
    if script.suffix == ".ipynb":
        (tree / "runner.py").write_text(RUNNER, encoding="utf-8")
        command.insert(2, str(tree / "runner.py"))
    for place, folder in sources.items():
        (tree / "input" / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / "input" / place).symlink_to(folder.resolve())
    (site_packages(python.parents[1]) / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    read_only = os.pathsep.join(map(str, (tree / "input", *(folder.resolve() for folder in sources.values()))))
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=tree / "working", env=_environment(tree, read_only),
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            why, memory, disk = _watch(process, tree / "working", limits)
        finally:
            _kill(process)
    files = sum(path.is_file() for path in (tree / "working").rglob("*"))
    status = "CANCEL_ACKNOWLEDGED" if "duration" in why else "COMPLETE" if process.returncode == 0 else "ERROR"
    reason = why or ("" if process.returncode == 0 else f"the script ended with exit status {process.returncode}")
    return Run(status, reason, time.monotonic() - start, memory, disk, files)


def _environment(tree: Path, read_only: str) -> dict[str, str]:
    """Only the path and OMP_NUM_THREADS are kept from this machine: no credentials, no PYTHONPATH."""
    temp = str(tree / "temp")
    return {
        **{name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ},
        "HOME": temp,
        "TMPDIR": temp,
        "LANG": "C.UTF-8",
        "KAGGLE_KERNEL_RUN_TYPE": "Batch",
        "DFD_KAGGLE": str(tree),
        "DFD_REHEARSAL": "1",
        "DFD_READ_ONLY": read_only,
    }


def _watch(process: subprocess.Popen[bytes], working: Path, limits: Limits) -> tuple[str, int, int]:
    """Wait for the end or a limit. Returns why it was stopped ("" if not), peak memory and peak disk use in bytes."""
    memory = disk = 0
    until = now() + limits.seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
        memory, disk = max(memory, _memory(process)), max(disk, _disk(working))
        if process.returncode is not None:
            return "", memory, disk
        if now() > until:
            return "Your notebook was stopped because it exceeded the max allowed execution duration.", memory, disk
        if memory > limits.memory * GIB:
            return "Your notebook tried to allocate more memory than is available.", memory, disk
        if disk > limits.disk * GIB:
            return f"/kaggle/working is full: {disk / GIB:.1f} GiB", memory, disk


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _memory(process: subprocess.Popen[bytes]) -> int:
    total = 0
    for member in _family(process):
        with suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total


def _disk(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the file was renamed meanwhile
            total += path.stat().st_size
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the script and all processes that it started, orphans included."""
    for member in reversed(_family(process)):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
