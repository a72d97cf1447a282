"""Folders that travel as private datasets: the wheelhouse, a bundle, a dataset of faces."""

import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slugify import slugify

from dfd.files import whole, write_json
from kernels import KernelError, client, inputs, ledger
from kernels.ledger import Entry

STORE = "dataset.json"
MARKERS = (
    ("bundle", "bundle.json"), ("faces", STORE), ("faces", "faces.tar"), ("run", "run.tar"),
    ("wheels", inputs.MANIFEST),
)  # fmt: skip
"""The file that shows what kind a folder is of."""
CREATED = re.compile(r"(?:private|public) Dataset is being created\. Please check progress at (\S+)", re.IGNORECASE)
VERSIONED = re.compile(r"Dataset version is being created\. Please check progress at (\S+)", re.IGNORECASE)
ARRIVED = re.compile(r"Upload successful: (\S+) ")
ABOUT = "dataset-metadata.json"
PAUSE = 10.0
"""Seconds between two looks at a dataset that Kaggle unpacks."""


def kind_of(folder: Path) -> str:
    """bundle, faces, run or wheels; "nothing" for a folder of no kind, or none at all."""
    return next((kind for kind, marker in MARKERS if (folder / marker).is_file()), "nothing")


def check_kind(folder: Path, kind: str) -> None:
    """Raises KernelError for a folder of another kind."""
    if not folder.is_dir():
        raise KernelError(f"{folder} is not there: name a folder that `dfd {kind}` made")
    if (found := kind_of(folder)) != kind:
        raise KernelError(f"{folder} holds {found} to send, no {kind}: name a folder that `dfd {kind}` made")


def upload(
    folder: Path,
    slug: str,
    account: str,
    wait: float = 30,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, str]:
    """Make the files of `folder` the newest version of the private dataset account/slug, and wait until it is ready.

    Returns (account/slug, the sha256 that stands for its files). wait: minutes. Raises KernelError: a slug that Kaggle
    does not take, files that did not arrive, or a dataset that did not get ready.
    """
    if slugify(slug) != slug or not 6 <= len(slug) <= 50:
        raise KernelError(f"dataset name {slug!r}: 6 to 50 of a-z, 0-9 and - are wanted")
    name = f"{account}/{slug}"
    with tempfile.TemporaryDirectory(prefix="dfd-dataset-") as temporary:
        staged = Path(temporary)
        identity = _stage(folder, staged, name)
        known = client.kaggle("datasets", "status", name).status == 0
        words = ("version", "-p", str(staged), "-m", identity[:12]) if known else ("create", "-p", str(staged))
        answer = client.kaggle("datasets", *words)
        arrived = set(ARRIVED.findall(answer.out))
        lost = [path.name for path in staged.iterdir() if path.name not in arrived | {ABOUT}]
    if lost:
        raise KernelError(
            f"dataset {name} is without {lost[0]}: {' '.join(answer.text.split())[-300:]}; upload it again"
        )
    made = (VERSIONED if known else CREATED).search(answer.out)
    if answer.status or made is None:
        raise KernelError(f"dataset {name} was not uploaded: {' '.join(answer.text.split())[-300:]}")
    ledger.record(Entry(name, "", made[1], "", identity))
    until = time.monotonic() + wait * 60
    while (status := client.dataset_status(name)) != "ready":
        if status in ("failed", "deleted") or time.monotonic() > until:
            raise KernelError(f"dataset {name} is not ready: {status}; see {made[1]}")
        sleep(PAUSE)
    return name, identity


def _stage(folder: Path, staged: Path, name: str) -> str:
    """Links to the files, a manifest of them, and what Kaggle asks to know."""
    if (folder / STORE).is_file():  # a dataset as `dfd faces` made it: many files, which travel as one
        with whole(staged / "faces.tar") as partial, tarfile.open(partial, "w") as archive:
            archive.add(folder, ".")
    elif any(path.is_dir() for path in folder.iterdir()):
        raise KernelError(f"{folder} holds folders, which do not travel: only files do")
    else:
        for path in inputs.listed(folder):
            shutil.copy2(path, staged)
    identity = inputs.write_manifest(staged, kind_of(folder))
    title = name.rpartition("/")[2].replace("-", " ")
    write_json(staged / ABOUT, {"id": name, "title": title, "licenses": [{"name": "other"}]})
    return identity
