"""What the last version of a kernel left, and how the next one comes by it.

Kaggle mounts what the last version that ended well left. Of one that it cut off at its time limit, or that failed, it
mounts nothing, but its API still hands out the files: those are fetched, and sent back as a dataset. Of one that was
cancelled by hand there is nothing.
"""

import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfd.files import whole
from kernels import KernelError, client, follow, inputs, ledger, places
from kernels.build import Sources, read_metadata
from kernels.report import read_report
from kernels.session import REPORT

KINDS = {"faces": "faces", "train": "run"}
"""What a kernel goes on from: the kind, and the name, of a folder of its output."""
STARTED = {"faces": "faces.tar", "train": "config.json"}
"""The file in that folder that shows that there is something to go on from."""
ENDED_WELL = frozenset({"done", "unfinished"})
FREE = frozenset({"hours", "timeout", "faces"})
"""Settings that may change on the way."""


@dataclass(frozen=True)
class Left:
    """What the last version of a kernel left. settings: that version's. folder: of its output, or as a dataset.

    cut_off: it travels as a dataset, of that sha256 (identity).
    """

    name: str
    settings: dict[str, Any]
    folder: Path
    cut_off: bool = False
    identity: str = ""

    @property
    def slug(self) -> str:
        """Its name on Kaggle, without the owner."""
        return f"dfd-{self.name}-earlier" if self.cut_off else f"dfd-{self.name}"

    def sources(self, account: str) -> Sources:
        """What to attach."""
        return Sources(resume=True, earlier=f"{account}/{self.slug}" if self.cut_off else "", identity=self.identity)


def from_kaggle(name: str, account: str, scratch: Path, tell: Callable[[str], None] = print) -> Left:
    """What the last version of kernel `name` left, fetched into `scratch` where Kaggle would not mount it.

    Raises KernelError: no version, one that still runs, one that is done, or none that left anything.
    """
    kernel = str(read_metadata(name, account, Sources(resume=True))["id"])
    state, _ = client.kernel_status(kernel)
    if state not in follow.ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: the next version can go on from it once it has ended")
    wanted = "" if state == "COMPLETE" else f"|{KINDS[name]}/.*"
    follow.download(kernel, scratch / "output", rf"^({REPORT}{wanted})$")
    settings = _settings(name, scratch / "output")
    if state == "COMPLETE":
        return Left(name, settings, scratch / "output")
    if left := staged(name, scratch / "output", scratch / "staged", settings):
        tell(f"{kernel} ended as {state.lower()}; what it left is sent back as a dataset.")
        return left
    if len(ledger.entries(kernel)) > 1:
        tell(f"{kernel} ended as {state.lower()} and left nothing: goes on from the last version that ended well.")
        return Left(name, settings, scratch / "output")
    raise KernelError(f"{kernel} ended as {state} and left nothing to go on from: push it without RESUME=1")


def from_here(name: str, folder: Path) -> Left:
    """What the rehearsal whose output is in `folder` left. Raises KernelError as from_kaggle does."""
    read_metadata(name, None, Sources(resume=True))
    settings = _settings(name, folder)
    if (folder / REPORT).is_file() and read_report(folder)["status"] in ENDED_WELL:
        return Left(name, settings, folder)
    shutil.rmtree(places.built(name) / "earlier", ignore_errors=True)
    if left := staged(name, folder, places.built(name) / "earlier", settings):
        return left
    raise KernelError(f"{folder} holds nothing to go on from: rehearse {name} without RESUME=1 first")


def staged(name: str, output: Path, to: Path, settings: dict[str, Any]) -> Left | None:
    """What a cut-off run left in `output`, made a folder that travels as a dataset; None for nothing."""
    kind = KINDS[name]
    if not (output / kind / STARTED[name]).is_file():
        return None
    to.mkdir(parents=True)
    if kind == "faces":
        shutil.copy(output / kind / "faces.tar", to)
    else:
        with whole(to / f"{kind}.tar") as partial, tarfile.open(partial, "w") as archive:
            archive.add(output / kind, ".")
    return Left(name, settings, to, cut_off=True, identity=inputs.write_manifest(to, kind))


def settle(name: str, earlier: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that `name` goes on with: the earlier version's. Raises KernelError for another recipe or data."""
    for key, value in changes.items():
        if key not in FREE and key in earlier and earlier[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, and what it goes on from has {earlier[key]!r}: leave it "
                "out, or push without RESUME=1"
            )
    return {**earlier, **changes}


def _settings(name: str, output: Path) -> dict[str, Any]:
    """Those of the run whose output is in `output`, {} when it did not come to say. Raises KernelError when done."""
    if not (output / REPORT).is_file():
        return {}
    about = read_report(output)
    if about["status"] == "done" and name != "faces":  # more videos may have been attached to faces
        raise KernelError(f"kernel {name} is done: there is nothing left to go on with")
    return dict(about.get("settings", {}))
