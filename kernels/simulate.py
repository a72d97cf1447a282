"""A rehearsal of a built kernel on this machine, as like Kaggle as it can be made."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dfd.report import terminal as show
from kernels import KernelError, image, inputs, places, sandbox
from kernels.build import Built, unversioned
from kernels.report import report

COMPETITION_FILES = ("test_videos", "train_sample_videos", inputs.SAMPLE)
"""What is mounted of a competition's folder: Kaggle has no labels of the test."""
WORDS = {"competition_sources": "competitions", "dataset_sources": "datasets", "kernel_sources": "notebooks"}


def simulate(
    built: Built,
    competition: Path,
    folders: Mapping[str, Path],
    long_layout: bool = True,
    limits: sandbox.Limits = sandbox.Limits(),  # noqa: B008  # frozen
    labels: Path | None = None,
    exact: bool = False,
) -> str:
    """Run build/<name>/main.py on what its metadata attaches, print the report of a real run, return its status.

    competition: a folder like the competition's. folders: by slug, what stands for a dataset or for a kernel's output;
    else build/wheelhouse, and what the rehearsals before left. long_layout: input/datasets/<owner>/<slug>, else
    input/<slug>. exact: the image's Python and versions, installed into build/image. Raises KernelError: a source is
    missing here, or the kernel failed.
    """
    namespaces = sandbox.has_namespaces()
    if exact and not namespaces:
        raise KernelError("an exact rehearsal needs namespaces, which this system does not grant: leave out EXACT=1")
    sources = attached(built, competition, folders, long_layout)
    _say_what_differs(namespaces, long_layout, exact)
    with tempfile.TemporaryDirectory(prefix=f"dfd-{built.name}-") as temporary:
        tree = Path(temporary) / "kaggle"
        tree.mkdir()
        if exact:
            python = image.exact_environment(places.built("image"))
        else:
            python = image.make_environment(Path(temporary) / "environment", blocked=not namespaces)
        log = built.folder / "log.txt"
        ended = sandbox.run(python, built.folder / places.SCRIPT, tree, sources, limits, log, namespaces)
        shutil.rmtree(output(built.name), ignore_errors=True)
        shutil.copytree(tree / "working", output(built.name))
    print(log.read_text(encoding="utf-8", errors="replace"), end="")
    show.say(
        f"{ended.status} after {ended.seconds:.1f} s; at most {ended.memory / sandbox.GIB:.2f} GiB of memory, "
        f"{ended.disk / 1e6:.1f} MB in {ended.files} files of output. Log: {places.shown(log)}"
    )
    if ended.files > sandbox.MOST_FILES:
        raise KernelError(f"{ended.files} files of output: Kaggle keeps {sandbox.MOST_FILES}; pack them")
    if ended.status != "COMPLETE":
        why = _last_words(log) if ended.failed else ended.reason
        again = "" if built.name == "predict" else f"; go on: make kernel-simulate KERNEL={built.name} RESUME=1"
        raise KernelError(f"kernel {built.name} ended as {ended.status}: {why or ended.reason}{again}")
    return report(output(built.name), labels if built.name == "predict" else None)


def output(name: str) -> Path:
    """Where a rehearsal leaves what the kernel wrote to /kaggle/working."""
    return places.built(name) / "working"


def attached(built: Built, competition: Path, folders: Mapping[str, Path], long_layout: bool) -> dict[str, Path]:
    """The local folder or file of each source of a kernel, by its place below /kaggle/input.

    Raises KernelError for one that is not here, saying how to make it.
    """
    known = {"dfd-wheelhouse": places.wheelhouse(), **{f"dfd-{name}": output(name) for name in places.NAMES}, **folders}
    found: dict[str, Path] = {}
    for key, word in WORDS.items():
        for source in built.metadata.get(key, []):
            owner, _, slug = unversioned(str(source)).rpartition("/")
            place = f"{word}/{owner}/{slug}".replace("//", "/") if long_layout else slug
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
        return "make it: make wheelhouse"
    return f"rehearse it first (make kernel-simulate KERNEL={slug.removeprefix('dfd-')}), or give --source"


def _say_what_differs(namespaces: bool, long_layout: bool, exact: bool) -> None:
    isolation = (
        "namespaces of its own: no network interface is up, /kaggle/input is read-only"
        if namespaces
        else "this system grants no namespaces: sockets are blocked in Python, /kaggle/input is links"
    )
    mounts = "/kaggle/input/<kind>/<owner>/<slug>" if long_layout else "/kaggle/input/<slug>"
    versions = "in its very versions" if exact else "and no others, in the versions of here:"
    show.say(f"Rehearsal in {isolation}; sources at {mounts}; with the packages of Kaggle's image {versions}")
    if not exact:
        show.table(image.differences())


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
