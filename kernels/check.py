"""Find what Kaggle would refuse or ignore in a built kernel, before it is pushed."""

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from slugify import slugify

from dfd.errors import DfdError
from kernels import places
from kernels.build import OWNER, Built
from kernels.image import pinned

LARGEST = 900_000
"""Maximum bytes of the code: Kaggle rejects 1 MB after the upload."""
LONGEST = 32_400
"""Maximum seconds of a session: nine hours."""
RESERVE = 600
"""Seconds between the kernel's own time limit and Kaggle's, for writing results."""
OLDEST = (3, 11)
"""The oldest Python that dfd supports."""
NAME = r"[a-z0-9][a-z0-9-]*[a-z0-9]"
ACCOUNT = rf"(?:{OWNER}|{NAME})"
SHAPES = ("NvidiaTeslaT4", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100", "NvidiaH100", "NvidiaRtxPro6000")
Rule = tuple[Callable[[Any], bool], str]
"""Checks the value of a metadata key, and describes valid values."""


def _exactly(*values: Any) -> Rule:
    """Accepts one of `values`, of the same type: 0 is not false for Kaggle's client."""
    wanted = " or ".join(map(repr, values))
    return lambda value: any(type(value) is type(one) and value == one for one in values), wanted


def _list_of(pattern: str, form: str) -> Rule:
    def holds(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(set(map(str, value))) == len(value)
            and all(re.fullmatch(pattern, str(source)) for source in value)
        )

    return holds, f"a list of {form}, each once and without a prefix,"


RULES: dict[str, Rule] = {
    "id": (lambda value: bool(re.fullmatch(rf"{ACCOUNT}/(?=.{{5}}){NAME}", str(value))),
           "owner/slug in lower case, without a version, with 5 or more characters in the slug,"),
    "id_no": (lambda value: type(value) is int, "a number"),
    "title": (lambda value: 5 <= len(str(value)) <= 50, "a title of 5 to 50 characters"),
    "code_file": _exactly(places.SCRIPT, places.NOTEBOOK),
    "kernel_type": _exactly("script", "notebook"),
    "language": _exactly("python"),
    "is_private": _exactly(True),
    "enable_internet": _exactly(False),
    "enable_gpu": (lambda value: value in (None, False), "no such key, but a machine_shape,"),
    "enable_tpu": (lambda value: value in (None, False), "no such key, but a machine_shape,"),
    "machine_shape": _exactly(*SHAPES, None),
    "dataset_sources": _list_of(rf"{ACCOUNT}/{NAME}(/\d+)?", "owner/slug"),
    "kernel_sources": _list_of(rf"{ACCOUNT}/{NAME}(/\d+)?", "owner/slug"),
    "competition_sources": _list_of(NAME, "slug"),
    "model_sources": _list_of(rf"{ACCOUNT}(/[\w.-]+){{3}}/\d+", "owner/model/framework/variation/version"),
    "keywords": (lambda value: isinstance(value, list), "a list"),
    "docker_image": (lambda value: value == pinned().docker_image, "the image that kernels/image.json pins"),
    "docker_image_pinning_type": _exactly("original", "latest"),
}  # fmt: skip
REQUIRED = frozenset({"id", "title", "code_file", "kernel_type", "language", "is_private", "enable_internet"})
"""Required keys. Without them Kaggle's client assumes a public kernel with internet, or nothing."""
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bKGAT_[0-9A-Za-z]{8,}|\bAKIA[0-9A-Z]{16}\b|\bhf_[0-9A-Za-z]{30,}|"
    r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']|\bgh[pousr]_[0-9A-Za-z]{30,}|\bgithub_pat_\w{30,}"""
)
"""Patterns of private keys, and of tokens of Kaggle, AWS, Hugging Face and GitHub."""
SECRET_FILE = re.compile(r"(^|/)(kaggle\.json|access_token|\.env|\.netrc|id_(rsa|ed25519)|.*\.(pem|key))$")
HARD_PATH = re.compile(r"/kaggle/input/[a-z0-9]")


def faults(built: Built) -> list[str]:
    """Describe the problems of a built kernel, a sentence each."""
    rules: tuple[Callable[[Built], Iterator[str]], ...] = (_metadata, _code, _settings, _files)
    return [fault for rule in rules for fault in rule(built)]


def _metadata(built: Built) -> Iterator[str]:
    about, is_notebook = built.metadata, built.name != places.base(built.name)
    form = (places.NOTEBOOK, "notebook") if is_notebook else (places.SCRIPT, "script")
    rules = {**RULES, "code_file": _exactly(form[0]), "kernel_type": _exactly(form[1])}
    for key, value in about.items():
        if key not in rules:
            yield f"kernel-metadata.json has an unknown key {key!r}, which Kaggle would ignore"
        elif not rules[key][0](value):
            yield f"{key} is {value!r}: {rules[key][1]} is wanted"
    for key in sorted(REQUIRED - set(about)):
        yield f"{key} is missing: {RULES[key][1]} is wanted"
    slug, title = built.slug, str(about.get("title"))
    if slugify(title) != slug:
        yield f"title {title!r} makes the slug {slugify(title)!r}, id says {slug!r}: Kaggle goes by the title"
    if ("docker_image" in about) != (about.get("docker_image_pinning_type") == "original"):
        yield "docker_image goes with docker_image_pinning_type 'original', and with no other"


def _code(built: Built) -> Iterator[str]:
    size = len(built.code.encode())
    if size > LARGEST:
        yield f"the code has {size / 1000:.0f} kB: Kaggle takes {LARGEST / 1000:.0f} kB; take large files out of dfd/"


def _settings(built: Built) -> Iterator[str]:
    """Report a time limit past Kaggle's, and a recipe or an option that dfd does not know."""
    from kernels.session import faces_config, training_recipe  # imports torch, which other checks do not need

    hours, most = built.settings.get("hours"), (LONGEST - RESERVE) / 3600
    if not isinstance(hours, int | float) or not 0 < hours <= most:
        yield f"setting hours is {hours!r}: more than 0 and at most {most:.2f} are wanted, or Kaggle stops it first"
    readers: dict[str, Callable[[dict[str, Any]], object]] = {"faces": faces_config, "train": training_recipe}
    try:
        readers.get(places.base(built.name), dict)(built.settings)
    except DfdError as error:
        yield f"settings of kernel {built.name}: {error}"


def _files(built: Built) -> Iterator[str]:
    """Report problems with the code, and with each packed file."""
    own = [value for key, value in os.environ.items() if key in ("KAGGLE_KEY", "KAGGLE_API_TOKEN") and len(value) > 7]
    code = re.sub(r'PAYLOAD = \\?"[^"]*"', "", built.code)
    packed = {name: data.decode("utf-8", "replace") for name, data in built.files.items()}
    for name, text in {str(built.metadata.get("code_file")): code, **packed}.items():
        yield from _faults_of(name, text)
        if any(value in text for value in own):
            yield f"{name} holds your Kaggle credentials: take them out"


@cache
def _faults_of(name: str, text: str) -> tuple[str, ...]:
    """Report problems of a file on any machine. Python code must compile with the oldest version and with this one.

    Warnings count too, since a newer Python turns them into errors.
    """
    found = []
    if SECRET_FILE.search(name):
        found.append(f"{name} would be sent: a file of that name holds secrets")
    if SECRET.search(text):
        found.append(f"{name} holds a key or a token: take it out, and revoke it if it was ever pushed")
    if not name.endswith(".py"):
        return tuple(found)
    if PurePosixPath(name).parts[0] == "dfd" and HARD_PATH.search(text):
        found.append(f"{name} names a folder of /kaggle/input, and Kaggle changes these: find a source by its files")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(ast.parse(text, name, feature_version=OLDEST), name, "exec")
    except (SyntaxError, ValueError, SyntaxWarning, DeprecationWarning) as error:
        found.append(f"{name} does not compile on Python {'.'.join(map(str, OLDEST))}: {error}")
    return tuple(found)
