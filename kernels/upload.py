"""Upload local folders as private datasets or, for bundles, as versions of a Kaggle Model."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from slugify import slugify

from dfd.files import write_json
from kernels import KernelError, client, inputs
from kernels.build import Source, unversioned

MODEL, FRAMEWORK = "dfd", "pyTorch"
"""Name and framework of the model. Kaggle silently drops a variation of framework "other"."""
LICENCE = "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"
"""Licence for weights trained on DFDC, which is for research only."""
FACES = "dfd-face-tracks"
"""Name of the dataset for locally built faces."""
VERSION = re.compile(r"([\w-]+/[\w-]+/\w+/[\w-]+)/(\d+)")
"""A version of a model: owner/model/framework/variation/version."""
MADE = re.compile(
    r"(?:Dataset (?:version )?is being created\. Please check progress at |"
    r"Your model (?:instance |instance version )?was created\.(?: Id=\S+)? Url=)(\S+)",
    re.IGNORECASE,
)
CARD = "CARD.md"
WAIT = 30.0
"""Minutes within which Kaggle must show an upload."""


def check_kind(folder: Path, kind: str) -> None:
    """Raise KernelError for a folder of another kind."""
    if not folder.is_dir():
        raise KernelError(f"{folder} does not exist: name a folder that `dfd {kind}` made")
    if (found := inputs.kind_of(folder)) != kind:
        raise KernelError(f"{folder} holds {found}, not {kind}: name a folder that `dfd {kind}` made")


def dataset(folder: Path, kind: str, name: str, staged: Path) -> Source:
    """Stage a folder of a `kind` as the newest version of the dataset `name`, owner/slug."""
    return Source(name, kind, inputs.stage(folder, staged, kind), staged)


def model(bundle: Path, name: str, account: str, staged: Path) -> Source:
    """Stage a bundle as the next version of the variation `name` of the private model account/dfd.

    Raises KernelError for a name that Kaggle rejects, or a folder that is not a bundle.
    """
    check_kind(bundle, "bundle")
    if slugify(name) != name or not 3 <= len(name) <= 50:
        raise KernelError(f"model name {name!r}: 3 to 50 of a-z, 0-9 and - are wanted")
    of = f"{account}/{MODEL}/{FRAMEWORK}/{name}"
    return Source(f"{of}/{_newest(of) + 1}", "bundle", inputs.stage(bundle, staged, "bundle"), staged)


def send(source: Source, licence: str = LICENCE) -> None:
    """Upload a staged folder, and wait until it is ready. licence: of a model.

    Raises KernelError when a file does not arrive, or the version does not get ready.
    """
    url = _send_model(source, licence) if VERSION.fullmatch(source.name) else _send_dataset(source)
    for last in client.tries(WAIT):
        if (state := status(source.name)) == "ready":
            return
        if last or state in ("failed", "deleted"):
            raise KernelError(f"{source.name} is not ready: {state}; see {url}")


def status(source: str) -> str:
    """State of a dataset, or of a version of a model: ready, missing, or Kaggle's word for a step in between."""
    if version := VERSION.fullmatch(source):
        return "ready" if _newest(version[1]) >= int(version[2]) else "missing"
    try:
        return client.dataset_status(unversioned(source))
    except client.MissingError:
        return "missing"


def _newest(variation: str) -> int:
    """The newest version of a variation of a model; 0 if it does not exist."""
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as temporary:
        if not client.exists("models", "variations", "get", variation, "-p", temporary):
            return 0
        about = json.loads((Path(temporary) / "model-instance-metadata.json").read_text(encoding="utf-8"))
    return int(about["versionNumber"])


def _send_dataset(source: Source) -> str:
    """Upload a dataset. Returns its URL."""
    assert source.folder
    title = source.name.rpartition("/")[2].replace("-", " ")
    about = {"id": source.name, "title": title, "licenses": [{"name": "other"}]}
    again = ["version", "-m", source.identity[:12]]
    command = ["create"] if status(source.name) == "missing" else again
    return _send(source.folder, "dataset", source.name, about, "datasets", *command)


def _send_model(source: Source, licence: str) -> str:
    """Upload a version of a model, with its card; create the model if it does not exist. Returns its URL."""
    assert source.folder
    of, _, number = source.name.rpartition("/")
    account, _, _, name = of.split("/")
    if number == "1" and not client.exists("models", "get", f"{account}/{MODEL}"):
        about: dict[str, Any] = {"ownerSlug": account, "slug": MODEL, "title": MODEL, "isPrivate": True}
        about |= {"description": "Deepfake detectors, as bundles of dfd."}
        with tempfile.TemporaryDirectory(prefix="dfd-model-") as folder:
            _send(Path(folder), "model", f"{account}/{MODEL}", about, "models", "create")
    card = source.folder / CARD
    usage = card.read_text(encoding="utf-8") if card.is_file() else f"# {name}\n\nA bundle of dfd, without a card.\n"
    about = {"ownerSlug": account, "modelSlug": MODEL, "instanceSlug": name, "framework": FRAMEWORK}
    about |= {"licenseName": licence, "overview": f"dfd bundle {name}", "usage": usage}
    about |= {"fineTunable": False, "trainingData": [], "modelInstanceType": "Unspecified"}
    command = ["create"] if number == "1" else ["versions", "create", of, "-n", source.identity[:12]]
    url = _send(source.folder, "model-instance", of, about, "models", "variations", *command)
    if number != "1":
        client.ask("models", "variations", "update", "-p", str(source.folder))  # the card of this version
    return url


def _send(staged: Path, kind: str, name: str, about: dict[str, Any], *command: str) -> str:
    """Run a command that uploads `staged`, with `about` as its <kind>-metadata.json. Returns the URL of the result.

    Raises KernelError.
    """
    write_json(staged / f"{kind}-metadata.json", about)
    said = client.ask(*command, "-p", str(staged))
    if found := MADE.search(said):
        return found[1]
    raise KernelError(f"{kind.partition('-')[0]} {name} was not uploaded: {client.words(said)}")
