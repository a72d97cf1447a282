"""Going on from the last version of a kernel: its output is fetched and attached to the next version as a dataset.

It does so however that version ended. Kaggle itself would mount the output only of one that ended well.
"""

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfd.files import whole
from kernels import KernelError, client, follow, inputs
from kernels.build import Sources, read_metadata
from kernels.places import base
from kernels.report import read_report
from kernels.session import REPORT

KINDS = {"faces": ("faces", "faces.tar"), "train": ("run", "config.json")}
"""The folder of a kernel's output to go on from, and a file in it that shows that it was begun."""
FREE = frozenset({"hours", "timeout", "faces"})
"""Settings that may change from version to version."""


class NothingLeftError(KernelError):
    """The last version left nothing to go on from."""


@dataclass(frozen=True)
class Left:
    """What the last version left. settings: its own. folder: to attach as the dataset; identity: its sha256."""

    settings: dict[str, Any]
    folder: Path
    identity: str


def from_kaggle(name: str, account: str, scratch: Path) -> Left:
    """Fetch what the last version of kernel `name` left into `scratch`.

    Raises KernelError: there is no version, it still runs, it is done, or it left nothing.
    """
    kernel = str(read_metadata(name, account, Sources(resume=True))["id"])
    state, _ = client.kernel_status(kernel)
    if state not in follow.ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: wait for its end, then go on from it")
    follow.download(kernel, scratch / "output", rf"^({REPORT}|{KINDS[base(name)][0]}/.*)$")
    return from_folder(name, scratch / "output", scratch / "left")


def from_folder(name: str, output: Path, to: Path) -> Left:
    """Make what a version left in its `output` one file in `to`.

    Raises KernelError: it is done, or it left nothing.
    """
    read_metadata(name, None, Sources(resume=True))
    kind, begun = KINDS[base(name)]
    settings = _settings(name, output)
    if not (output / kind / begun).is_file():
        raise NothingLeftError(f"kernel {name} left nothing to go on from: leave out RESUME=1")
    if damage := inputs.fault(output / kind):
        raise KernelError(f"{damage}: fetch it again")
    to.mkdir(parents=True, exist_ok=True)
    with whole(to / f"{kind}.tar") as partial:
        if (packed := output / kind / f"{kind}.tar").is_file():
            shutil.copyfile(packed, partial)
        else:
            with tarfile.open(partial, "w") as archive:
                archive.add(output / kind, ".")
    return Left(settings, to, inputs.write_manifest(to, kind))


def settle(name: str, before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the next version: those before, changed. Raises KernelError for another recipe or dataset."""
    for key, value in changes.items():
        if key not in FREE and key in before and before[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, but {before[key]!r} in what it goes on from: leave it "
                "out, or push without RESUME=1"
            )
    return {**before, **changes}


def _settings(name: str, output: Path) -> dict[str, Any]:
    """The settings of the version with this output, {} where it has no report. Raises KernelError when done."""
    if not (output / REPORT).is_file():
        return {}
    about = read_report(output)
    if about["status"] == "done" and base(name) != "faces":  # more videos may have been attached to faces
        raise KernelError(f"kernel {name} is done: there is nothing to go on with")
    return dict(about.get("settings", {}))
