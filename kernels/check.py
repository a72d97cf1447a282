"""Find what Kaggle would refuse in a built kernel, before it is pushed."""

import ast
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import Any

from dfd.errors import DfdError
from kernels import places
from kernels.build import Built

LARGEST = 900_000
"""Maximum bytes of the code: Kaggle rejects 1 MB after the upload."""
LONGEST = 32_400
"""Maximum seconds of a session: nine hours."""
RESERVE = 600
"""Seconds between the kernel's own time limit and Kaggle's, for writing results."""
OLDEST = (3, 11)
"""The oldest Python that dfd supports."""
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bKGAT_[0-9A-Za-z]{8,}|\bAKIA[0-9A-Z]{16}\b|\bhf_[0-9A-Za-z]{30,}|"
    r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']|\bgh[pousr]_[0-9A-Za-z]{30,}|\bgithub_pat_\w{30,}"""
)
"""Patterns of private keys, and of tokens of Kaggle, AWS, Hugging Face and GitHub."""
SECRET_FILE = re.compile(r"(^|/)(kaggle\.json|access_token|\.env|\.netrc|id_(rsa|ed25519)|.*\.(pem|key))$")


def faults(built: Built) -> list[str]:
    """Describe the problems of a built kernel, a sentence each."""
    return list(chain(_settings(built), _files(built)))


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
