"""Rehearse a kernel on this machine under Kaggle's conditions: its folders, no network, read-only input, and limits.

DFD_KAGGLE names the folder that serves the script as /kaggle. guard.py refuses connections and writes to the input in
each process of its environment by Python's audit hooks, so a rehearsal needs no privileges and runs on every system.
"""

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from cyclopts import Parameter

from dfd.cli.options import FOLDER, SECONDS
from dfd.report import terminal as show
from kernels import KernelError, image, inputs, places
from kernels.attach import NOTHING, Given, attach
from kernels.build import Built, build
from kernels.check import LONGEST
from kernels.follow import report
from kernels.metadata import OWNER, Source, unversioned
from kernels.session import ROOT, installed

GIB = 2**30
POLL = 0.2
"""Seconds between two measurements of a script's memory."""
now = time.monotonic
"""The clock of the time limit."""
HERE = Path(__file__).parent
COMPETITION_FILES = ("test_videos", "train_sample_videos", inputs.SAMPLE)
"""The mounted parts of a competition folder: on Kaggle the test set has no labels."""
FOLDERS = {"competition": "competitions", "dataset": "datasets", "kernel": "notebooks", "model": "models"}
"""Path below /kaggle/input at which Kaggle mounts each kind of source."""
REMEDIES = {f"dfd-{name}": f"rehearse it first: make kernel-simulate KERNEL={name}" for name in places.NAMES}
REMEDIES |= {"dfd-wheelhouse": "make wheelhouse", "deepfake-detection-challenge": "make one with `dfd sample`"}
"""What makes a missing source, by its slug."""
OTHERWISE = "give FACES=folder or BUNDLE=folder, or put a dataset of yours there"
"""What makes any other."""


@dataclass(frozen=True)
class Run:
    """How a script ended. status: COMPLETE, ERROR or CANCEL_ACKNOWLEDGED, as on Kaggle; reason: "" if COMPLETE.

    memory: peak use in bytes.
    """

    status: str
    reason: str
    memory: int


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsed kernel finds attached, and how it runs."""

    competition: Annotated[Path, FOLDER] = Path("work/mini-dfdc")
    """A folder like the competition's, with test_labels.csv if its test videos are to be scored."""
    layout: Literal["long", "short"] = "long"
    """long: /kaggle/input/datasets/OWNER/SLUG; short: /kaggle/input/SLUG. Kaggle uses both."""
    seconds: Annotated[float, SECONDS] = LONGEST
    """Time limit."""


def simulate(name: str, changes: Mapping[str, Any], here: Rehearsal, given: Given = NOTHING) -> str:
    """Build a kernel, run it, and print the same report as for a real run. Returns its status.

    changes: of its settings. Raises KernelError: a source is missing here, or the kernel failed.
    """
    with tempfile.TemporaryDirectory(prefix=f"dfd-{name}-") as temporary:
        settings, sources = attach(name, OWNER, changes, given, Path(temporary))
        built = build(name, OWNER, settings, sources)
        _run(built, attached(built, here, sources), here, Path(temporary))
    labels = here.competition / "test_labels.csv"
    return report(places.output(name), labels if labels.is_file() else None)


def _run(built: Built, sources: Mapping[str, Path], here: Rehearsal, scratch: Path) -> None:
    """Run a built kernel, print how it ended, and keep its output in build/<name>/working.

    Raises KernelError when it failed, or reached a limit.
    """
    name, log, tree, start = built.name, built.folder / "log.txt", scratch / "kaggle", time.monotonic()
    show.say(f"Rehearsal without network, in the {here.layout} layout, with Kaggle's packages only; versions here:")
    versions = installed(image.pinned().versions)
    show.table(image.differences({"python": platform.python_version(), "versions": versions}))
    python = image.linked_environment(scratch / "environment")
    ended = run_script(python, built.folder / built.metadata["code_file"], tree, sources, here.seconds, log)
    shutil.rmtree(places.output(name), ignore_errors=True)
    output = shutil.copytree(tree / "working", places.output(name))
    sizes = [path.stat().st_size for path in output.rglob("*") if path.is_file()]
    print(log.read_text(encoding="utf-8", errors="replace"), end="")
    show.say(
        f"{ended.status} after {time.monotonic() - start:.1f} s; at most {ended.memory / GIB:.2f} GiB of memory, "
        f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files of output. Log: {places.shown(log)}"
    )
    if ended.status != "COMPLETE":
        resumes = f"; resume it: make kernel-simulate KERNEL={name} RESUME=1" * (places.base(name) in places.LEAVES)
        raise KernelError(f"kernel {name} ended as {ended.status}: {ended.reason}{resumes}")
    check_use(ended.memory / GIB, sum(sizes) / GIB, len(sizes))


def check_use(memory: float, output: float, files: int) -> None:
    """Raise KernelError for more than a session on Kaggle has. memory, output: in GiB."""
    for used, most, what in ((memory, 31, "GiB of memory"), (output, 20, "GiB of output"), (files, 500, "files")):
        if used > most:
            raise KernelError(f"the kernel took {used:.4g} {what}: a session on Kaggle has {most}")


def attached(built: Built, here: Rehearsal, sources: Sequence[Source] = ()) -> dict[str, Path]:
    """The local folder or file of each source of a kernel, by its path below /kaggle/input.

    A dataset of your own is looked for in build/<slug>. Raises KernelError for a missing one, with the command that
    creates it.
    """
    known = {f"dfd-{name}": places.output(name) for name in places.NAMES}
    known |= {"dfd-wheelhouse": places.built("wheelhouse")}
    known |= {_slug(source.name): source.folder for source in sources if source.folder}
    found: dict[str, Path] = {}
    for kind, mounted in FOLDERS.items():
        for source in map(str, built.metadata.get(f"{kind}_sources", [])):
            slug, name = _slug(source), unversioned(source)
            version = source.lower().split("/")[2:] if kind == "model" else []  # framework, variation, version
            place = "/".join([f"{mounted}/{name}" if here.layout == "long" else slug, *version])
            folder = here.competition if kind == "competition" else known.get(slug, places.built(slug))
            if not folder.is_dir():
                raise KernelError(f"{source} is not here ({places.shown(folder)}): {REMEDIES.get(slug, OTHERWISE)}")
            if kind == "competition":
                found |= {f"{place}/{n}": folder / n for n in COMPETITION_FILES if (folder / n).exists()}
            else:
                found[place] = folder
    return found


def _slug(source: str) -> str:
    return unversioned(source).rpartition("/")[2]


def run_script(python: Path, script: Path, tree: Path, sources: Mapping[str, Path], seconds: float, log: Path) -> Run:
    """Run a script or notebook with `tree` as /kaggle and `sources` (path below input -> folder or file) attached.

    python: of a virtual environment, in which the guard is installed. seconds: time limit. log: file for its output.
    """
    for part in ("input", "working", "temp"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    for place, folder in sources.items():
        (tree / "input" / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / "input" / place).symlink_to(folder.resolve())
    shutil.copy(HERE / "guard.py", image.site_packages(python.parents[1]) / "sitecustomize.py")
    runner = [shutil.copy(HERE / "runner.py", tree)] if script.suffix == ".ipynb" else []
    command = [python, "-u", *runner, shutil.copy(script, tree)]
    temp = str(tree / "temp")
    read_only = os.pathsep.join(map(str, (tree / "input", *(folder.resolve() for folder in sources.values()))))
    environment = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    environment |= {"HOME": temp, "TMPDIR": temp, "LANG": "C.UTF-8", "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    environment |= {ROOT: str(tree), "DFD_READ_ONLY": read_only}  # no credentials, no PYTHONPATH
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=tree / "working", env=environment,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            return _watch(process, seconds, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and all that it started
            process.wait()


def _watch(process: subprocess.Popen[bytes], seconds: float, log: Path) -> Run:
    """Wait for the end of a process, or until the time is up, and measure its memory."""
    until, memory = now() + seconds, 0
    while process.poll() is None:
        if now() > until:
            reason = "Your notebook was stopped because it exceeded the max allowed execution duration."
            return Run("CANCEL_ACKNOWLEDGED", reason, memory)
        memory = max(memory, _memory(process))
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
    if process.returncode == 0:
        return Run("COMPLETE", "", memory)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Run("ERROR", lines[-1] if lines else f"the script ended with exit status {process.returncode}", memory)


def _memory(process: subprocess.Popen[bytes]) -> int:
    """Memory of a process and of those that it started, in bytes."""
    found = 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for member in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found += member.memory_info().rss
    return found
