"""What is attached to a kernel on top of its metadata's sources: a bundle, faces, or what its last version left.

A kernel resumes from the output of its last version, which is attached to the next one as a dataset, in a rehearsal
as on Kaggle. This works however it ended: Kaggle itself mounts only the output of a version that succeeded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import FOLDER
from kernels import KernelError, client, follow, inputs, places, upload
from kernels.metadata import OWNER, Source, read_metadata
from kernels.session import REPORT

FACES = "dfd-face-tracks"
"""Name of the dataset for locally built faces."""
MAY_CHANGE = frozenset({"hours", "timeout", "unlisted"})
"""Settings that may change from version to version."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Given:
    """What a kernel takes in place of what the kernel before it made."""

    bundle: Annotated[Path | None, FOLDER] = None
    """For predict: a bundle made here, which becomes a Kaggle Model, or a model as in you/dfd/pyTorch/detector/1."""
    faces: Annotated[Path | None, FOLDER] = None
    """For train: a dataset of faces made here, in place of what kernel faces made."""
    resume: bool = False
    """Resume from what the last version left, with its settings."""


NOTHING = Given()


class NothingLeftError(KernelError):
    """The last version left no output to resume from."""


def attach(
    name: str, account: str, changes: Mapping[str, Any], given: Given, scratch: Path
) -> tuple[dict[str, Any], list[Source]]:
    """The settings of a kernel's next version, and the sources to attach to it, staged in `scratch`.

    account: OWNER for a rehearsal, which resumes from the last rehearsal. changes: of the settings.
    Raises KernelError: a folder of another kind than `name` takes, or as resume_from.
    """
    sources = []
    for kind, folder in (("bundle", given.bundle), ("faces", given.faces)):
        if folder and places.TAKES.get(places.base(name)) != kind:
            takes = next(kernel for kernel, taken in places.TAKES.items() if taken == kind)
            raise KernelError(f"kernel {name} takes no {kind}: {takes} does")
        if folder and upload.VERSION.fullmatch(str(folder)):
            sources.append(Source(str(folder), kind))
        elif folder and kind == "bundle":
            sources.append(upload.model(folder, kind, account, scratch / kind))
        elif folder:
            sources.append(upload.dataset(folder, kind, f"{account}/{FACES}", scratch / kind))
    if not given.resume:
        return dict(changes), sources
    output = places.output(name) if account == OWNER else _last_output(name, account, scratch / "output")
    settings, left = resume_from(output, name, account, changes, scratch / "left")
    return settings, [*sources, *(source for source in left if source.kind not in {one.kind for one in sources})]


def _last_output(name: str, account: str, to: Path) -> Path:
    """Fetch what the last version of a kernel left into `to`. Raises KernelError when there is none, or it runs."""
    kernel, kind = str(read_metadata(name, account)["id"]), _left_by(name)
    state, _ = client.kernel_status(kernel)
    if state == "MISSING":
        raise KernelError(f"{kernel} does not exist on Kaggle: leave out RESUME=1")
    if state not in follow.ENDED:
        raise KernelError(f"{kernel} is {state.lower()}: wait for its end, then resume it")
    follow.download(kernel, to, rf"^({REPORT}|{kind}/.*)$")
    return to


def resume_from(
    output: Path, name: str, account: str, changes: Mapping[str, Any], staged: Path
) -> tuple[dict[str, Any], list[Source]]:
    """The settings of the next version and the sources to attach to it: the results in `output`, now also in `staged`.

    changes: of the settings. Raises KernelError: the last version is done, it left nothing, its files are damaged, or
    it had another recipe or dataset.
    """
    kind, about = _left_by(name), follow.read_report(output) if (output / REPORT).is_file() else {}
    if about.get("status") == "done" and kind != "faces":  # more videos may have been attached to faces
        raise KernelError(f"kernel {name} is done: there is nothing to resume")
    if inputs.kind_of(output / kind) != kind:
        raise NothingLeftError(f"kernel {name} left nothing to resume from: leave out RESUME=1")
    inputs.check(output / kind, "fetch it again")
    before = about.get("settings", {})
    for key, value in changes.items():
        if key not in MAY_CHANGE and key in before and before[key] != value:
            raise KernelError(
                f"setting {key} of kernel {name} is {value!r}, but {before[key]!r} in what it resumes from: leave it "
                "out, or push without RESUME=1"
            )
    sources = [upload.dataset(output / kind, kind, f"{account}/dfd-{name}-earlier", staged)]
    if kind == "run" and "faces" in about.get("wanted", {}):  # it took a local folder's faces: so does the next
        sources.insert(0, Source(f"{account}/{FACES}", "faces", about["wanted"]["faces"]))
    return {**before, **changes}, sources


def _left_by(name: str) -> str:
    """The kind of folder that a kernel leaves to resume from."""
    if (base := places.base(name)) not in places.LEAVES:
        raise KernelError(f"kernel {name} has nothing to resume: leave out RESUME=1")
    return places.LEAVES[base]
