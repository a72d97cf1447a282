"""Upload local folders as private datasets or, for bundles, as versions of a Kaggle Model."""

import json
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from dfd.files import write_json
from kernels import KernelError, client, inputs
from kernels.metadata import OWNER, Source, unversioned

MODEL, FRAMEWORK = "dfd", "pyTorch"
"""Name and framework of the model. Kaggle silently drops a variation of framework "other"."""
LICENCE = "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"
"""Licence for weights trained on DFDC, which is for research only."""
VERSION = re.compile(r"([\w-]+/[\w-]+/\w+/[\w-]+)/(\d+)")
"""A version of a model: owner/model/framework/variation/version."""
MADE = re.compile(
    r"(?:Dataset (?:version )?is being created\. Please check progress at |"
    r"Your model (?:instance |instance version )?was created\.(?: Id=\S+)? Url=)(\S+)",
    re.IGNORECASE,
)
WAIT = 30.0
"""Minutes within which Kaggle must show an upload."""


def dataset(folder: Path, kind: str, name: str, staged: Path) -> Source:
    """Stage a folder as the newest version of the dataset `name`, owner/slug. Raises KernelError for another kind."""
    if not folder.is_dir():
        raise KernelError(f"{folder} does not exist: name a folder that `dfd {kind}` made")
    if (found := inputs.kind_of(folder)) != kind:
        raise KernelError(f"{folder} holds {found}, not {kind}: name a folder that `dfd {kind}` made")
    return Source(name, kind, inputs.stage(folder, staged, kind), staged)


def model(bundle: Path, name: str, account: str, staged: Path) -> Source:
    """Stage a bundle as the next version of the variation `name` of the private model account/dfd.

    account: OWNER for a rehearsal, which asks nobody. Raises KernelError for a name that Kaggle rejects, or a folder
    that is not a bundle.
    """
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) or not 3 <= len(name) <= 50:
        raise KernelError(f"model name {name!r}: 3 to 50 of a-z, 0-9 and - are wanted")
    made = dataset(bundle, "bundle", "", staged)
    of = f"{account}/{MODEL}/{FRAMEWORK}/{name}"
    version = 1 if account == OWNER else _newest(of) + 1
    return Source(f"{of}/{version}", "bundle", made.identity, staged)


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
    with suppress(client.MissingError):
        return client.ask("datasets", "status", unversioned(source)).strip().splitlines()[-1].strip().lower()
    return "missing"


def _newest(variation: str) -> int:
    """The newest version of a variation of a model; 0 if it does not exist."""
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as temporary, suppress(client.MissingError):
        client.ask("models", "variations", "get", variation, "-p", temporary)
        about = json.loads((Path(temporary) / "model-instance-metadata.json").read_text(encoding="utf-8"))
        return int(about["versionNumber"])
    return 0


def _send_dataset(source: Source) -> str:
    """Upload a dataset. Returns its URL."""
    about: dict[str, Any] = {"id": source.name, "title": source.name.rpartition("/")[2].replace("-", " ")}
    command = ["create"] if status(source.name) == "missing" else ["version", "-m", source.identity[:12]]
    about["licenses"] = [{"name": "other"}]
    return _send(source.folder, "dataset", source.name, about, "datasets", *command)


def _send_model(source: Source, licence: str) -> str:
    """Upload a version of a model, with its card; create the model if it does not exist. Returns its URL."""
    assert source.folder
    of, _, number = source.name.rpartition("/")
    account, _, _, name = of.split("/")
    if number == "1":
        _create_model(account)
    card = source.folder / "CARD.md"
    about = {
        "ownerSlug": account, "modelSlug": MODEL, "instanceSlug": name, "framework": FRAMEWORK,
        "licenseName": licence, "overview": f"dfd bundle {name}", "fineTunable": False, "trainingData": [],
        "usage": card.read_text(encoding="utf-8") if card.is_file() else f"# {name}\n\nA bundle without a card.\n",
        "modelInstanceType": "Unspecified",
    }  # fmt: skip
    command = ["create"] if number == "1" else ["versions", "create", of, "-n", source.identity[:12]]
    url = _send(source.folder, "model-instance", of, about, "models", "variations", *command)
    if number != "1":
        client.ask("models", "variations", "update", "-p", str(source.folder))  # the card of this version
    return url


def _create_model(account: str) -> None:
    """Create the private model account/dfd if it does not exist."""
    try:
        client.ask("models", "get", f"{account}/{MODEL}")
    except client.MissingError:
        about = {"ownerSlug": account, "slug": MODEL, "title": MODEL, "isPrivate": True}
        about |= {"description": "Deepfake detectors, as bundles of dfd."}
        with tempfile.TemporaryDirectory(prefix="dfd-model-") as folder:
            _send(Path(folder), "model", f"{account}/{MODEL}", about, "models", "create")


def _send(staged: Path | None, kind: str, name: str, about: dict[str, Any], *command: str) -> str:
    """Run a command that uploads `staged`, with `about` as its <kind>-metadata.json. Returns the URL of the result.

    Raises KernelError.
    """
    assert staged
    write_json(staged / f"{kind}-metadata.json", about)
    said = client.ask(*command, "-p", str(staged))
    if found := MADE.search(said):
        return found[1]
    raise KernelError(f"{kind.partition('-')[0]} {name} was not uploaded: {client.words(said)}")
