"""Resume a kernel from its last version: fetch its output, and attach it to the next version as a dataset.

This works however that version ended. Kaggle itself mounts only the output of a version that succeeded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels import KernelError, client, follow, inputs
from kernels.build import Sources, earlier, read_metadata
from kernels.places import base
from kernels.report import read_report
from kernels.session import REPORT
from kernels.upload import Upload, dataset

KINDS = {"faces": "faces", "train": "run"}
"""Folder in a kernel's output from which to resume; also its kind."""
MAY_CHANGE = frozenset({"hours", "timeout", "unlisted", "faces"})
"""Settings that may change from version to version."""


class NothingLeftError(KernelError):
    """The last version left no output to resume from."""


@dataclass(frozen=True)
class Left:
    """The output of the last version. settings: of the next version; upload: the dataset to attach to it."""

    settings: dict[str, Any]
    upload: Upload


def from_kaggle(name: str, account: str, changes: Mapping[str, Any], scratch: Path) -> Left:
    """Fetch the output of the last version of kernel `name` into `scratch`.

    Raises KernelError: there is no version, it is still running, and as from_folder.
    """
    kernel = str(read_metadata(name, account, Sources(earlier=""))["id"])
    state, _ = client.kernel_status(kernel)
    if state not in follow.ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: wait for its end, then resume it")
    follow.download(kernel, scratch / "output", rf"^({REPORT}|{KINDS[base(name)]}/.*)$")
    return from_folder(name, scratch / "output", account, changes, scratch / "left")


def from_folder(name: str, output: Path, account: str, changes: Mapping[str, Any], staged: Path) -> Left:
    """Stage the results in a version's `output`. changes: of its settings.

    Raises KernelError: it is done, it left nothing, its files are damaged, or it had another recipe or dataset.
    """
    read_metadata(name, account, Sources(earlier=""))
    kind, about = KINDS[base(name)], read_report(output) if (output / REPORT).is_file() else {}
    if about.get("status") == "done" and kind != "faces":  # more videos may have been attached to faces
        raise KernelError(f"kernel {name} is done: there is nothing to resume")
    if inputs.kind_of(output / kind) != kind:
        raise NothingLeftError(f"kernel {name} left nothing to resume from: leave out RESUME=1")
    if damage := inputs.fault(output / kind):
        raise KernelError(f"{damage}: fetch it again")
    before = about.get("settings", {})
    for key, value in changes.items():
        if key not in MAY_CHANGE and key in before and before[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, but {before[key]!r} in what it resumes from: leave it "
                "out, or push without RESUME=1"
            )
    return Left({**before, **changes}, dataset(output / kind, kind, f"{account}/{earlier(name)}", staged))
