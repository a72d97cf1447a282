"""Publish a bundle as a Kaggle Model, for kernel predict and others to attach."""

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slugify import slugify

from dfd.files import write_json
from kernels import KernelError, client, datasets

MODEL, FRAMEWORK = "dfd", "pyTorch"
"""Kaggle drops a variation of framework "other" without an error."""
LICENCE = "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"
"""For weights trained on DFDC: granted for research only."""
VERSION = re.compile(r"([\w-]+/[\w-]+/\w+/[\w-]+)/(\d+)")
MADE = re.compile(r"Your model (?:instance |instance version )?was created\.(?: Id=\S+)? Url=(\S+)")
CARD = "CARD.md"
PAUSE = 10.0
"""Seconds between two questions about an uploaded version."""


def variation(account: str, name: str) -> str:
    """The variation `name` of the account's model."""
    return f"{account}/{MODEL}/{FRAMEWORK}/{name}"


def publish(
    bundle: Path,
    name: str,
    account: str,
    licence: str = LICENCE,
    wait: float = 30,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, str]:
    """Make a bundle the newest version of the variation `name` of the private model account/dfd, with its card.

    Returns (account/dfd/pyTorch/name/version, the sha256 of its files). wait: minutes until Kaggle shows the version.
    Raises KernelError: a name or licence that Kaggle refuses, files that did not arrive, or no new version.
    """
    datasets.check_kind(bundle, "bundle")
    if slugify(name) != name or not 3 <= len(name) <= 50:
        raise KernelError(f"model name {name!r}: 3 to 50 of a-z, 0-9 and - are wanted")
    full = variation(account, name)
    card = f"# {name}\n\nA bundle of dfd, without a card.\n"
    if (bundle / CARD).is_file():
        card = (bundle / CARD).read_text(encoding="utf-8")
    before = version(full)
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as temporary:
        model, files = Path(temporary) / "model", Path(temporary) / "files"
        model.mkdir()
        files.mkdir()
        if not before and not client.exists("models", "get", f"{account}/{MODEL}"):
            about: dict[str, Any] = {"ownerSlug": account, "slug": MODEL, "title": MODEL, "isPrivate": True}
            about["description"] = "Deepfake detectors, as bundles of dfd."
            write_json(model / "model-metadata.json", about)
            datasets.send(model, f"model {account}/{MODEL}", MADE, "models", "create", "-p", str(model))
        identity = datasets.stage(bundle, files)
        about = {"ownerSlug": account, "modelSlug": MODEL, "instanceSlug": name, "framework": FRAMEWORK}
        about |= {"licenseName": licence, "overview": f"dfd bundle {name}", "usage": card}
        about |= {"fineTunable": False, "trainingData": [], "modelInstanceType": "Unspecified"}
        write_json(files / "model-instance-metadata.json", about)
        if before:
            command = ["versions", "create", full, "-p", str(files), "-n", identity[:12]]
        else:
            command = ["create", "-p", str(files)]
        url = datasets.send(files, f"model {full}", MADE, "models", "variations", *command)
        if before:
            client.asked("models", "variations", "update", "-p", str(files))  # the card of this version
    until = time.monotonic() + wait * 60
    while (number := version(full)) <= before:
        if time.monotonic() > until:
            raise KernelError(f"model {full} does not show its new version; see {url}")
        sleep(PAUSE)
    return f"{full}/{number}", identity


def version(full: str) -> int:
    """The newest version of a variation, owner/model/framework/name; 0 where it does not exist."""
    with tempfile.TemporaryDirectory(prefix="dfd-model-") as temporary:
        if not client.exists("models", "variations", "get", full, "-p", temporary):
            return 0
        about = json.loads((Path(temporary) / "model-instance-metadata.json").read_text(encoding="utf-8"))
    return int(about["versionNumber"])
