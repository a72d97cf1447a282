"""kernel-metadata.json: the settings of a kernel on Kaggle, and what is attached to it.

The file in kernels/<name> has what differs from kernel to kernel: the keys of RULES.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfd.files import parse_object
from kernels import KernelError, places
from kernels.image import pinned

OWNER = "OWNER"
"""Placeholder of the Kaggle account in kernel-metadata.json; a push replaces it with yours."""
SLUG = "[a-z0-9][a-z0-9-]*[a-z0-9]"
ACCOUNT = f"(?:{OWNER}|{SLUG})"
OWNED = rf"{ACCOUNT}/{SLUG}(/\d+)?"
SHAPES = "NvidiaTeslaT4|NvidiaL4|NvidiaL4X1|NvidiaTeslaA100|NvidiaH100|NvidiaRtxPro6000"
ONES = "a list of {}, each once and without a prefix,"
RULES = {
    "machine_shape": (SHAPES, "'NvidiaTeslaT4' (two of them) or another shape that Kaggle has"),
    "dataset_sources": (OWNED, ONES.format("owner/slug")),
    "kernel_sources": (OWNED, ONES.format("owner/slug")),
    "competition_sources": (SLUG, ONES.format("slug")),
    "model_sources": (rf"{ACCOUNT}(/[\w.-]+){{3}}/\d+", ONES.format("owner/model/framework/variation/version")),
}
"""The keys that a kernel may have of its own: pattern, and what is wanted."""


@dataclass(frozen=True)
class Source:
    """A dataset or model attached to a kernel in addition to its metadata's sources.

    name: owner/slug, or owner/model/framework/variation/version. kind: of its files. identity: their sha256, "" for
    any. folder: where they are on this machine, to be uploaded or rehearsed; None if they are on Kaggle already.
    """

    name: str
    kind: str
    identity: str = ""
    folder: Path | None = None


def read_metadata(name: str, owner: str, sources: Sequence[Source] = (), latest: bool = False) -> dict[str, Any]:
    """A kernel's kernel-metadata.json with `owner` for OWNER, with what is the same for all, and with `sources`.

    A source of the kind that another kernel makes replaces that kernel's output. latest: without the pinned image.
    Raises KernelError: no such kernel, or a file that Kaggle would refuse or ignore a part of.
    """
    base = places.base(name)
    if base not in places.NAMES:
        raise KernelError(f"no kernel {name!r}; there are {', '.join(places.NAMES)}, each also as NAME-notebook")
    path = places.source(name) / places.METADATA
    text = path.read_bytes().replace(f"{OWNER}/".encode(), f"{owner}/".encode())
    own = parse_object(text, path, KernelError, "restore it from git")
    _check(own, path)
    for source in sources:
        if source.kind == places.TAKES.get(base):
            own["kernel_sources"] = []
        key = "model_sources" if source.name.count("/") == 4 else "dataset_sources"
        own[key] = [*own.get(key, []), source.name]
    _check(own, path)  # again: the names that were attached
    form = {"code_file": places.SCRIPT, "kernel_type": "script"}
    if name != base:
        form = {"code_file": places.NOTEBOOK, "kernel_type": "notebook"}
    image = {} if latest else {"docker_image": pinned().docker_image}
    return {
        "id": f"{owner}/dfd-{name}", "title": f"dfd {name.replace('-', ' ')}", "language": "python", **form,
        "is_private": True, "enable_internet": False,
        **image, "docker_image_pinning_type": "latest" if latest else "original", **own,
    }  # fmt: skip


def _check(own: Mapping[str, Any], path: Path) -> None:
    """Refuse keys and values that Kaggle would refuse or ignore."""
    for key, value in own.items():
        if key not in RULES:
            raise KernelError(f"{path} has the key {key!r}; there are {', '.join(RULES)}: all else is the same for all")
        pattern, wanted = RULES[key]
        if not _fits(value, pattern, key.endswith("_sources")):
            raise KernelError(f"{key} of {path} is {value!r}: {wanted} is wanted")


def _fits(value: Any, pattern: str, several: bool) -> bool:
    """Whether a text has the pattern or, if `several`, a list has different texts that have it."""
    texts = value if several else [value]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return False
    return len(set(texts)) == len(texts) and all(re.fullmatch(pattern, text) for text in texts)


def unversioned(source: str) -> str:
    """The owner/slug of a dataset or kernel.

    >>> unversioned("tester/dfd-wheelhouse/3"), unversioned("tester/dfd-wheelhouse")
    ('tester/dfd-wheelhouse', 'tester/dfd-wheelhouse')
    """
    return "/".join(source.split("/")[:2])
