"""Find what Kaggle would refuse or ignore in a built kernel, before it is pushed."""

import ast
import operator
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Predicate
from pydantic import Field, StrictBool, ValidationError
from slugify import slugify

from dfd.config import Config
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
NAME = "[a-z0-9][a-z0-9-]*[a-z0-9]"
ACCOUNT = f"(?:{OWNER}|{NAME})"
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bKGAT_[0-9A-Za-z]{8,}|\bAKIA[0-9A-Z]{16}\b|\bhf_[0-9A-Za-z]{30,}|"
    r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']|\bgh[pousr]_[0-9A-Za-z]{30,}|\bgithub_pat_\w{30,}"""
)
"""Patterns of private keys, and of tokens of Kaggle, AWS, Hugging Face and GitHub."""
SECRET_FILE = re.compile(r"(^|/)(kaggle\.json|access_token|\.env|\.netrc|id_(rsa|ed25519)|.*\.(pem|key))$")


ONCE = Predicate(lambda sources: len(set(sources)) == len(sources))
ONES = "a list of {}, each once and without a prefix,"
Owned = Annotated[list[Annotated[str, Field(pattern=rf"^{ACCOUNT}/{NAME}(/\d+)?$")]], ONCE]
Competitions = Annotated[list[Annotated[str, Field(pattern=f"^{NAME}$")]], ONCE]
Models = Annotated[list[Annotated[str, Field(pattern=rf"^{ACCOUNT}(/[\w.-]+){{3}}/\d+$")]], ONCE]


class Metadata(Config):
    """The keys of kernel-metadata.json that Kaggle reads, and their values. A description says what is wanted.

    Without the keys that have no default, Kaggle's client assumes a public kernel with internet, or nothing.
    """

    id: str = Field(
        pattern=f"^{ACCOUNT}/[a-z0-9][a-z0-9-]{{3,}}[a-z0-9]$",
        description="owner/slug in lower case, without a version, with 5 or more characters in the slug,",
    )
    title: str = Field(min_length=5, max_length=50, description="a title of 5 to 50 characters")
    code_file: Literal["main.py", "main.ipynb"] = Field(description="'main.py', or 'main.ipynb' for a notebook,")
    kernel_type: Literal["script", "notebook"] = Field(description="'script' or 'notebook'")
    language: Literal["python"] = Field(description="'python'")
    is_private: Annotated[StrictBool, Predicate(operator.truth)] = Field(description="True")
    enable_internet: Annotated[StrictBool, Predicate(operator.not_)] = Field(description="False")
    machine_shape: (
        Literal["NvidiaTeslaT4", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100", "NvidiaH100", "NvidiaRtxPro6000"] | None
    ) = Field(None, description="'NvidiaTeslaT4' (two of them) or another shape that Kaggle has")
    dataset_sources: Owned = Field([], description=ONES.format("owner/slug"))
    kernel_sources: Owned = Field([], description=ONES.format("owner/slug"))
    competition_sources: Competitions = Field([], description=ONES.format("slug"))
    model_sources: Models = Field([], description=ONES.format("owner/model/framework/variation/version"))
    docker_image: str = Field("", description="the image that kernels/image.json pins")
    docker_image_pinning_type: Literal["original", "latest"] = Field("latest", description="'original' or 'latest'")


def faults(built: Built) -> list[str]:
    """Describe the problems of a built kernel, a sentence each."""
    rules: tuple[Callable[[Built], Iterator[str]], ...] = (_metadata, _settings, _files)
    return [fault for rule in rules for fault in rule(built)]


def _metadata(built: Built) -> Iterator[str]:
    """Report keys that Kaggle does not know or needs, wrong values, and those that contradict each other."""
    about = built.metadata
    try:
        Metadata.model_validate(about)
    except ValidationError as error:
        kinds = {str(one["loc"][0]): one["type"] for one in error.errors()}
        for key, kind in kinds.items():
            if kind == "extra_forbidden":
                yield f"kernel-metadata.json has an unknown key {key!r}, which Kaggle would ignore"
            else:
                value = "missing" if kind == "missing" else repr(about[key])
                yield f"{key} is {value}: {Metadata.model_fields[key].description} is wanted"
    is_notebook = built.name != places.base(built.name)
    form = {"code_file": places.NOTEBOOK, "kernel_type": "notebook"}
    for key, wanted in (form if is_notebook else {"code_file": places.SCRIPT, "kernel_type": "script"}).items():
        if about.get(key) != wanted:
            yield f"{key} is {about.get(key)!r}: {wanted!r} is wanted for kernel {built.name}"
    title, slug = str(about.get("title")), str(about.get("id")).rpartition("/")[2]
    if slugify(title) != slug:
        yield f"title {title!r} makes the slug {slugify(title)!r}, id says {slug!r}: Kaggle goes by the title"
    pinning = {key: about.get(key) for key in ("docker_image", "docker_image_pinning_type")}
    if pinning not in (pinned().metadata(), {"docker_image": None, "docker_image_pinning_type": "latest"}):
        yield (
            f"docker_image is {pinning['docker_image']!r} with docker_image_pinning_type "
            f"{pinning['docker_image_pinning_type']!r}: the image that kernels/image.json pins with 'original', or "
            "none with 'latest', is wanted"
        )


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
    size = len(built.code.encode())
    if size > LARGEST:
        yield f"the code has {size / 1000:.0f} kB: Kaggle takes {LARGEST / 1000:.0f} kB; take large files out of dfd/"
    own = [value for key, value in os.environ.items() if key in ("KAGGLE_KEY", "KAGGLE_API_TOKEN") and len(value) > 7]
    code = re.sub(r'PAYLOAD = \\?"[^"]*"', "", built.code)
    packed = {name: data.decode("utf-8", "replace") for name, data in built.files.items()}
    for name, text in {str(built.metadata.get("code_file")): code, **packed}.items():
        yield from _faults_of(name, text)
        if any(value in text for value in own):
            yield f"{name} holds your Kaggle credentials: take them out"


@cache
def _faults_of(name: str, text: str) -> tuple[str, ...]:
    """Report a secret in a file, and Python code that does not compile with the oldest version."""
    found = []
    if SECRET_FILE.search(name):
        found.append(f"{name} would be sent: a file of that name holds secrets")
    if SECRET.search(text):
        found.append(f"{name} holds a key or a token: take it out, and revoke it if it was ever pushed")
    try:
        if name.endswith(".py"):
            ast.parse(text, name, feature_version=OLDEST)
    except (SyntaxError, ValueError) as error:
        found.append(f"{name} does not compile on Python {'.'.join(map(str, OLDEST))}: {error}")
    return tuple(found)
