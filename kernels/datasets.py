"""Folders uploaded as private datasets: the wheelhouse, a bundle, a dataset of faces, what a kernel left."""

import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slugify import slugify

from dfd.files import whole, write_json
from kernels import KernelError, client, inputs

STORE = "dataset.json"
MARKERS = (
    ("bundle", "bundle.json"), ("faces", STORE), ("faces", "faces.tar"), ("run", "run.tar"),
    ("wheels", inputs.MANIFEST),
)  # fmt: skip
"""A file that shows the kind of a folder."""
MADE = re.compile(r"Dataset (?:version )?is being created\. Please check progress at (\S+)", re.IGNORECASE)
ARRIVED = re.compile(r"Upload successful: (\S+) ")
ABOUT = "dataset-metadata.json"
PAUSE = 10.0
"""Seconds between two questions about an uploaded dataset."""


def kind_of(folder: Path) -> str:
    """bundle, faces, run, wheels, or "nothing"."""
    return next((kind for kind, marker in MARKERS if (folder / marker).is_file()), "nothing")


def check_kind(folder: Path, kind: str) -> None:
    """Raises KernelError for a folder of another kind."""
    if not folder.is_dir():
        raise KernelError(f"{folder} does not exist: name a folder that `dfd {kind}` made")
    if (found := kind_of(folder)) != kind:
        raise KernelError(f"{folder} holds {found}, no {kind}: name a folder that `dfd {kind}` made")


def upload(
    folder: Path,
    slug: str,
    account: str,
    wait: float = 30,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, str]:
    """Make the files of `folder` the newest version of the private dataset account/slug, and wait until it is ready.

    Returns (account/slug, the sha256 of its files). wait: minutes. Raises KernelError: a slug that Kaggle refuses,
    files that did not arrive, or a dataset that did not get ready.
    """
    if slugify(slug) != slug or not 6 <= len(slug) <= 50:
        raise KernelError(f"dataset name {slug!r}: 6 to 50 of a-z, 0-9 and - are wanted")
    name = f"{account}/{slug}"
    with tempfile.TemporaryDirectory(prefix="dfd-dataset-") as temporary:
        staged = Path(temporary)
        identity = stage(folder, staged)
        write_json(staged / ABOUT, {"id": name, "title": slug.replace("-", " "), "licenses": [{"name": "other"}]})
        known = client.exists("datasets", "status", name)
        words = ("version", "-p", str(staged), "-m", identity[:12]) if known else ("create", "-p", str(staged))
        url = send(staged, f"dataset {name}", MADE, "datasets", *words)
    until = time.monotonic() + wait * 60
    while (status := client.dataset_status(name)) != "ready":
        if status in ("failed", "deleted") or time.monotonic() > until:
            raise KernelError(f"dataset {name} is not ready: {status}; see {url}")
        sleep(PAUSE)
    return name, identity


def stage(folder: Path, staged: Path) -> str:
    """Copy the files of `folder` with a manifest of them; return the sha256 of all. Raises KernelError for folders."""
    if (folder / STORE).is_file():  # from `dfd faces`: many files, sent as one
        with whole(staged / "faces.tar") as partial, tarfile.open(partial, "w") as archive:
            archive.add(folder, ".")
    elif any(path.is_dir() for path in folder.iterdir()):
        raise KernelError(f"{folder} holds folders, and Kaggle takes files only")
    else:
        for path in inputs.listed(folder):
            shutil.copy2(path, staged)
    return inputs.write_manifest(staged, kind_of(folder))


def send(staged: Path, what: str, made: re.Pattern[str], *command: str) -> str:
    """Run a command that uploads `staged`; return the address that `made` finds in its output. Raises KernelError."""
    answer = client.kaggle(*command)
    words = " ".join(answer.text.split())[-300:]
    arrived = set(ARRIVED.findall(answer.out))
    for path in staged.iterdir():
        if path.name not in arrived and not path.name.endswith("-metadata.json"):
            raise KernelError(f"{what} is without {path.name}: {words}; upload it again")
    found = made.search(answer.out)
    if answer.status or found is None:
        raise KernelError(f"{what} was not uploaded: {words}")
    return found[1]
