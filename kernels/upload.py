"""Upload local folders as private datasets or, for bundles, as Kaggle Models."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slugify import slugify

from dfd.files import write_json
from kernels import KernelError, client, inputs

MODEL, FRAMEWORK = "dfd", "pyTorch"
"""Framework of the model. Kaggle silently drops a variation of framework "other"."""
LICENCE = "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"
"""Licence for weights trained on DFDC, which is for research only."""
VERSION = re.compile(r"([\w-]+/[\w-]+/\w+/[\w-]+)/(\d+)")
"""A version of a model: owner/model/framework/variation/version."""
MADE = re.compile(
    r"(?:Dataset (?:version )?is being created\. Please check progress at |"
    r"Your model (?:instance |instance version )?was created\.(?: Id=\S+)? Url=)(\S+)",
    re.IGNORECASE,
)
ARRIVED = re.compile(r"Upload successful: (\S+) ")
CARD = "CARD.md"
WAIT = 30.0
"""Minutes within which Kaggle must show an upload."""


@dataclass(frozen=True)
class Upload:
    """A folder staged for Kaggle. name: account/slug of a dataset, or the version of a model that it becomes.

    identity: the sha256 of its files.
    """

    name: str
    staged: Path
    identity: str

    def send(self, licence: str = LICENCE) -> None:
        """Upload it as the newest version of `name`, and wait until it is ready. licence: of a model.

        Raises KernelError: files that did not arrive, or a version that did not get ready.
        """
        _send_model(self, licence) if VERSION.fullmatch(self.name) else _send_dataset(self)


def check_kind(folder: Path, kind: str) -> None:
    """Raise KernelError for a folder of another kind."""
    if not folder.is_dir():
        raise KernelError(f"{folder} does not exist: name a folder that `dfd {kind}` made")
    if (found := inputs.kind_of(folder)) != kind:
        raise KernelError(f"{folder} holds {found}, not {kind}: name a folder that `dfd {kind}` made")


def dataset(folder: Path, kind: str, name: str, staged: Path) -> Upload:
    """Stage a folder of a `kind` as the newest version of the dataset `name`, owner/slug."""
    return Upload(name, staged, inputs.stage(folder, staged, kind))


def model(bundle: Path, name: str, account: str, staged: Path) -> Upload:
    """Stage a bundle as the next version of the variation `name` of the private model account/dfd.

    Raises KernelError for a name that Kaggle rejects, or a folder that is not a bundle.
    """
    check_kind(bundle, "bundle")
    if slugify(name) != name or not 3 <= len(name) <= 50:
        raise KernelError(f"model name {name!r}: 3 to 50 of a-z, 0-9 and - are wanted")
    of = variation(account, name)
    return Upload(f"{of}/{newest(of) + 1}", staged, inputs.stage(bundle, staged, "bundle"))


def variation(account: str, name: str) -> str:
    """The variation `name` of the account's model."""
    return f"{account}/{MODEL}/{FRAMEWORK}/{name}"


def newest(of: str) -> int:
    """The newest version of a variation; 0 if it does not exist."""
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as temporary:
        if not client.exists("models", "variations", "get", of, "-p", temporary):
            return 0
        about = json.loads((Path(temporary) / "model-instance-metadata.json").read_text(encoding="utf-8"))
    return int(about["versionNumber"])


def _send_dataset(upload: Upload) -> None:
    name, staged = upload.name, str(upload.staged)
    about = {"id": name, "title": name.rpartition("/")[2].replace("-", " "), "licenses": [{"name": "other"}]}
    write_json(upload.staged / "dataset-metadata.json", about)
    known = client.exists("datasets", "status", name)
    command = ("version", "-p", staged, "-m", upload.identity[:12]) if known else ("create", "-p", staged)
    url = _send(upload.staged, f"dataset {name}", "datasets", *command)
    for last in client.tries(WAIT):
        status = client.dataset_status(name)
        if status == "ready":
            return
        if last or status in ("failed", "deleted"):
            raise KernelError(f"dataset {name} is not ready: {status}; see {url}")


def _send_model(upload: Upload, licence: str) -> None:
    of, _, number = upload.name.rpartition("/")
    account, _, _, name = of.split("/")
    staged, first = str(upload.staged), number == "1"
    if first and not client.exists("models", "get", f"{account}/{MODEL}"):
        with tempfile.TemporaryDirectory(prefix="dfd-model-") as folder:
            about = {"ownerSlug": account, "slug": MODEL, "title": MODEL, "isPrivate": True}
            about |= {"description": "Deepfake detectors, as bundles of dfd."}
            write_json(Path(folder) / "model-metadata.json", about)
            _send(Path(folder), f"model {account}/{MODEL}", "models", "create", "-p", folder)
    card = upload.staged / CARD
    usage = card.read_text(encoding="utf-8") if card.is_file() else f"# {name}\n\nA bundle of dfd, without a card.\n"
    about = {"ownerSlug": account, "modelSlug": MODEL, "instanceSlug": name, "framework": FRAMEWORK}
    about |= {"licenseName": licence, "overview": f"dfd bundle {name}", "usage": usage}
    about |= {"fineTunable": False, "trainingData": [], "modelInstanceType": "Unspecified"}
    write_json(upload.staged / "model-instance-metadata.json", about)
    again = ["versions", "create", of, "-p", staged, "-n", upload.identity[:12]]
    command = ["create", "-p", staged] if first else again
    url = _send(upload.staged, f"model {of}", "models", "variations", *command)
    if not first:
        client.ask("models", "variations", "update", "-p", staged)  # the card of this version
    for last in client.tries(WAIT):
        if newest(of) >= int(number):
            return
        if last:
            raise KernelError(f"model {of} does not show its new version; see {url}")


def _send(staged: Path, what: str, *command: str) -> str:
    """Run a command that uploads `staged`. Returns the URL of the result. Raises KernelError."""
    answer = client.kaggle(*command)
    arrived = set(ARRIVED.findall(answer.out))
    for path in staged.iterdir():
        if path.name not in arrived and not path.name.endswith("-metadata.json"):
            raise KernelError(f"{what} is without {path.name}: {answer.words}; upload it again")
    found = MADE.search(answer.out)
    if answer.status or found is None:
        raise KernelError(f"{what} was not uploaded: {answer.words}")
    return found[1]
