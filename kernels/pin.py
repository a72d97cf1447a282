"""The image of Kaggle's that kernels run in: pinned by its digest in kernels/image.json, with its Python and packages.

Kaggle changes what it runs by default every month or two, its Python with it. A version pushed with LATEST=1 runs in
the newest, says in kernel.json what it found there, and `make kernel-image KERNEL=… MOVE=1` pins that.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dfd.files import write_json
from kernels import KernelError, places

DIGEST = re.compile(r"gcr\.io/kaggle-[a-z-]+/python@sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Image:
    """docker_image: by its digest. python: as in 3.12. versions: by package, "" where any will do."""

    docker_image: str
    python: str
    versions: dict[str, str]

    def metadata(self) -> dict[str, str]:
        """What pins it, in kernel-metadata.json."""
        return {"docker_image": self.docker_image, "docker_image_pinning_type": "original"}


def pinned() -> Image:
    """What kernels/image.json says. Raises KernelError when it is not a digest, a Python and versions."""
    try:
        about = json.loads(places.image().read_text(encoding="utf-8"))
        image = Image(str(about["docker_image"]), str(about["python"]), dict(about["versions"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise KernelError(f"{places.image()} names no docker_image, python and versions: {error}") from None
    if not DIGEST.fullmatch(image.docker_image):
        raise KernelError(
            f"{places.image()}: docker_image is {image.docker_image!r}: pin it by its digest, as in "
            "gcr.io/kaggle-images/python@sha256:…"
        )
    return image


def seen(docker_image: str, about: Mapping[str, Any]) -> Image:
    """The image that a run was in, by its name and what the run's kernel.json says."""
    return Image(docker_image, ".".join(str(about["python"]).split(".")[:2]), dict(about.get("versions", {})))


def differences(one: Image, other: Image) -> list[dict[str, str]]:
    """A row for each thing in which `other` is not as `one` has it pinned."""
    left, right = _parts(one), _parts(other)
    return [
        {"what": what, "pinned": value, "there": right[what]}
        for what, value in left.items()
        if value and right.get(what, value) != value
    ]


def move(to: Image) -> None:
    """Pin `to`, with the versions that were pinned before as they are there."""
    versions = {name: to.versions.get(name, "") if wanted else "" for name, wanted in pinned().versions.items()}
    write_json(places.image(), {**asdict(to), "versions": versions})


def _parts(image: Image) -> dict[str, Any]:
    """Digest, Python and versions, builds left out: torch 2.10.0+cu128 is torch 2.10.0."""
    digest = image.docker_image.rpartition("@")[2]
    return {"image": digest, "python": image.python, **{n: v.partition("+")[0] for n, v in image.versions.items()}}
