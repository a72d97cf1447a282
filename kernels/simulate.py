"""Rehearse a built kernel on this machine under Kaggle's conditions."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dfd.report import terminal as show
from kernels import KernelError, image, inputs, places, sandbox
from kernels.build import Built, unversioned
from kernels.report import report

COMPETITION_FILES = ("test_videos", "train_sample_videos", inputs.SAMPLE)
"""Mounted of a competition's folder: Kaggle has no labels of the test."""
WORDS = {
    "competition_sources": "competitions",
    "dataset_sources": "datasets",
    "kernel_sources": "notebooks",
    "model_sources": "models",
}


def simulate(
    built: Built,
    competition: Path,
    folders: Mapping[str, Path],
    long_layout: bool = True,
    limits: sandbox.Limits = sandbox.Limits(),  # noqa: B008  # frozen
    labels: Path | None = None,
    exact: bool = False,
) -> str:
    """Run build/<name> with the sources of its metadata, print the report as of a real run, return its status.

    competition: a folder like the competition's. folders: by slug, to attach for a dataset, model or kernel's output;
    otherwise build/wheelhouse, and the outputs of rehearsals. long_layout: input/datasets/<owner>/<slug>, else
    input/<slug>. exact: with the image's Python and versions, installed into build/image.
    Raises KernelError: a source is missing here, or the kernel failed.
    """
    predict = places.base(built.name) == "predict"
    sources = attached(built, competition, folders, long_layout)
    mounts = "/kaggle/input/<kind>/<owner>/<slug>" if long_layout else "/kaggle/input/<slug>"
    versions = "" if exact else "; in the versions installed here:"
    show.say(f"Rehearsal without network, sources at {mounts}, with the packages of Kaggle's image only{versions}")
    if not exact:
        show.table(image.differences(image.pinned(), image.here()))
    with tempfile.TemporaryDirectory(prefix=f"dfd-{built.name}-") as temporary:
        tree, log = Path(temporary) / "kaggle", built.folder / "log.txt"
        linked = Path(temporary) / "environment"
        python = image.exact_environment(places.built("image")) if exact else image.linked_environment(linked)
        ended = sandbox.run(python, built.folder / built.metadata["code_file"], tree, sources, limits, log)
        shutil.rmtree(places.output(built.name), ignore_errors=True)
        shutil.copytree(tree / "working", places.output(built.name))
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
        again = "" if predict else f"; go on: make kernel-simulate KERNEL={built.name} RESUME=1"
        raise KernelError(f"kernel {built.name} ended as {ended.status}: {why}{again}")
    return report(places.output(built.name), labels if predict else None)


def attached(built: Built, competition: Path, folders: Mapping[str, Path], long_layout: bool) -> dict[str, Path]:
    """The local folder or file of each source of a kernel, by its path below /kaggle/input.

    Raises KernelError for one that is missing, saying how to make it.
    """
    outputs = {f"dfd-{name}": places.output(name) for name in places.NAMES}
    known = {"dfd-wheelhouse": places.built("wheelhouse"), **outputs, **folders}
    found: dict[str, Path] = {}
    for key, word in WORDS.items():
        for source in built.metadata.get(key, []):
            owner, _, slug = unversioned(str(source)).rpartition("/")
            inner = str(source).lower().split("/")[2:] if key == "model_sources" else []  # framework, name, version
            place = "/".join(part for part in ((word, owner, slug, *inner) if long_layout else (slug, *inner)) if part)
            folder = competition if key == "competition_sources" else known.get(slug)
            if folder is None or not folder.is_dir():
                raise KernelError(f"{source} is not here ({folder or 'no folder is known'}): {_remedy(key, slug)}")
            if key == "competition_sources":
                found |= {f"{place}/{n}": folder / n for n in COMPETITION_FILES if (folder / n).exists()}
            else:
                found[place] = folder
    return found


def _remedy(key: str, slug: str) -> str:
    if key == "competition_sources":
        return "make one with `dfd sample`, or give --competition"
    if slug == "dfd-wheelhouse":
        return "make wheelhouse"
    return f"rehearse it first (make kernel-simulate KERNEL={slug.removeprefix('dfd-')}), or give --source"
