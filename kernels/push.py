"""Push a kernel, after all checks that are possible beforehand; or run all kernels one after the other."""

import re
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import MINUTES
from dfd.report import terminal as show
from kernels import KernelError, client, follow, places, upload
from kernels.attach import MAY_CHANGE, NOTHING, Given, NothingLeftError, attach
from kernels.build import Built, build, read_main, uncommitted
from kernels.check import LONGEST, faults
from kernels.metadata import unversioned

WEEK = 7 * 24 * 60.0
"""Minutes to wait for a free session, and for the end of a run."""
PUSHED = re.compile(r"Kernel version (\d+) successfully .* (\S+)$", re.MULTILINE)
LOST = re.compile(r"not valid (\w+) sources and could not be added to the kernel: (.+)")
BUSY = re.compile(r"session count of \d+ reached|too many requests|rate limit", re.IGNORECASE)
ADVICE = {
    "quota": "the week's GPU hours are spent, new ones start on Saturday, 00:00 UTC",
    "title is already in use": "another of your kernels has this title: rename that one on its page",
    "docker": "has Kaggle taken the pinned image away? Push with LATEST=1",
    "403": "if the pinned image is what it refuses, push with LATEST=1",
}
REMEDIES = {
    "dfd-wheelhouse": "make wheelhouse-push",
    "dfd-faces": "run it first (make kernel-push KERNEL=faces), or push a folder (FACES=folder)",
    "dfd-train": "run it first (make kernel-push KERNEL=train), or push a folder (BUNDLE=folder)",
    "dfd": "make bundle-push BUNDLE=folder publishes one",
}
"""The command that creates a missing source, by its slug."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """How a kernel is pushed."""

    latest: bool = False
    """In Kaggle's newest image, not in the pinned one."""
    wait: Annotated[float, MINUTES] = 0
    """Minutes to try again while no session of your account is free."""
    no_run: Annotated[bool, Parameter(negative=())] = False
    """Save the version on Kaggle without running it."""


class BusyError(KernelError):
    """Kaggle has no free session for the account at the moment."""


def push(
    name: str, account: str, changes: Mapping[str, Any], given: Given = NOTHING, options: PushOptions = PushOptions()
) -> None:
    """Build a kernel, upload its local input, and push it. changes: of its settings.

    Raises KernelError before anything is sent (faults, uncommitted files, a source that is not ready) or afterwards (no
    session, no quota, a source that Kaggle left out).
    """
    with tempfile.TemporaryDirectory(prefix="dfd-push-") as scratch:
        settings, sources = attach(name, account, changes, given, Path(scratch))
        built = build(name, account, settings, sources, options.latest)
        examine(built, [source.name for source in sources if source.folder])
        for source in sources:
            if source.folder:
                upload.send(source)
    for last in client.tries(options.wait):
        try:
            send(built, not options.no_run)
            break
        except BusyError as busy:
            if last:
                raise
            show.say(f"{busy}. Trying again in {client.PAUSE:.0f} s.")


def examine(built: Built, later: Collection[str] = ()) -> None:
    """Raise KernelError for any problem before something is sent. later: sources that are uploaded afterwards."""
    if found := faults(built):
        more = f" (and {len(found) - 1} more: make kernel-check KERNEL={built.name})" if len(found) > 1 else ""
        raise KernelError(f"kernel {built.name}: {found[0]}{more}")
    if built.commit == "unknown":
        raise KernelError("this is no git checkout: a kernel is pushed as committed, to know later what ran")
    if changed := uncommitted():
        raise KernelError(f"{len(changed)} files are not as committed, first {changed[0]}: commit them, then push")
    for kind in ("dataset", "model", "kernel"):
        for source in built.metadata.get(f"{kind}_sources", []):
            if source not in later:
                _check_ready(kind, source)


def _check_ready(kind: str, source: str) -> None:
    """Raise KernelError unless a source exists on Kaggle and is ready."""
    name = unversioned(source)
    state, why = client.kernel_status(name) if kind == "kernel" else (upload.status(source), "")
    if state.lower() == "missing":
        remedy = REMEDIES.get(name.partition("/")[2], "is its name right, and may your account read it?")
        raise KernelError(f"{kind} {source} does not exist on Kaggle: {remedy}")
    if kind != "kernel" and state != "ready":
        raise KernelError(f"{kind} {source} is not ready: {state}; push again in some minutes")
    if kind == "kernel" and state != "COMPLETE":
        raise KernelError(f"kernel {source} has no output to read: {state.lower()}{': ' + why if why else ''}")
    if name.endswith("/dfd-train") and follow.read_last_report(name).get("status") == "unfinished":
        again = "make kernel-push KERNEL=train RESUME=1"
        raise KernelError(f"kernel {source} is unfinished and has no bundle yet: {again} resumes it")


def send(built: Built, run: bool = True) -> None:
    """Push once, and print the version's number and address. Raises BusyError, KernelError."""
    options = ["-p", str(built.folder), "-t", str(LONGEST), *([] if run else ["--no-run"])]
    try:
        said = client.ask("kernels", "push", *options)
        pushed = PUSHED.search(said)
        if pushed is None:  # an error, although the exit status is 0
            raise KernelError(f"Kaggle refused the push: {client.words(said).removeprefix('Kernel push error: ')}")
    except client.UnreachableError:
        raise
    except KernelError as error:
        if BUSY.search(str(error)):
            raise BusyError(f"{str(error).rstrip('.')}: wait, or push with WAIT=minutes") from None
        advice = next((f"; {text}" for sign, text in ADVICE.items() if sign in str(error)), "")
        raise type(error)(f"{str(error).rstrip('.')}{advice}") from None
    version, url = pushed.groups()
    if lost := LOST.search(said):
        raise KernelError(
            f"version {version} was pushed without {lost[1]} sources {lost[2].strip()}, and will fail: "
            f"stop it at {url}, and see whether they exist and your account may read them"
        )
    show.say(f"Pushed {built.metadata['id']}, version {version}, commit {built.commit}: {url}")


def run_all(account: str, changes: Mapping[str, Any], latest: bool = False) -> None:
    """Run each kernel to its end before the next one.

    A kernel is skipped if its last version is done with this code, these settings and this input. A running one is
    waited for; one that was cut off is resumed. So a second call continues where the first was stopped.
    changes: settings, by name for each kernel that has it, or as in "train.hours". Raises KernelError when one fails.
    """
    made = ""
    for name, settings in settings_by_kernel(changes).items():
        made = _run_one(name, account, settings, PushOptions(latest=latest, wait=WEEK), made)


def settings_by_kernel(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each kernel. Raises KernelError for one that no kernel has."""
    settings: dict[str, dict[str, Any]] = {}
    known: set[str] = set()
    for name in places.NAMES:
        own = {f"{prefix}{key}": key for key in read_main(name, {})[1] for prefix in ("", f"{name}.")}
        settings[name] = {own[key]: value for key, value in changes.items() if key in own}
        known |= own.keys()
    if unknown := changes.keys() - known:
        raise KernelError(f"no kernel has a setting {min(unknown)!r}; there are {', '.join(sorted(known))}")
    return settings


def _run_one(name: str, account: str, changes: Mapping[str, Any], options: PushOptions, given: str) -> str:
    """Run a kernel until it is done, resuming as often as needed. Returns the sha256 of its result.

    given: the sha256 of the previous kernel's result.
    """
    built, pushed = build(name, account, changes), False
    kernel = str(built.metadata["id"])
    while True:
        state, why = follow.wait_for(kernel, WEEK)
        about = {} if state == "MISSING" else follow.read_last_report(kernel)
        same = is_same(about, built, given)
        if state == "COMPLETE" and same and about["status"] == "done":
            show.say(f"{kernel} is done.")
            return str(about.get("made", ""))
        resumes = same and name in places.LEAVES
        if pushed and (not resumes or about["status"] == "failed"):
            reason = about.get("reason") or why or "it is not the version that was pushed"
            raise KernelError(f"{kernel} ended as {state}: {reason}; see its log: make kernel-logs KERNEL={name}")
        try:
            push(name, account, changes, Given(resume=resumes), options)
        except NothingLeftError:
            push(name, account, changes, options=options)
        pushed = True
        time.sleep(client.PAUSE)  # until Kaggle lists the new version


def is_same(about: Mapping[str, Any], built: Built, given: str) -> bool:
    """Whether a report is of a version with this code, these settings, and this input from the previous kernel."""
    before, now = (
        {key: value for key, value in settings.items() if key not in MAY_CHANGE}
        for settings in (about.get("settings", {}), built.settings)
    )
    same_input = not given or given in about.get("attached", {}).values()
    return about.get("sha256") == built.sha256 and before == now and same_input
