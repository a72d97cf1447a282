"""Rehearse a kernel on this machine under Kaggle's conditions: its folders, no network, read-only input, and limits.

DFD_KAGGLE names the folder that serves the script as /kaggle. guard.py refuses connections and writes to the input in
each process of its environment by Python's audit hooks, so a rehearsal needs no privileges and runs on every system.
"""

import os
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

from dfd.cli.options import FOLDER, GIGABYTES, SECONDS
from dfd.report import terminal as show
from kernels import KernelError, image, inputs, places, upload
from kernels.build import OWNER, Built, Source, build, unversioned
from kernels.follow import report, resume_from_folder
from kernels.options import pairs
from kernels.session import ROOT

GIB = 2**30
POLL = 0.2
"""Seconds between two measurements of a script's memory and disk."""
now = time.monotonic
"""The clock of the time limit."""
HERE = Path(__file__).parent
COMPETITION_FILES = ("test_videos", "train_sample_videos", inputs.SAMPLE)
"""The mounted parts of a competition folder: on Kaggle the test set has no labels."""
FOLDERS = {"competition": "competitions", "dataset": "datasets", "kernel": "notebooks", "model": "models"}
"""Path below /kaggle/input at which Kaggle mounts each kind of source."""
MOST_FILES = 500
"""Maximum number of output files that Kaggle keeps."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Kaggle's limits."""

    seconds: Annotated[float, SECONDS] = 32_400
    """Time limit."""
    memory: Annotated[float, GIGABYTES] = 31
    """Limit in GiB."""
    disk: Annotated[float, GIGABYTES] = 20
    """Limit of the output in GiB."""


@dataclass
class Run:
    """How a script ended. status: COMPLETE, ERROR or CANCEL_ACKNOWLEDGED, as on Kaggle; reason: "" if COMPLETE.

    seconds: it took. memory, disk: peak use in bytes. files: number in /kaggle/working.
    """

    status: str = "COMPLETE"
    reason: str = ""
    seconds: float = 0
    memory: int = 0
    disk: int = 0
    files: int = 0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsed kernel finds attached, and how it runs."""

    competition: Annotated[Path, FOLDER] = Path("work/mini-dfdc")
    """A folder like the competition's, with test_labels.csv if its test videos are to be scored."""
    source: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """A folder for a dataset or a kernel's output, as in dfd-train=FOLDER; repeat it."""
    bundle: Annotated[Path | None, FOLDER] = None
    """For predict: a bundle made here, attached as a model."""
    resume: bool = False
    """Resume from what the last rehearsal of NAME left, with its settings."""
    layout: Literal["long", "short"] = "long"
    """long: /kaggle/input/datasets/<owner>/<slug>; short: /kaggle/input/<slug>. Kaggle uses both."""
    exact: bool = False
    """With the image's Python and exact versions, from the registry: once, minutes and gigabytes."""
    limits: Limits = Limits()  # frozen


def simulate(name: str, changes: Mapping[str, Any], here: Rehearsal) -> str:
    """Build a kernel, run it, and print the same report as for a real run. Returns its status.

    changes: of its settings. Raises KernelError: a source is missing here, or the kernel failed.
    """
    with tempfile.TemporaryDirectory(prefix=f"dfd-{name}-") as temporary:
        scratch, settings = Path(temporary), dict(changes)
        sources: list[Source] = []
        if here.resume:
            settings, sources = resume_from_folder(name, places.output(name), OWNER, changes, scratch / "left")
        if here.bundle:
            upload.check_kind(here.bundle, "bundle")
            model = f"{OWNER}/{upload.MODEL}/{upload.FRAMEWORK}/bundle/1"
            sources.append(upload.dataset(here.bundle, "bundle", model, scratch / "bundle"))
        built = build(name, "", settings, sources)
        ended = _run(built, attached(built, here, sources), here, scratch)
    log = built.folder / "log.txt"
    text = log.read_text(encoding="utf-8", errors="replace")
    print(text, end="")
    show.say(
        f"{ended.status} after {ended.seconds:.1f} s; at most {ended.memory / GIB:.2f} GiB of memory, "
        f"{ended.disk / 1e6:.1f} MB in {ended.files} files of output. Log: {places.shown(log)}"
    )
    if ended.files > MOST_FILES:
        raise KernelError(f"{ended.files} files of output: Kaggle keeps {MOST_FILES}; pack them")
    if ended.status != "COMPLETE":
        lines = text.strip().splitlines()
        why = lines[-1] if lines and ended.reason.startswith("the script ended") else ended.reason
        resumes = f"; resume it: make kernel-simulate KERNEL={name} RESUME=1"
        raise KernelError(f"kernel {name} ended as {ended.status}: {why}{resumes * (places.base(name) != 'predict')}")
    labels = here.competition / "test_labels.csv"
    return report(places.output(name), labels if labels.is_file() else None)


def _run(built: Built, sources: Mapping[str, Path], here: Rehearsal, scratch: Path) -> Run:
    """Run a built kernel, and keep its output in build/<name>/working."""
    versions = "" if here.exact else "; in the versions installed here:"
    show.say(f"Rehearsal without network, in the {here.layout} layout, with Kaggle's packages only{versions}")
    if here.exact:
        python = image.exact_environment(places.built("image"))
    else:
        show.table(image.differences(image.here()))
        python = image.linked_environment(scratch / "environment")
    script, output = built.folder / built.metadata["code_file"], places.output(built.name)
    ended = run_script(python, script, scratch / "kaggle", sources, here.limits, built.folder / "log.txt")
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(scratch / "kaggle" / "working", output)
    return ended


def attached(built: Built, here: Rehearsal, sources: Sequence[Source] = ()) -> dict[str, Path]:
    """The local folder or file of each source of a kernel, by its path below /kaggle/input.

    Raises KernelError for a missing one, with the command that creates it.
    """
    known: dict[str, Path | None] = {f"dfd-{name}": places.output(name) for name in places.NAMES}
    known |= {"dfd-wheelhouse": places.built("wheelhouse"), **{_slug(source.name): source.folder for source in sources}}
    known |= {slug: Path(folder) for slug, folder in pairs(here.source, "--source").items()}
    found: dict[str, Path] = {}
    for kind, mounted in FOLDERS.items():
        for source in map(str, built.metadata.get(f"{kind}_sources", [])):
            version = source.lower().split("/")[2:] if kind == "model" else []  # framework, variation, version
            long = [mounted, *unversioned(source).split("/")]
            place = "/".join([*(long if here.layout == "long" else [_slug(source)]), *version])
            folder = here.competition if kind == "competition" else known.get(_slug(source))
            if folder is None or not folder.is_dir():
                raise KernelError(f"{source} is not here ({folder or 'no folder is known'}): {_remedy(kind, source)}")
            if kind == "competition":
                found |= {f"{place}/{n}": folder / n for n in COMPETITION_FILES if (folder / n).exists()}
            else:
                found[place] = folder
    return found


def _slug(source: str) -> str:
    return unversioned(source).rpartition("/")[2]


def _remedy(kind: str, source: str) -> str:
    if kind == "competition":
        return "make one with `dfd sample`, or give --competition"
    if _slug(source) == "dfd-wheelhouse":
        return "make wheelhouse"
    return f"rehearse it first (make kernel-simulate KERNEL={_slug(source).removeprefix('dfd-')}), or give --source"


def run_script(python: Path, script: Path, tree: Path, sources: Mapping[str, Path], limits: Limits, log: Path) -> Run:
    """Run a script or notebook with `tree` as /kaggle and `sources` (path below input -> folder or file) attached.

    python: of a virtual environment, in which the guard is installed. Output goes to `log`.
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
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=tree / "working", env=environment,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            ended = _watch(process, tree / "working", limits)
        finally:
            _kill(process)
    ended.seconds = time.monotonic() - start
    ended.files = sum(path.is_file() for path in (tree / "working").rglob("*"))
    return ended


def _watch(process: subprocess.Popen[bytes], working: Path, limits: Limits) -> Run:
    """Wait for the end of a process, or until it reaches a limit, and measure it."""
    until, ended = now() + limits.seconds, Run()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
        memory, disk = _use(process, working)
        ended.memory, ended.disk = max(ended.memory, memory), max(ended.disk, disk)
        if process.returncode is not None:
            if process.returncode:
                ended.status, ended.reason = "ERROR", f"the script ended with exit status {process.returncode}"
        elif now() > until:
            ended.status = "CANCEL_ACKNOWLEDGED"
            ended.reason = "Your notebook was stopped because it exceeded the max allowed execution duration."
        elif ended.memory > limits.memory * GIB:
            ended.status, ended.reason = "ERROR", "Your notebook tried to allocate more memory than is available."
        elif ended.disk > limits.disk * GIB:
            ended.status, ended.reason = "ERROR", f"/kaggle/working is full: {ended.disk / GIB:.1f} GiB"
        else:
            continue
        return ended


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _use(process: subprocess.Popen[bytes], working: Path) -> tuple[int, int]:
    """Memory of a process and those that it started, and size of its output, in bytes."""
    memory = disk = 0
    for member in _family(process):
        with suppress(psutil.NoSuchProcess):
            memory += member.memory_info().rss
    for path in working.rglob("*"):
        with suppress(FileNotFoundError):  # the file was renamed meanwhile
            disk += path.stat().st_size
    return memory, disk


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the script and all processes that it started, orphans included."""
    for member in reversed(_family(process)):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
