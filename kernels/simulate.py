"""Rehearse a built kernel on this machine under Kaggle's conditions."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dfd.report import terminal as show
from kernels import KernelError, image, inputs, places, sandbox
from kernels.build import Built, unversioned
from kernels.report import report

COMPETITION_FILES = ("test_videos", "train_sample_videos", inputs.SAMPLE)
"""The mounted parts of a competition folder: on Kaggle the test set has no labels."""
FOLDERS = {"competition": "competitions", "dataset": "datasets", "kernel": "notebooks", "model": "models"}
"""Path below /kaggle/input at which Kaggle mounts each kind of source."""
Layout = Literal["long", "short"]


@dataclass(frozen=True)
class Rehearsal:
    """The local inputs of a kernel. competition: a folder like the competition's; labels: of its test videos.

    folders: by slug, for a dataset, model or kernel's output; by default build/wheelhouse, and the outputs of
    rehearsals. layout: long for input/datasets/<owner>/<slug>, short for input/<slug>. exact: with the image's Python
    and versions, installed into build/image.
    """

    competition: Path
    labels: Path | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    layout: Layout = "long"
    limits: sandbox.Limits = sandbox.Limits()  # noqa: RUF009  # frozen
    exact: bool = False


def simulate(built: Built, here: Rehearsal) -> str:
    """Run build/<name> with the sources of its metadata, and print the same report as for a real run. Returns its
    status.

    Raises KernelError: a source is missing here, or the kernel failed.
    """
    predict, output = places.base(built.name) == "predict", places.output(built.name)
    sources = attached(built, here)
    versions = "" if here.exact else "; in the versions installed here:"
    show.say(f"Rehearsal without network, in the {here.layout} layout, with Kaggle's packages only{versions}")
    if not here.exact:
        show.table(image.differences(image.pinned(), image.here()))
    with tempfile.TemporaryDirectory(prefix=f"dfd-{built.name}-") as temporary:
        tree, log = Path(temporary) / "kaggle", built.folder / "log.txt"
        linked = Path(temporary) / "environment"
        python = image.exact_environment(places.built("image")) if here.exact else image.linked_environment(linked)
        ended = sandbox.run(python, built.folder / built.metadata["code_file"], tree, sources, here.limits, log)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(tree / "working", output)
    text = log.read_text(encoding="utf-8", errors="replace")
    print(text, end="")
    show.say(
        f"{ended.status} after {ended.seconds:.1f} s; at most {ended.memory / sandbox.GIB:.2f} GiB of memory, "
        f"{ended.disk / 1e6:.1f} MB in {ended.files} files of output. Log: {places.shown(log)}"
    )
    if ended.files > sandbox.MOST_FILES:
        raise KernelError(f"{ended.files} files of output: Kaggle keeps {sandbox.MOST_FILES}; pack them")
    if ended.status != "COMPLETE":
        lines = text.strip().splitlines()
        why = lines[-1] if lines and ended.reason.startswith("the script ended") else ended.reason
        again = "" if predict else f"; resume it: make kernel-simulate KERNEL={built.name} RESUME=1"
        raise KernelError(f"kernel {built.name} ended as {ended.status}: {why}{again}")
    return report(output, here.labels if predict else None)


def attached(built: Built, here: Rehearsal) -> dict[str, Path]:
    """The local folder or file of each source of a kernel, by its path below /kaggle/input.

    Raises KernelError for a missing one, with the command that creates it.
    """
    outputs = {f"dfd-{name}": places.output(name) for name in places.NAMES}
    known = {"dfd-wheelhouse": places.built("wheelhouse"), **outputs, **here.folders}
    found: dict[str, Path] = {}
    for kind, mounted in FOLDERS.items():
        for source in map(str, built.metadata.get(f"{kind}_sources", [])):
            slug = unversioned(source).rpartition("/")[2]
            version = source.lower().split("/")[2:] if kind == "model" else []  # framework, variation, version
            long = [mounted, *unversioned(source).split("/")]
            place = "/".join([*(long if here.layout == "long" else [slug]), *version])
            folder = here.competition if kind == "competition" else known.get(slug)
            if folder is None or not folder.is_dir():
                raise KernelError(f"{source} is not here ({folder or 'no folder is known'}): {_remedy(kind, slug)}")
            if kind == "competition":
                found |= {f"{place}/{n}": folder / n for n in COMPETITION_FILES if (folder / n).exists()}
            else:
                found[place] = folder
    return found


def _remedy(kind: str, slug: str) -> str:
    if kind == "competition":
        return "make one with `dfd sample`, or give --competition"
    if slug == "dfd-wheelhouse":
        return "make wheelhouse"
    return f"rehearse it first (make kernel-simulate KERNEL={slug.removeprefix('dfd-')}), or give --source"
