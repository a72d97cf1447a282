"""Pushing a kernel: everything that can be known before is asked before, and Kaggle's words are believed, not its 0."""

import re
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernels import KernelError, datasets, follow, ledger, resume
from kernels.build import OWNER, Built, Sources, build, uncommitted, unversioned
from kernels.check import LONGEST, faults
from kernels.client import dataset_status, kaggle, kernel_status
from kernels.ledger import Entry

PUSHED = re.compile(r"Kernel version (\d+) successfully pushed\.\s+Please check progress at (\S+)")
REFUSED = re.compile(r"Kernel push error: (.+)")
LOST = re.compile(r"not valid (\w+) sources and could not be added to the kernel: (.+)")
BUSY = re.compile(r"session count of \d+ reached|too many requests|rate limit", re.IGNORECASE)
SPENT = re.compile(r"quota", re.IGNORECASE)
TAKES = {"predict": ("bundle", "dfd-bundle"), "train": ("faces", "dfd-face-tracks")}
"""What a kernel takes that can be made here as well: its kind, and setting, and the dataset that it travels as."""
PAUSE = 60.0
"""Seconds between two tries for a GPU that is taken."""
ADVICE = {
    "Notebook not found": "is the owner yours, and do id and title agree?",
    "title is already in use": "another of your kernels has this title: change id and title",
    "docker": "has Kaggle taken the pinned image away? Push with LATEST=1",
    "403": "if the pinned image is what it refuses, push with LATEST=1",
}


class BusyError(KernelError):
    """All of the account's sessions are taken: later it will do."""


def check_taken(name: str, kind: str, folder: Path) -> None:
    """Raises KernelError unless kernel `name` takes a `kind` that was made here, and `folder` holds one."""
    if TAKES.get(name, ("", ""))[0] != kind:
        takes = next(kernel for kernel, (taken, _) in TAKES.items() if taken == kind)
        raise KernelError(f"kernel {name} takes no {kind}: {takes} does")
    datasets.check_kind(folder, kind)


def prepare(
    name: str,
    account: str,
    changes: Mapping[str, Any],
    mine: Path | None = None,
    resuming: bool = False,
    latest: bool = False,
    tell: Callable[[str], None] = print,
) -> Built:
    """Build a kernel with what it takes from here uploaded, once all else is known to be right.

    mine: a folder of the kind that it takes. resuming: it goes on from its last version. latest: as Sources says.
    Raises KernelError.
    """
    kind, slug = TAKES.get(name, ("", ""))
    with tempfile.TemporaryDirectory(prefix="dfd-push-") as temporary:
        left = resume.from_kaggle(name, account, Path(temporary), tell) if resuming else None
        settings = resume.settle(name, left.settings, changes) if left else dict(changes)
        instead = f"{account}/{slug}" if mine or settings.get(kind) else ""
        sources = replace(left.sources(account) if left else Sources(), instead=instead, latest=latest)
        folders = {slug: mine, **({left.slug: left.folder} if left and left.cut_off else {})}
        sent = {slug: folder for slug, folder in folders.items() if folder is not None}
        if sent:
            examine(build(name, account, settings, sources), account, {f"{account}/{slug}" for slug in sent})
        identities = {slug: datasets.upload(folder, slug, account)[1] for slug, folder in sent.items()}
    if mine:
        settings[kind] = identities[slug]
    return build(name, account, settings, sources)


def push(
    built: Built,
    account: str,
    wait: float = 0,
    tell: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> Entry:
    """Push a built kernel, and enter its version, url, commit and hash into the ledger.

    account: whose credentials are here. wait: minutes to try again while all sessions are taken.
    Raises KernelError before anything is sent: faults, another's kernel, a dirty tree, a source that is not ready; or
    after: no session, no quota left, or a source that Kaggle did not attach.
    """
    examine(built, account)
    until = time.monotonic() + wait * 60
    while True:
        try:
            return send(built)
        except BusyError as busy:
            if time.monotonic() >= until:
                raise
            tell(f"{busy}. Trying again in {PAUSE:.0f} s.")
            sleep(PAUSE)


def examine(built: Built, account: str, but: Collection[str] = ()) -> None:
    """Raises KernelError for whatever can be known before anything is sent. but: sources that are yet to be sent."""
    check(built)
    owned(built, account)
    committed(built)
    ready(built, but)


def check(built: Built) -> None:
    """Raises KernelError with the first fault."""
    found = faults(built)
    if found:
        more = f" (and {len(found) - 1} more: make kernel-check KERNEL={built.name})" if len(found) > 1 else ""
        raise KernelError(f"kernel {built.name}: {found[0]}{more}")


def owned(built: Built, account: str) -> None:
    """Raises KernelError for a kernel of another account."""
    owner = str(built.metadata["id"]).partition("/")[0]
    if owner != account:
        raise KernelError(
            f"id is {built.metadata['id']}, but the credentials here are {account}'s: write {OWNER} in it"
        )


def committed(built: Built) -> None:
    """Raises KernelError unless what travels is as committed."""
    changed = uncommitted()
    if built.commit == "unknown":
        raise KernelError("this is no git checkout: a kernel is pushed as committed, so that it can be told what ran")
    if changed or built.commit.endswith("-dirty"):
        raise KernelError(f"{len(changed)} files are not as committed, first {changed[0]}: commit them, then push")


def ready(built: Built, but: Collection[str] = ()) -> None:
    """Raises KernelError for a source that is missing or not ready: the kernel would run without it. but: these."""
    for dataset in map(unversioned, built.metadata.get("dataset_sources", [])):
        if dataset in but:
            continue
        try:
            status = dataset_status(dataset)
        except KernelError as error:
            raise KernelError(f"dataset {dataset} is not there ({error}): {_remedy(dataset)}") from None
        if status != "ready":
            raise KernelError(f"dataset {dataset} is not ready: {status}; push again in some minutes")
    for kernel in map(unversioned, built.metadata.get("kernel_sources", [])):
        if kernel == built.metadata["id"]:  # which goes on from itself, however it ended: kernels/resume.py has looked
            continue
        try:
            status, why = kernel_status(kernel)
        except KernelError as error:
            raise KernelError(f"kernel {kernel} is not there ({error}): {_remedy(kernel)}") from None
        if status != "COMPLETE":
            raise KernelError(f"kernel {kernel} has no output to read: {status.lower()}{': ' + why if why else ''}")
        if built.name == "predict" and follow.stopped_early(kernel):
            again = f"make kernel-push KERNEL={kernel.rpartition('/dfd-')[2]} RESUME=1"
            raise KernelError(f"kernel {kernel} is unfinished and has no bundle yet: {again} goes on with it")


def _remedy(source: str) -> str:
    slug = source.rpartition("/")[2]
    if slug == "dfd-wheelhouse":
        return "make wheelhouse-push"
    if slug.startswith("dfd-"):
        given = "BUNDLE=folder" if slug == "dfd-train" else "FACES=folder"
        return f"make kernel-push KERNEL={slug.removeprefix('dfd-')} first, or give what it makes: {given}"
    return "look at its name"


def send(built: Built) -> Entry:
    """Push once, and enter what came of it into the ledger. Raises BusyError, KernelError."""
    answer = kaggle("kernels", "push", "-p", str(built.folder), "-t", str(LONGEST))
    refused, pushed, lost = REFUSED.search(answer.text), PUSHED.search(answer.out), LOST.search(answer.text)
    words = refused[1].strip() if refused else " ".join(answer.text.split())[-300:]
    if refused or answer.status or pushed is None:
        if BUSY.search(words):
            if "session" in words:
                raise BusyError(f"all sessions are taken ({words}): stop one, wait, or push with WAIT=minutes")
            raise BusyError(f"Kaggle is asked too often ({words}): wait, or push with WAIT=minutes")
        if SPENT.search(words):
            raise KernelError(f"the week's GPU hours are spent ({words}): they come back on Saturday, 00:00 UTC")
        advice = next((f" {text}" for sign, text in ADVICE.items() if sign in words), "")
        raise KernelError(f"Kaggle refused the push: {words or 'without a word'}{advice}")
    entry = Entry(str(built.metadata["id"]), pushed[1], pushed[2], built.commit, built.sha256)
    ledger.record(entry)
    if lost:
        raise KernelError(
            f"version {pushed[1]} was pushed without {lost[1]} sources {lost[2].strip()}, and will fail: "
            f"stop it at {pushed[2]}, and see whether they exist and are yours to read"
        )
    return entry
