"""Find what Kaggle would refuse or ignore in a built kernel, before it is pushed."""

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from slugify import slugify

from dfd.errors import DfdError
from kernels import places
from kernels.build import OWNER, Built
from kernels.image import pinned

LARGEST = 900_000
"""Bytes of the code: Kaggle refuses 1 MB, after the upload."""
LONGEST = 32_400
"""Seconds of a session: nine hours."""
RESERVE = 600
"""Seconds that the kernel's own time limit leaves before that, for writing results."""
OLDEST = (3, 11)
"""The Python that dfd supports at least."""
KEYS = frozenset({
    "id", "id_no", "title", "code_file", "language", "kernel_type", "is_private", "enable_gpu", "enable_tpu",
    "enable_internet", "machine_shape", "dataset_sources", "competition_sources", "kernel_sources", "model_sources",
    "keywords", "docker_image", "docker_image_pinning_type",
})  # fmt: skip
EXACTLY: dict[str, Any] = {
    "language": "python",
    "is_private": True,
    "enable_internet": False,  # the client's default is true
}
SHAPES = frozenset(["NvidiaTeslaT4", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100", "NvidiaH100", "NvidiaRtxPro6000"])
RETIRED = frozenset(["NvidiaTeslaP100", "TpuV38", "Tpu1VmV38"])
NAME = r"[a-z0-9][a-z0-9-]*[a-z0-9]"
ACCOUNT = rf"(?:{OWNER}|{NAME})"
FORMS = {
    "dataset_sources": (rf"{ACCOUNT}/{NAME}(/\d+)?", "owner/slug"),
    "kernel_sources": (rf"{ACCOUNT}/{NAME}(/\d+)?", "owner/slug"),
    "competition_sources": (NAME, "slug"),
    "model_sources": (rf"{ACCOUNT}(/[\w.-]+){{3}}/\d+", "owner/model/framework/variation/version"),
}
PREFIX = re.compile(r"(datasets|code|c|competitions|kernels|models)/.+")
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a Kaggle token": r"\bKGAT_[0-9A-Za-z]{8,}",
    "a Kaggle key": r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']""",
    "a GitHub token": r"\b(gh[pousr]_[0-9A-Za-z]{30,}|github_pat_\w{30,})",
    "a Hugging Face token": r"\bhf_[0-9A-Za-z]{30,}",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
}
SECRET_FILES = re.compile(r"(^|/)(kaggle\.json|access_token|\.env|\.netrc|id_(rsa|ed25519)|.*\.(pem|key))$")
HARD_PATH = re.compile(r"/kaggle/input/[a-z0-9]")


def faults(built: Built) -> list[str]:
    """What is wrong with a built kernel, a sentence each."""
    rules: tuple[Callable[[Built], Iterator[str]], ...] = (
        _keys, _title, _sources, _image, _size, _hours, _options, _compiles, _secrets, _paths,
    )  # fmt: skip
    return [fault for rule in rules for fault in rule(built)]


def _keys(built: Built) -> Iterator[str]:
    about = built.metadata
    for key in sorted(set(about) - KEYS)[:1]:
        yield f"kernel-metadata.json has an unknown key {key!r}, which Kaggle would ignore"
    script = built.name == places.base(built.name)
    form = {
        "code_file": places.SCRIPT if script else places.NOTEBOOK,
        "kernel_type": "script" if script else "notebook",
    }
    for key, wanted in {**EXACTLY, **form}.items():
        if type(about.get(key)) is not type(wanted) or about[key] != wanted:  # 0 is not false to Kaggle's client
            yield f"{key} is {about.get(key)!r}: {wanted!r} is wanted"
    for key, kind, what in (("id_no", int, "a number"), ("keywords", list, "a list")):
        if type(about.get(key, kind())) is not kind:
            yield f"{key} is {about[key]!r}: {what} is wanted"
    for key in ("enable_gpu", "enable_tpu"):
        if about.get(key) not in (None, False):
            yield f"{key} is {about[key]!r}: leave it out, and choose a GPU by machine_shape"
    shape = about.get("machine_shape")
    if shape in RETIRED:
        yield f"machine_shape {shape} is retired: NvidiaTeslaT4 is two T4"
    elif shape is not None and shape not in SHAPES:
        yield f"machine_shape is {shape!r}: choose from {', '.join(sorted(SHAPES))}, or leave it out for a CPU"


def _title(built: Built) -> Iterator[str]:
    name, title = str(built.metadata.get("id", "")), str(built.metadata.get("title", ""))
    if not re.fullmatch(rf"{ACCOUNT}/{NAME}", name):
        yield f"id is {name!r}: owner/slug in lower case is wanted, without a version"
    if len(built.slug) < 5:
        yield f"id is {name!r}: its slug has {len(built.slug)} characters, at least 5 are wanted"
    if not 5 <= len(title) <= 50:
        yield f"title {title!r} has {len(title)} characters: 5 to 50 are wanted"
    if slugify(title) != built.slug:
        yield f"title {title!r} makes the slug {slugify(title)!r}, id says {built.slug!r}: Kaggle goes by the title"


def _sources(built: Built) -> Iterator[str]:
    for key, (form, wanted) in FORMS.items():
        listed = built.metadata.get(key, [])
        if not isinstance(listed, list):
            yield f"{key} is {listed!r}: a list is wanted"
            continue
        for source in listed:
            if PREFIX.fullmatch(str(source)) and key != "model_sources":
                yield f"{key} has {source!r}: write {wanted} without a prefix"
            elif not re.fullmatch(form, str(source)):
                yield f"{key} has {source!r}: {wanted} is wanted"
        if len(set(map(str, listed))) < len(listed):
            yield f"{key} names a source twice"


def _image(built: Built) -> Iterator[str]:
    """The pinned one by its digest, or with --latest none at all."""
    image, pinning = (built.metadata.get(key) for key in ("docker_image", "docker_image_pinning_type"))
    wanted = pinned().docker_image
    if pinning not in ("original", "latest"):
        yield f"docker_image_pinning_type is {pinning!r}: original is wanted, or latest"
    elif pinning == "original" and image != wanted:
        yield f"docker_image is {image!r}, but kernels/image.json pins {wanted}"
    elif pinning == "latest" and image is not None:
        yield f"docker_image is {image!r}, and docker_image_pinning_type latest: leave one of them out"


def _size(built: Built) -> Iterator[str]:
    size = len(built.code.encode())
    if size > LARGEST:
        yield f"the code has {size / 1000:.0f} kB: Kaggle takes {LARGEST / 1000:.0f} kB; take large files out of dfd/"


def _hours(built: Built) -> Iterator[str]:
    hours = built.settings.get("hours")
    most = (LONGEST - RESERVE) / 3600
    if not isinstance(hours, int | float) or not 0 < hours <= most:
        yield f"setting hours is {hours!r}: more than 0 and at most {most:.2f} are wanted, or Kaggle stops it first"


def _options(built: Built) -> Iterator[str]:
    """A recipe or an option that dfd does not know."""
    from dfd.faces.tracklets import FacesConfig  # imports torch, which other checks need not wait for
    from dfd.training.recipes import Recipe, recipe

    options: dict[str, Any] = built.settings.get("options", {})
    try:
        if places.base(built.name) == "faces":
            FacesConfig.read(options, "options")
        if places.base(built.name) == "train":
            settings = recipe(built.settings["recipe"]).model_dump()
            Recipe.read({**settings, **{part: {**settings[part], **options[part]} for part in options}}, "options")
    except (DfdError, KeyError, TypeError) as error:
        yield f"settings of kernel {built.name}: {error}"


def _texts(built: Built) -> dict[str, str]:
    """The texts of a kernel, by name: what is packed, and the code around it."""
    code = re.sub(r'PAYLOAD = \\?"[^"]*"', "", built.code)
    packed = {name: data.decode("utf-8", "replace") for name, data in built.files.items()}
    return {str(built.metadata.get("code_file")): code, **packed}


def _compiles(built: Built) -> Iterator[str]:
    """On the oldest Python and on this one, without warnings, which a newer Python turns into errors."""
    for name, text in _texts(built).items():
        if not name.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                compile(ast.parse(text, name, feature_version=OLDEST), name, "exec")
        except (SyntaxError, ValueError, SyntaxWarning, DeprecationWarning) as error:
            yield f"{name} does not compile on Python {'.'.join(map(str, OLDEST))}: {error}"


def _secrets(built: Built) -> Iterator[str]:
    """Known forms of secrets, files that hold them, and this machine's own credentials."""
    own = [value for key, value in os.environ.items() if key in ("KAGGLE_KEY", "KAGGLE_API_TOKEN") and len(value) > 7]
    for name, text in _texts(built).items():
        if SECRET_FILES.search(name):
            yield f"{name} would be sent: a file of that name holds secrets"
        for what, pattern in SECRETS.items():
            if re.search(pattern, text):
                yield f"{name} holds {what}: take it out, and revoke it if it was ever pushed"
        if any(value in text for value in own):
            yield f"{name} holds your Kaggle credentials: take them out"


def _paths(built: Built) -> Iterator[str]:
    for name, text in _texts(built).items():
        if name.endswith(".py") and PurePosixPath(name).parts[0] == "dfd" and HARD_PATH.search(text):
            yield f"{name} names a folder of /kaggle/input: Kaggle changes these paths, so find a source by its files"
