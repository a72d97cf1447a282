"""Push a kernel, once everything that can be known before is checked."""

import re
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernels import KernelError, client, datasets, follow, models, places, resume
from kernels.build import OWNER, Built, Sources, build, earlier, uncommitted, unversioned
from kernels.check import LONGEST, faults

PUSHED = re.compile(r"Kernel version (\d+) successfully .* (\S+)$", re.MULTILINE)
REFUSED = re.compile(r"Kernel push error: (.+)")
LOST = re.compile(r"not valid (\w+) sources and could not be added to the kernel: (.+)")
BUSY = re.compile(r"session count of \d+ reached|too many requests|rate limit", re.IGNORECASE)
SPENT = re.compile(r"quota", re.IGNORECASE)
TAKES = {"predict": ("bundle", "dfd/pyTorch/bundle/1"), "train": ("faces", "dfd-face-tracks")}
"""The kind that a kernel takes from here in place of another kernel's output, and its model or dataset."""
PAUSE = 60.0
"""Seconds between two tries for a session."""
ADVICE = {
    "Notebook not found": "is the owner yours, and do id and title agree?",
    "title is already in use": "another of your kernels has this title: change id and title",
    "docker": "has Kaggle taken the pinned image away? Push with LATEST=1",
    "403": "if the pinned image is what it refuses, push with LATEST=1",
}


@dataclass(frozen=True)
class Pushed:
    """A version of owner/slug, and its address."""

    name: str
    version: str
    url: str


class BusyError(KernelError):
    """Kaggle has no free session for the account now."""


def check_given(name: str, kind: str, given: str) -> None:
    """Raises KernelError unless kernel `name` takes a `kind` made here, and `given` is one: a folder, or a model."""
    if TAKES.get(places.base(name), ("", ""))[0] != kind:
        takes = next(kernel for kernel, (taken, _) in TAKES.items() if taken == kind)
        raise KernelError(f"kernel {name} takes no {kind}: {takes} does")
    if kind != "bundle" or not models.VERSION.fullmatch(given):
        datasets.check_kind(Path(given), kind)


def prepare(
    name: str,
    account: str,
    changes: Mapping[str, Any],
    given: str = "",
    resuming: bool = False,
    latest: bool = False,
) -> Built:
    """Build a kernel and upload what it takes from here, once all else is checked.

    given: a folder of the kind that it takes, or for predict a published model. resuming: go on from its last version.
    latest: as in Sources. Raises KernelError.
    """
    kind, place = TAKES.get(places.base(name), ("", ""))
    folder = Path(given) if given and not models.VERSION.fullmatch(given) else None
    with tempfile.TemporaryDirectory(prefix="dfd-push-") as temporary:
        left = resume.from_kaggle(name, account, Path(temporary)) if resuming else None
        settings = resume.settle(name, left.settings, changes) if left else dict(changes)
        instead = f"{account}/{place}" if folder or settings.get(kind) else given
        sources = Sources(instead, left is not None, left.identity if left else "", latest)
        later = ({instead} if folder else set()) | {f"{account}/{earlier(name)}"}
        if folder or left:
            examine(build(name, account, settings, sources), account, later)
        if folder and kind == "bundle":
            instead, settings[kind] = models.publish(folder, kind, account)
        elif folder:
            instead, settings[kind] = datasets.upload(folder, place, account)
        if left:
            datasets.upload(left.folder, earlier(name), account)
    return build(name, account, settings, replace(sources, instead=instead))


def push(
    built: Built,
    account: str,
    wait: float = 0,
    no_run: bool = False,
    tell: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> Pushed:
    """Push a built kernel, which runs at once unless `no_run`.

    wait: minutes to try again while no session is free. Raises KernelError before anything is sent: faults, another's
    kernel, uncommitted files, a source that is not ready; or after: no session, no quota, a source left out by Kaggle.
    """
    examine(built, account)
    until = time.monotonic() + wait * 60
    while True:
        try:
            return send(built, no_run)
        except BusyError as busy:
            if time.monotonic() >= until:
                raise
            tell(f"{busy}. Trying again in {PAUSE:.0f} s.")
            sleep(PAUSE)


def examine(built: Built, account: str, but: Collection[str] = ()) -> None:
    """Raises KernelError for what can be known before anything is sent. but: sources that are sent later."""
    if found := faults(built):
        more = f" (and {len(found) - 1} more: make kernel-check KERNEL={built.name})" if len(found) > 1 else ""
        raise KernelError(f"kernel {built.name}: {found[0]}{more}")
    if str(built.metadata["id"]).partition("/")[0] != account:
        raise KernelError(
            f"id is {built.metadata['id']}, but the credentials here are {account}'s: write {OWNER} in it"
        )
    changed = uncommitted()
    if built.commit == "unknown":
        raise KernelError("this is no git checkout: a kernel is pushed as committed, to know later what ran")
    if changed or built.commit.endswith("-dirty"):
        raise KernelError(f"{len(changed)} files are not as committed, first {changed[0]}: commit them, then push")
    ready(built, but)


def ready(built: Built, but: Collection[str] = ()) -> None:
    """Raises KernelError for a source, except `but`, that is missing or not ready: Kaggle would leave it out."""
    for dataset in map(unversioned, built.metadata.get("dataset_sources", [])):
        if dataset in but:
            continue
        try:
            status = client.dataset_status(dataset)
        except client.MissingError:
            raise KernelError(f"dataset {dataset} does not exist on Kaggle: {_remedy(dataset)}") from None
        if status != "ready":
            raise KernelError(f"dataset {dataset} is not ready: {status}; push again in some minutes")
    for model in built.metadata.get("model_sources", []):
        found = models.VERSION.fullmatch(model)
        if found and model not in but and models.version(found[1]) < int(found[2]):
            raise KernelError(f"model {model} does not exist on Kaggle: make bundle-push BUNDLE=folder publishes one")
    for kernel in map(unversioned, built.metadata.get("kernel_sources", [])):
        try:
            status, why = client.kernel_status(kernel)
        except client.MissingError:
            raise KernelError(f"kernel {kernel} has not run on Kaggle: {_remedy(kernel)}") from None
        if status != "COMPLETE":
            raise KernelError(f"kernel {kernel} has no output to read: {status.lower()}{': ' + why if why else ''}")
        if places.base(built.name) == "predict" and follow.read_last_report(kernel).get("status") == "unfinished":
            again = f"make kernel-push KERNEL={kernel.rpartition('/dfd-')[2]} RESUME=1"
            raise KernelError(f"kernel {kernel} is unfinished and has no bundle yet: {again} goes on with it")


def _remedy(source: str) -> str:
    """The command that makes a missing source."""
    slug = source.rpartition("/")[2]
    if slug == "dfd-wheelhouse":
        return "make wheelhouse-push"
    if slug in ("dfd-faces", "dfd-train"):
        given = "BUNDLE=folder" if slug == "dfd-train" else "FACES=folder"
        return f"run it first (make kernel-push KERNEL={slug.removeprefix('dfd-')}), or push a folder ({given})"
    return "is its name right, and may your account read it?"


def send(built: Built, no_run: bool = False) -> Pushed:
    """Push once. Raises BusyError, KernelError."""
    answer = client.kaggle(
        "kernels", "push", "-p", str(built.folder), "-t", str(LONGEST), *(["--no-run"] if no_run else [])
    )
    if no_run and "unrecognized arguments: --no-run" in answer.err:
        raise KernelError("a push without a run needs Kaggle's command line 2.2.5 or later: pip install -U kaggle")
    refused, pushed, lost = REFUSED.search(answer.text), PUSHED.search(answer.out), LOST.search(answer.text)
    words = refused[1].strip() if refused else " ".join(answer.words.split())[-300:]
    if refused or answer.status or pushed is None:
        if BUSY.search(words):
            fault = "no session is free" if "session" in words else "Kaggle is asked too often"
            raise BusyError(f"{fault} ({words}): wait, or push with WAIT=minutes")
        if SPENT.search(words):
            raise KernelError(f"the week's GPU hours are spent ({words}): new ones start on Saturday, 00:00 UTC")
        advice = next((f" {text}" for sign, text in ADVICE.items() if sign in words), "")
        raise KernelError(f"Kaggle refused the push: {words or 'without a word'}{advice}")
    if lost:
        raise KernelError(
            f"version {pushed[1]} was pushed without {lost[1]} sources {lost[2].strip()}, and will fail: "
            f"stop it at {pushed[2]}, and see whether they exist and your account may read them"
        )
    return Pushed(str(built.metadata["id"]), pushed[1], pushed[2])
