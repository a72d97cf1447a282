"""A kernel's session on Kaggle: its inputs, its wheels, its time limit and its report.

    with Session("predict", SETTINGS) as session:
        data = session.competition()
        session.install_wheels()
        …
        session.finish("done", …)

Every error ends in one sentence, exit status 1 and a kernel.json that says so. Before install_wheels() only the
standard library is imported.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dfd.errors import DfdError
from dfd.files import read_object, write_json
from dfd.report.lines import Lines
from kernels import KernelError, inputs

if TYPE_CHECKING:
    from dfd.faces.tracklets import FacesConfig
    from dfd.training.recipes import Recipe
    from dfd.types import Video

ROOT = "DFD_KAGGLE"
"""Environment variable of a rehearsal: the folder that serves as /kaggle. No GPU is needed then."""
REPORT, SUBMISSION = "kernel.json", "submission.csv"
MOUNT_WAIT = 180.0
"""Seconds to wait for a source, since some sessions start before their inputs are mounted."""
PACK_EVERY = 1800.0
"""Seconds between two archives of an unfinished face dataset, since a session may be cut off."""
OLDEST_GPU = (7, 0)
"""Lowest compute capability that torch supports."""
CARDS = 2
"""Number of GPUs of a session with T4; a rehearsal without a GPU trains in as many processes."""


class Session:
    """Paths, clock and report of one kernel. settings: main.py's; "hours" is its own time limit."""

    def __init__(self, name: str, settings: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self.name, self.settings, self._clock = name, dict(settings), clock
        self.rehearsal = ROOT in os.environ
        root = Path(os.environ.get(ROOT, "/kaggle"))
        self.input, self.working, self.scratch = (root / part for part in ("input", "working", "temp"))
        self.start = self._packed = clock()
        self.until = self.start + 3600 * float(self.settings["hours"])
        self.progress = Lines(name, self.log, clock=clock)
        self._finished, self._made = False, ""
        self._attached: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Print and report what is running."""
        for folder in (self.working, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        built = built_as()
        self._report("cut off", reason="it was stopped before its end")  # the report if the session is cut off
        self.log(f"dfd kernel {self.name}: commit {built['commit']}, content {built['sha256'][:12]}, {self.settings}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write a report in any case. An error that a user can correct becomes one sentence."""
        if error is None:
            if not self._finished:
                self.finish("failed", reason="main() ended without a result")
            return
        line = " ".join(str(error).split()) if isinstance(error, DfdError) else f"{type(error).__name__}: {error}"
        self.finish("failed", reason=line)
        if isinstance(error, DfdError):
            raise SystemExit(f"dfd kernel {self.name}: {line}") from None

    def log(self, text: str) -> None:
        """Print a line, with the seconds since the start."""
        print(f"[{self._clock() - self.start:7.1f} s] {text}", flush=True)

    def competition(self) -> Path:
        """The competition's folder. Raises KernelError when it is not attached."""
        return self._await("the competition's test_videos/ and sample_submission.csv", inputs.competition)[0]

    def videos(self, name: str, unlisted: bool = False) -> "list[Video]":
        """The videos of every attached folder with a metadata.json, or of the one called `name`.

        Prints how each folder is interpreted, and which videos its labels leave out. unlisted: include these videos,
        without a label. Raises KernelError when no such folder is attached, or two videos have one name.
        """
        from dfd.report.understood import understood
        from dfd.videos.manifest import read_folder

        what = f"a folder called {name}" if name else "a folder of videos with a metadata.json"
        videos: dict[str, Video] = {}
        for folder in self._await(what, lambda root: inputs.videos(root, name)):
            found = read_folder(folder, unlisted)
            for line in understood(folder, found):
                self.log(line.replace("--unlisted", 'SET="unlisted=true"'))
            for video in found.videos:
                if videos.setdefault(video.name, video) is not video:
                    raise KernelError(f"{video.path} and {videos[video.name].path} have one name: attach one of them")
        return list(videos.values())

    def attached(self, kind: str) -> Path:
        """The attached folder of a `kind` (faces, bundle, …) with the content that this kernel was built for, if any.

        Raises KernelError when none is attached, several are, or its files are not those of its manifest.
        """
        identity = built_as()["wanted"].get(kind, "")
        what = f"a folder whose {inputs.MANIFEST} says {kind}" + f" with content {identity[:12]}" * bool(identity)
        found = self._await(what, lambda root: inputs.of_kind(root, kind, identity))
        if len(found) > 1:
            raise KernelError(f"{len(found)} folders of kind {kind}: {found[0]}, {found[1]}; attach one of them")
        inputs.check(found[0], "upload it again")
        self._attached[kind] = inputs.content(found[0])
        return found[0]

    def install_wheels(self) -> None:
        """Install the locked wheels from the attached wheelhouse. torch and numpy stay the image's.

        Raises KernelError when one of them is missing, damaged or refused by pip.
        """
        wheels, target = sorted(self.attached("wheels").glob("*.whl")), self.scratch / "wheels"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(target)]
        done = subprocess.run([*command, *map(str, wheels)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise KernelError(f"pip could not install {', '.join(map(str, wheels))}: {done.stderr.strip()[-300:]}")
        sys.path.insert(1, str(target))
        self.log(f"installed {', '.join('-'.join(wheel.name.split('-')[:2]) for wheel in wheels)}")

    def device(self) -> tuple[str, int]:
        """cuda and the number of GPUs, after testing one; in a rehearsal without a GPU cpu, and CARDS in their place.

        Raises KernelError when a kernel has no usable GPU.
        """
        import torch

        if torch.cuda.is_available() and torch.cuda.get_device_capability() >= OLDEST_GPU:
            torch.ones(2, device="cuda").sum().item()
            self.log(f"GPU: {torch.cuda.get_device_name()} × {torch.cuda.device_count()}")
            return "cuda", torch.cuda.device_count()
        if not self.rehearsal:
            raise KernelError(
                "no GPU that torch can use: push with machine_shape NvidiaTeslaT4, and look at your quota"
            )
        self.log(f"no GPU here, where Kaggle has {CARDS}; on Kaggle the kernel would fail now")
        return "cpu", CARDS

    def resume(self, kind: str, to: Path) -> Path:
        """Return `to`, with the last version's output if this one was built to resume.

        Raises KernelError when that is not attached or damaged, since hours of work would be repeated.
        """
        if kind in built_as()["wanted"]:
            folder = self.attached(kind)
            self.log(f"resumes from {folder}")
            inputs.unpack(folder, kind, to)
        return to

    def pack(self, folder: Path, kind: str, every: float = 0) -> None:
        """Write another kernel's input to /kaggle/working/<kind>, unless that was done `every` seconds ago or less.

        Workers may be writing to `folder` meanwhile: unfinished files are left out.
        """
        if self._clock() - self._packed >= every:
            self._made = inputs.stage(folder, self.working / kind, kind)
            self._packed = self._clock()

    @contextmanager
    def page(self, name: str) -> Iterator[Path]:
        """Context with the path of a page to write in /kaggle/working. A notebook then shows it.

        A failed page is logged, and does not stop the kernel: its results are written already.
        """
        from dfd.report.page import framed

        path = self.working / name
        try:
            yield path
            if (ipython := sys.modules.get("IPython")) and ipython.get_ipython():
                from IPython.display import display

                display({"text/html": framed(path.read_text(encoding="utf-8"))}, raw=True)
        except Exception as error:  # noqa: BLE001
            self.log(f"no page {name}: {type(error).__name__}: {error}")
        else:
            self.log(f"page {name}")

    def finish(self, status: str, **about: Any) -> None:
        """Write kernel.json: what ran, how it ended (done, unfinished, failed) and its results."""
        self._finished = True
        self._report(status, **about)
        self.log(f"{status}: {about.get('reason') or 'see ' + REPORT}")

    def _report(self, status: str, **about: Any) -> None:
        report = {
            "kernel": self.name,
            "status": status,
            **built_as(),
            "settings": self.settings,
            "seconds": round(self._clock() - self.start, 1),
            "python": ".".join(map(str, sys.version_info[:3])),
            "image": os.environ.get("KAGGLE_DOCKER_IMAGE", ""),
            "versions": installed(json.loads(Path(__file__).with_name("image.json").read_text())["versions"]),
            "attached": self._attached,
            "made": self._made,
            **about,
        }
        write_json(self.working / REPORT, report)

    def _await(self, what: str, look: Callable[[Path], list[Path]]) -> list[Path]:
        """Wait for `look` to find folders. Raises KernelError after listing what is mounted."""
        until = self._clock() + (0 if self.rehearsal else MOUNT_WAIT)
        while not (found := look(self.input)):
            if self._clock() >= until:
                print("\n".join(["mounted:", *inputs.listing(self.input)]), flush=True)
                raise KernelError(
                    f"{self.input} does not hold {what}: attach it to the kernel; the list above is what is mounted"
                )
            time.sleep(5)
        self.log(f"found {what}")
        return found


def built_as() -> dict[str, Any]:
    """Commit and content hash of the script. wanted: the sha256 of an attached folder's files, by kind, "" for any."""
    path = Path(__file__).resolve().parents[1] / "built.json"
    if not path.is_file():
        return {"commit": "not built", "sha256": "not built", "wanted": {}}
    return read_object(path, KernelError, "build the kernel again")


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def faces_config(settings: Mapping[str, Any]) -> "FacesConfig":
    """Face settings of kernel faces. Raises ConfigError."""
    from dfd.faces.tracklets import FacesConfig

    return FacesConfig.read(settings["options"], "options")


def training_recipe(settings: Mapping[str, Any], weights: Path | None = None) -> "Recipe":
    """The recipe of kernel train, with its options. weights: starting weights. Raises ConfigError."""
    from dfd.training.recipes import changed, recipe

    own = recipe(settings["recipe"])
    if weights:
        own = changed(own, {"model": {"weights": weights}}, "weights")
    return changed(own, settings["options"], "options")
