"""Running a built script as Kaggle would: /kaggle, no network, a clock, and limits of memory and disk.

With namespaces (Linux, `unshare`) the script sees a real /kaggle whose input is read-only, no network interface that
is up, and no process but its own. Without them it is told another root and sockets are blocked in its Python.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

GIB = 2**30
now = time.monotonic
"""The clock that cuts a script off."""
POLL = 0.2
"""Seconds between two looks at a script's memory and disk."""
MOST_FILES = 500
"""Files of an output that Kaggle keeps."""

# Inside of new namespaces: a root like this one but for /kaggle, which is the tree; every source is mounted read-only.
ENTER = """
set -eu
root=$1 tree=$2 sources=$3; shift 3
mount -t tmpfs none "$root"
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir -p "$root$entry"; mount --rbind "$entry" "$root$entry"
    fi
done
mkdir -p "$root/kaggle"
mount --bind "$tree" "$root/kaggle"
while IFS='\t' read -r from to; do mount --bind "$from" "$root/kaggle/$to"; done < "$sources"
mount --bind "$root/kaggle/input" "$root/kaggle/input"
while IFS='\t' read -r from to; do mount --bind "$from" "$root/kaggle/$to"; done < "$sources"
mount -o remount,bind,ro "$root/kaggle/input"
while IFS='\t' read -r from to; do mount -o remount,bind,ro "$root/kaggle/$to"; done < "$sources"
exec unshare --root="$root" --wd=/kaggle/working "$@"
"""
NAMESPACES = (
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


@dataclass(frozen=True)
class Limits:
    """What Kaggle grants: seconds, bytes of memory, bytes of /kaggle/working."""

    seconds: float = 32_400
    memory: float = 31 * GIB
    disk: float = 20 * GIB


@dataclass(frozen=True)
class Run:
    """How a script ended. status: COMPLETE, ERROR or CANCEL_ACKNOWLEDGED, as Kaggle says; reason: why, "" if well.

    memory, disk: the most that it held, in bytes. files: in /kaggle/working.
    """

    status: str
    reason: str
    seconds: float
    memory: int
    disk: int
    files: int

    @property
    def failed(self) -> bool:
        """Whether it ended by itself, and not well."""
        return self.status == "ERROR" and self.reason.startswith("the script ended")


@cache
def has_namespaces() -> bool:
    """Whether this system lets a process have its own network, mounts and processes."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def run(
    python: Path, script: Path, tree: Path, sources: Mapping[str, Path], limits: Limits, log: Path, namespaces: bool
) -> Run:
    """Run `script` in `tree`, laid out as /kaggle, with each of `sources` (place below input -> folder or file) there.

    Its output goes to `log`. namespaces: as has_namespaces() says.
    """
    for part in ("input", "working", "temp", "src"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    shutil.copy(script, tree / "src" / "script.py")
    command = _entered(python, tree, sources) if namespaces else _linked(python, tree, sources)
    where = Path("/kaggle") if namespaces else tree
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=tree / "working",
            env=_environment(where), start_new_session=True,
        )  # fmt: skip
        try:
            why, memory, disk = _watch(process, tree / "working", limits)
        finally:
            _kill(process)
    files = sum(path.is_file() for path in (tree / "working").rglob("*"))
    status = "CANCEL_ACKNOWLEDGED" if "duration" in why else "COMPLETE" if process.returncode == 0 else "ERROR"
    reason = why or ("" if process.returncode == 0 else f"the script ended with exit status {process.returncode}")
    return Run(status, reason, time.monotonic() - start, memory, disk, files)


def _environment(where: Path) -> dict[str, str]:
    """Nothing of this machine's but its path: no credentials, no PYTHONPATH."""
    temp = str(where / "temp")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": temp,
        "TMPDIR": temp,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),
        "KAGGLE_KERNEL_RUN_TYPE": "Batch",
        "DFD_KAGGLE": str(where),
        "DFD_REHEARSAL": "1",
    }


def _entered(python: Path, tree: Path, sources: Mapping[str, Path]) -> list[str]:
    """The command that runs the script inside of namespaces."""
    for place, folder in sources.items():
        target = tree / "input" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True) if folder.is_dir() else target.touch()
    (tree / "root").mkdir(exist_ok=True)
    listed = "".join(f"{folder.resolve()}\tinput/{place}\n" for place, folder in sources.items())
    (tree / "sources").write_text(listed, encoding="utf-8")
    enter = ["sh", "-c", ENTER, "enter", str(tree / "root"), str(tree), str(tree / "sources")]
    return [*NAMESPACES, *enter, str(python), "-u", "/kaggle/src/script.py"]


def _linked(python: Path, tree: Path, sources: Mapping[str, Path]) -> list[str]:
    """The command that runs the script without namespaces, its sources linked: nothing keeps it from writing there."""
    for place, folder in sources.items():
        target = tree / "input" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(folder.resolve())
    return [str(python), "-u", str(tree / "src" / "script.py")]


def _watch(process: subprocess.Popen[bytes], working: Path, limits: Limits) -> tuple[str, int, int]:
    """Wait for the end, or for a limit: (why it was stopped or "", most memory, most disk), in Kaggle's words."""
    memory = disk = 0
    until = now() + limits.seconds
    while True:
        try:
            process.wait(POLL)
        except subprocess.TimeoutExpired:
            memory, disk = max(memory, _memory(process.pid)), max(disk, _disk(working))
        else:
            return "", memory, max(disk, _disk(working))
        if now() > until:
            return "Your notebook was stopped because it exceeded the max allowed execution duration.", memory, disk
        if memory > limits.memory:
            return "Your notebook tried to allocate more memory than is available.", memory, disk
        if disk > limits.disk:
            return f"/kaggle/working is full: {disk / GIB:.1f} GiB", memory, disk


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(pid: int) -> int:
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _disk(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # a file on its way to its name
            continue
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the script and all that it started."""
    for member in reversed(_family(process.pid)):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
