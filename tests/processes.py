"""Commands in processes of their own: find those that still run, and start some without the wait for imports."""

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory


def running(session: int) -> list[str]:
    """Command lines of the processes in a session (start_new_session=True) that still run; zombies count as ended."""
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


def forked(command: list[str], *, env: dict[str, str], timeout: float, **_: object) -> subprocess.CompletedProcess[str]:
    """Run a Python script as subprocess.run does, forked from a process that has imported its packages."""
    with TemporaryDirectory() as folder:
        printed = [Path(folder) / name for name in ("out", "err")]
        process = multiprocessing.get_context("forkserver").Process(target=_script, args=(command, env, *printed))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        texts = [path.read_text("utf-8", errors="replace") for path in printed]
        return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _script(command: list[str], env: dict[str, str], out: Path, err: Path) -> None:
    """Become the script: its environment, arguments and standard streams."""
    gc.freeze()  # a collection would visit, and so copy, every object of the process that was forked
    os.environ.clear()
    os.environ.update(env)
    for path, stream in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), stream)
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name="__main__")
    except Exception:  # noqa: BLE001  # printed as Python prints it
        traceback.print_exc()
        sys.exit(1)
