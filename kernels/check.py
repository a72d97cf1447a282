"""Everything about a built kernel that Kaggle would refuse, ignore or trip over, found here."""

import ast
import base64
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from slugify import slugify

from dfd.errors import DfdError
from kernels.build import OWNER, Built
from kernels.pin import pinned

LARGEST = 900_000
"""Bytes of a script: Kaggle refuses 1 MB, after the upload."""
LONGEST = 32_400
"""Seconds that a session may take: nine hours."""
RESERVE = 600
"""Seconds that the kernel's own clock leaves before that, for what it writes at the end."""
SHORTEST = 5
"""Characters of a title, and of a slug."""
OLDEST, NEWER = (3, 11), ("3.12", "3.13")
KEYS = frozenset({
    "id", "id_no", "title", "code_file", "language", "kernel_type", "is_private", "enable_gpu", "enable_tpu",
    "enable_internet", "machine_shape", "dataset_sources", "competition_sources", "kernel_sources", "model_sources",
    "keywords", "docker_image", "docker_image_pinning_type",
})  # fmt: skip
EXACTLY: dict[str, Any] = {
    "code_file": "main.py",
    "language": "python",
    "kernel_type": "script",
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
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a Kaggle token": re.compile(r"\bKGAT_[0-9A-Za-z]{8,}"),
    "a Kaggle key": re.compile(r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']"""),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[0-9A-Za-z]{30,}|github_pat_\w{30,})"),
    "a Hugging Face token": re.compile(r"\bhf_[0-9A-Za-z]{30,}"),
    "an AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
}
SECRET_FILES = re.compile(r"(^|/)(kaggle\.json|access_token|\.env|\.netrc|id_(rsa|ed25519)|.*\.(pem|key))$")
HARD_PATH = re.compile(r"/kaggle/input/[a-z0-9]")


def faults(built: Built) -> list[str]:
    """What is wrong with a built kernel, a sentence each; empty when nothing is."""
    rules: tuple[Callable[[Built], Iterator[str]], ...] = (
        _keys, _title, _shape, _sources, _image, _size, _clock, _options, _compiles, _secrets, _paths,
    )  # fmt: skip
    return [fault for rule in rules for fault in rule(built)]


def packed_files(built: Built) -> dict[str, str]:
    """The files inside a script, by name; a script without a PAYLOAD holds none."""
    payload = re.search(r'^PAYLOAD = "(.+)"$', built.script, re.MULTILINE)
    if payload is None:
        return {}
    archive = tarfile.open(fileobj=io.BytesIO(lzma.decompress(base64.b85decode(payload[1]))))  # noqa: SIM115
    with archive:
        members = ((member.name, archive.extractfile(member)) for member in archive.getmembers())
        return {name: file.read().decode("utf-8", "replace") for name, file in members if file is not None}


def _keys(built: Built) -> Iterator[str]:
    unknown = sorted(set(built.metadata) - KEYS)
    if unknown:
        yield f"kernel-metadata.json has an unknown key {unknown[0]!r}, which Kaggle would ignore"
    for key, wanted in EXACTLY.items():
        value = built.metadata.get(key)
        if type(value) is not type(wanted) or value != wanted:  # 0 is no false, to Kaggle's client
            yield f"{key} is {value!r}: {wanted!r} is wanted"
    for key, kind in (("id_no", int), ("keywords", list)):
        if key in built.metadata and type(built.metadata[key]) is not kind:
            yield f"{key} is {built.metadata[key]!r}: {'a number' if kind is int else 'a list'} is wanted"
    for key in ("enable_gpu", "enable_tpu"):
        if built.metadata.get(key) not in (None, False):
            yield f"{key} is {built.metadata[key]!r}: leave it out, and choose a GPU by machine_shape"


def _title(built: Built) -> Iterator[str]:
    name, title = str(built.metadata.get("id", "")), str(built.metadata.get("title", ""))
    if not re.fullmatch(rf"{ACCOUNT}/{NAME}", name):
        yield f"id is {name!r}: owner/slug in lower case is wanted, without a version"
    if len(built.slug) < SHORTEST:
        yield f"id is {name!r}: its slug has {len(built.slug)} characters, at least {SHORTEST} are wanted"
    if not SHORTEST <= len(title) <= 50:
        yield f"title {title!r} has {len(title)} characters: 5 to 50 are wanted"
    if slugify(title) != built.slug:
        yield f"title {title!r} makes the slug {slugify(title)!r}, id says {built.slug!r}: Kaggle goes by the title"


def _shape(built: Built) -> Iterator[str]:
    shape = built.metadata.get("machine_shape")
    if shape in RETIRED:
        yield f"machine_shape {shape} is retired: NvidiaTeslaT4 is two T4"
    elif shape is not None and shape not in SHAPES:
        yield f"machine_shape is {shape!r}: there are {', '.join(sorted(SHAPES))}, and none for a CPU"


def _sources(built: Built) -> Iterator[str]:
    for key, (form, wanted) in FORMS.items():
        listed = built.metadata.get(key, [])
        if not isinstance(listed, list):
            yield f"{key} is {listed!r}: a list is wanted"
            continue
        for source in listed:
            if PREFIX.fullmatch(str(source)) and key != "model_sources":
                yield f"{key} has {source!r}: leave out what stands before {wanted}"
            elif not re.fullmatch(form, str(source)):
                yield f"{key} has {source!r}: {wanted} is wanted"
        if len(set(map(str, listed))) < len(listed):
            yield f"{key} names a source twice"


def _image(built: Built) -> Iterator[str]:
    """The pinned one, by its digest, or with --latest none at all: what Kaggle then runs changes without a word."""
    image, pinning = (built.metadata.get(key) for key in ("docker_image", "docker_image_pinning_type"))
    wanted = pinned().docker_image
    if pinning not in ("original", "latest"):
        yield f"docker_image_pinning_type is {pinning!r}: original is wanted, or latest"
    elif pinning == "original" and image != wanted:
        yield f"docker_image is {image!r}, but kernels/image.json pins {wanted}"
    elif pinning == "latest" and image is not None:
        yield f"docker_image is {image!r}, and docker_image_pinning_type latest: leave one of them out"


def _size(built: Built) -> Iterator[str]:
    size = len(built.script.encode())
    if size > LARGEST:
        yield f"the script has {size / 1000:.0f} kB: Kaggle takes {LARGEST / 1000:.0f} kB; take large files out of dfd/"


def _clock(built: Built) -> Iterator[str]:
    hours = built.settings.get("hours")
    most = (LONGEST - RESERVE) / 3600
    if not isinstance(hours, int | float) or not 0 < hours <= most:
        yield f"setting hours is {hours!r}: more than 0 and at most {most:.2f} are wanted, or Kaggle stops it first"


def _options(built: Built) -> Iterator[str]:
    """A recipe or an option that dfd does not know would fail on Kaggle as it fails here."""
    from dfd.faces.tracklets import FacesConfig  # imports torch, which most of this file need not wait for
    from dfd.training.recipes import Recipe, recipe

    options: dict[str, Any] = built.settings.get("options", {})
    try:
        if built.name == "faces":
            FacesConfig.read(options, "options")
        if built.name == "train":
            settings = recipe(built.settings["recipe"]).model_dump()
            Recipe.read({**settings, **{part: {**settings[part], **options[part]} for part in options}}, "options")
    except (DfdError, KeyError, TypeError) as error:
        yield f"settings of kernel {built.name}: {error}"


def _compiles(built: Built) -> Iterator[str]:
    """On 3.11, and on newer Pythons where they are installed; what warns today is an error tomorrow."""
    scripts = {"main.py": built.script, **{n: t for n, t in packed_files(built).items() if n.endswith(".py")}}
    for name, text in scripts.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                compile(ast.parse(text, name, feature_version=OLDEST), name, "exec")
        except (SyntaxError, ValueError, SyntaxWarning, DeprecationWarning) as error:
            yield f"{name} does not compile on Python {'.'.join(map(str, OLDEST))}: {error}"
    for version, python in newer_pythons().items():
        code = "import sys; compile(sys.stdin.read(), 'main.py', 'exec')"
        done = subprocess.run(
            [python, "-W", "error", "-c", code], input=built.script, capture_output=True, text=True, check=False
        )
        if done.returncode:
            yield f"main.py does not compile on Python {version}: {done.stderr.strip().splitlines()[-1]}"


@cache
def newer_pythons() -> dict[str, str]:
    """Those of NEWER that run here, by version. pyenv's stand-ins run only what is chosen: what they stand for does."""
    runs: dict[str, str] = {}
    for version in NEWER:
        found = shutil.which(f"python{version}")
        behind = Path(found).parents[1].glob(f"versions/{version}.*/bin/python{version}") if found else ()
        for python in (found, *map(str, behind)):
            if python and not subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
                runs[version] = python
                break
    return runs


def _secrets(built: Built) -> Iterator[str]:
    """Things that look like a secret, and this machine's own."""
    files = {"main.py": re.sub(r'^PAYLOAD = ".*"$', "", built.script, flags=re.MULTILINE), **packed_files(built)}
    own = [value for key, value in os.environ.items() if key in ("KAGGLE_KEY", "KAGGLE_API_TOKEN") and len(value) > 7]
    for name, text in files.items():
        if SECRET_FILES.search(name):
            yield f"{name} would be sent: a file of that name holds secrets"
        for what, pattern in SECRETS.items():
            if pattern.search(text):
                yield f"{name} holds {what}: take it out, and revoke it if it was ever pushed"
        if any(value in text for value in own):
            yield f"{name} holds your Kaggle credentials: take them out"


def _paths(built: Built) -> Iterator[str]:
    for name, text in packed_files(built).items():
        if name.endswith(".py") and PurePosixPath(name).parts[0] == "dfd" and HARD_PATH.search(text):
            yield f"{name} names a folder of /kaggle/input: a source is mounted at one path today, at another tomorrow"
