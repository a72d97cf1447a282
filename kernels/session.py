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
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dfd.errors import DfdError
from dfd.files import sha256, whole, write_json
from kernels import KernelError, inputs

ROOT = "DFD_KAGGLE"
"""Environment variable: where /kaggle is in a rehearsal."""
REHEARSAL = "DFD_REHEARSAL"
"""Environment variable of a rehearsal: nothing is mounted late, and no GPU is needed."""
REPORT, SUBMISSION = "kernel.json", "submission.csv"
LOCK, IMAGE = "wheelhouse.json", "image.json"
MOUNT_WAIT = 180.0
"""Seconds to wait for a source: some sessions start before their inputs are mounted."""
TELL_EVERY = 30.0
"""Seconds between two lines about progress."""
PACK_EVERY = 1800.0
"""Seconds between two packings of an unfinished dataset of faces: a session may be cut off."""
OLDEST_GPU = (7, 0)
"""Lowest compute capability that torch supports."""

Found = TypeVar("Found")


class Session:
    """Paths, clock and report of one kernel. settings: main.py's; "hours" is when it stops by itself."""

    def __init__(self, name: str, settings: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self.name, self.settings, self._clock = name, dict(settings), clock
        self.root = Path(os.environ.get(ROOT, "/kaggle"))
        self.input, self.working, self.scratch = (self.root / part for part in ("input", "working", "temp"))
        self.rehearsal = REHEARSAL in os.environ
        self.start = clock()
        self.until = self.start + 3600 * float(self.settings["hours"])
        self._said = self._packed = self.start
        self._finished, self._made = False, ""
        self._attached: dict[str, str] = {}
        self._versions = installed(json.loads(Path(__file__).with_name(IMAGE).read_text(encoding="utf-8"))["versions"])

    def __enter__(self) -> Self:
        """Say what runs."""
        for folder in (self.working, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        built = built_as()
        self._report("cut off", reason="it was stopped before its end")  # which stands if it is
        self.say(f"dfd kernel {self.name}: commit {built['commit']}, content {built['sha256'][:12]}, {self.settings}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Leave a report in any case; an error that a user can mend is one sentence."""
        if error is None:
            if not self._finished:
                self.finish("failed", reason="main() ended without a result")
            return
        line = " ".join(str(error).split()) if isinstance(error, DfdError) else f"{type(error).__name__}: {error}"
        self.finish("failed", reason=line)
        if isinstance(error, DfdError):
            raise SystemExit(f"dfd kernel {self.name}: {line}") from None

    def say(self, text: str) -> None:
        """A line of the log, with the seconds since the start."""
        print(f"[{self._clock() - self.start:7.1f} s] {text}", flush=True)

    def tell(self, done: int, total: int, what: str) -> None:
        """Progress, now and then."""
        if self._clock() - self._said >= TELL_EVERY or done == total:
            self._said = self._clock()
            self.say(f"{done} of {total}: {what}")

    def competition(self) -> Path:
        """The competition's folder. Raises KernelError when it is not attached."""
        return self._await("the competition's test_videos/ and sample_submission.csv", inputs.competition)

    def videos(self, name: str) -> list[Any]:
        """The videos of every attached folder with a metadata.json, or of the one called `name`."""
        what = f"a folder called {name}" if name else "a folder of videos with a metadata.json"
        return inputs.videos_of(self._await(what, lambda root: inputs.videos(root, name)))

    def attached(self, kind: str, identity: str = "") -> Path:
        """The folder of a `kind` (faces, bundle, …), whole by its sha256; with `identity`, that very one.

        Raises KernelError when none is attached, several are, or one is damaged or of another version.
        """
        what = f"a folder whose {inputs.MANIFEST} says {kind}"
        if identity:
            what += f" with content {identity[:12]}"

        def look(root: Path) -> list[Path]:
            found = inputs.of_kind(root, kind)
            return [f for f in found if inputs.identity(inputs.read_manifest(f)["files"]).startswith(identity)]

        found = self._await(what, look)
        if len(found) > 1:
            raise KernelError(f"{len(found)} folders of kind {kind}: {found[0]}, {found[1]}; attach one of them")
        if damage := inputs.fault(found[0]):
            raise KernelError(f"{damage}: upload it again")
        self._attached[kind] = inputs.identity(inputs.read_manifest(found[0])["files"])
        return found[0]

    def install_wheels(self) -> None:
        """Put the locked wheels on the path, out of the attached wheelhouse; torch and numpy stay the image's.

        Raises KernelError when one of them is missing, damaged or refused by pip.
        """
        lock: dict[str, str] = json.loads(Path(__file__).with_name(LOCK).read_text(encoding="utf-8"))
        folder = self._await(
            f"a wheelhouse with the {len(lock)} wheels of {LOCK}",
            lambda root: [f for f in inputs.of_kind(root, "wheels") if _holds(f, lock)],
        )[0]
        for name, wanted in lock.items():
            if (got := sha256(folder / name)) != wanted:
                raise KernelError(f"{folder / name} has sha256 {got[:12]}…, not {wanted[:12]}…: upload it again")
        target = self.scratch / "wheels"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(target)]
        done = subprocess.run([*command, *(str(folder / n) for n in lock)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise KernelError(f"pip could not install the wheels of {folder}: {done.stderr.strip()[-300:]}")
        sys.path.insert(1, str(target))
        self.say(f"installed {', '.join('-'.join(name.split('-')[:2]) for name in lock)}")

    def device(self) -> str:
        """cuda, tried with a real operation. Raises KernelError where it does not work: better now than in hours."""
        import torch

        if torch.cuda.is_available() and torch.cuda.get_device_capability() >= OLDEST_GPU:
            torch.ones(2, device="cuda").sum().item()
            self.say(f"GPU: {torch.cuda.get_device_name()} × {torch.cuda.device_count()}")
            return "cuda"
        if not self.rehearsal:
            raise KernelError(
                "no GPU that torch can use: push with machine_shape NvidiaTeslaT4, and look at your quota"
            )
        self.say("no GPU here; on Kaggle the kernel would fail now")
        return "cpu"

    def cards(self) -> int:
        """How many GPUs share a training; 1 where there is none."""
        import torch

        return max(1, torch.cuda.device_count())

    def unpack(self, folder: Path, kind: str, to: Path) -> Path:
        """Unpack the <kind>.tar of an attached folder to `to`, whole or not at all: a session may be cut off."""
        with whole(to) as partial, tarfile.open(folder / f"{kind}.tar") as archive:
            archive.extractall(partial, filter="data")
        return to

    def go_on(self, kind: str, to: Path) -> Path:
        """Return `to`, with what the last version left where this one was built with RESUME=1.

        Raises KernelError when that is not attached or damaged: hours of work would be done again.
        """
        if built_as()["resume"]:
            earlier = self.attached(kind, built_as()["earlier"])
            self.say(f"goes on from {earlier}")
            self.unpack(earlier, kind, to)
        return to

    def pack(self, store: Path) -> None:
        """Write a dataset of faces to the output as one file, faces/faces.tar: Kaggle keeps few files.

        Workers may be writing meanwhile: unfinished files, whose names begin with a dot, are left out.
        """
        place = self.working / "faces"
        place.mkdir(exist_ok=True)
        with whole(place / "faces.tar") as partial, tarfile.open(partial, "w") as archive:
            for folder, folders, files in os.walk(store):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for path in (Path(folder), *(Path(folder, name) for name in sorted(files) if not name.startswith("."))):
                    archive.add(path, path.relative_to(store), recursive=False)
        self.make(place, "faces")
        self._packed = self._clock()

    def make(self, folder: Path, kind: str) -> None:
        """Write the manifest of a folder of the output, and its content into the report."""
        self._made = inputs.write_manifest(folder, kind)

    def pack_now_and_then(self, store: Path) -> None:
        """Pack it again after PACK_EVERY seconds."""
        if self._clock() - self._packed >= PACK_EVERY:
            self.pack(store)

    def finish(self, status: str, **about: Any) -> None:
        """Write kernel.json: what ran, how it ended (done, unfinished, failed) and what came of it."""
        self._finished = True
        self._report(status, **about)
        self.say(f"{status}: {about.get('reason') or 'see ' + REPORT}")

    def _report(self, status: str, **about: Any) -> None:
        report = {
            "kernel": self.name,
            "status": status,
            **built_as(),
            "settings": self.settings,
            "seconds": round(self._clock() - self.start, 1),
            "python": ".".join(map(str, sys.version_info[:3])),
            "image": os.environ.get("KAGGLE_DOCKER_IMAGE", ""),
            "versions": self._versions,
            "attached": self._attached,
            "made": self._made,
            **about,
        }
        write_json(self.working / REPORT, report)

    def _await(self, what: str, look: Callable[[Path], Found | None]) -> Found:
        """What `look` finds, waiting for a late mount. Raises KernelError after listing what is mounted."""
        until = self._clock() + (1.0 if self.rehearsal else MOUNT_WAIT)
        while not (found := look(self.input)):
            if self._clock() >= until:
                print("\n".join(["mounted:", *inputs.listing(self.input)]), flush=True)
                raise KernelError(f"{self.input} has not {what}: attach it to the kernel; what is mounted is above")
            time.sleep(0.5 if self.rehearsal else 5)
        self.say(f"found {what}")
        return found


def built_as() -> dict[str, Any]:
    """Commit and content hash of the script, and whether it goes on from its last version.

    earlier: the sha256 of what that left, "" for any.
    """
    path = Path(__file__).resolve().parents[1] / "built.json"
    if not path.is_file():
        return {"commit": "not built", "sha256": "not built", "resume": False, "earlier": ""}
    built: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return built


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _holds(folder: Path, lock: Mapping[str, str]) -> bool:
    """Whether a wheelhouse's manifest promises every locked wheel: an older version of it does not."""
    files = inputs.read_manifest(folder)["files"]
    return all(files.get(name) == wanted for name, wanted in lock.items())
