"""What the last version of a kernel left, and how the next one comes by it.

Kaggle mounts what the last version that ended well left. Of one that it cut off at its time limit, or that failed, it
mounts nothing, but its API still hands out the files: those are fetched, and sent back as a dataset. Of one that was
cancelled by hand there is nothing.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernels import KernelError, client, datasets, follow, inputs, ledger, places
from kernels.build import OWNER, Sources, read_metadata
from kernels.report import read_report
from kernels.session import REPORT

KINDS = {"faces": "faces", "train": "run"}
"""What a kernel goes on from: the kind, and the name, of a folder of its output."""
STARTED = {"faces": "faces.tar", "train": "config.json"}
"""The file in that folder that shows that there is something to go on from."""
ENDED_WELL = frozenset({"done", "unfinished"})
FREE = frozenset({"hours", "timeout"})
"""Settings that may change on the way."""


def from_kaggle(name: str, account: str, tell: Callable[[str], None] = print) -> tuple[Sources, dict[str, Any]]:
    """What to attach so that kernel `name` goes on from its last version, and that version's settings.

    Raises KernelError: no version, one that still runs, one that is done, or none that left anything.
    """
    kernel = str(read_metadata(name, account, Sources(resume=True))["id"])
    state, _ = client.kernel_status(kernel)
    if state not in follow.ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: the next version can go on from it once it has ended")
    with tempfile.TemporaryDirectory(prefix="dfd-earlier-") as temporary:
        out, staged = Path(temporary) / "output", Path(temporary) / "staged"
        wanted = "" if state == "COMPLETE" else f"|{KINDS[name]}/.*"
        follow.download(kernel, out, rf"^({REPORT}{wanted})$")
        settings = _settings(name, out)
        if state == "COMPLETE":
            return Sources(resume=True), settings
        if stage(name, out, staged):
            tell(f"{kernel} ended as {state.lower()}; what it left is sent back as a dataset.")
            dataset, identity = datasets.upload(staged, f"dfd-{name}-earlier", account)
            return Sources(resume=True, earlier=dataset, identity=identity), settings
    if len(ledger.entries(kernel)) > 1:
        tell(f"{kernel} ended as {state.lower()} and left nothing: goes on from the last version that ended well.")
        return Sources(resume=True), settings
    raise KernelError(f"{kernel} ended as {state} and left nothing to go on from: push it without --resume")


def from_here(name: str, folder: Path) -> tuple[Sources, dict[str, Path], dict[str, Any]]:
    """The same for a rehearsal, of the output in `folder`: what to attach, where it is by its slug, the settings."""
    if name not in KINDS:
        read_metadata(name, None, Sources(resume=True))
    settings = _settings(name, folder)
    if (folder / REPORT).is_file() and read_report(folder)["status"] in ENDED_WELL:
        return Sources(resume=True), {f"dfd-{name}": folder}, settings
    staged = places.built(name) / "earlier"
    shutil.rmtree(staged, ignore_errors=True)
    if not stage(name, folder, staged):
        raise KernelError(f"{folder} holds nothing to go on from: rehearse {name} without --resume first")
    slug = f"dfd-{name}-earlier"
    identity = inputs.identity(inputs.read_manifest(staged)["files"])
    return Sources(resume=True, earlier=f"{OWNER}/{slug}", identity=identity), {slug: staged}, settings


def stage(name: str, output: Path, staged: Path) -> bool:
    """Make `staged` a folder that travels as a dataset, of what a cut-off run left in `output`; False for nothing."""
    kind = KINDS[name]
    if not (output / kind / STARTED[name]).is_file():
        return False
    staged.mkdir(parents=True)
    if kind == "faces":
        shutil.copy(output / kind / "faces.tar", staged)
    else:
        with tarfile.open(staged / f"{kind}.tar", "w") as archive:
            archive.add(output / kind, ".")
    inputs.write_manifest(staged, kind)
    return True


def settle(name: str, earlier: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that `name` goes on with: the earlier version's. Raises KernelError for another recipe or data."""
    for key, value in changes.items():
        if key not in FREE and key in earlier and earlier[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, and what it goes on from has {earlier[key]!r}: leave it "
                "out, or push without --resume"
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
