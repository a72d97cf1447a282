"""Push a kernel, after all checks that are possible beforehand; or run all kernels one after the other."""

import re
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import FOLDER, MINUTES
from dfd.report import terminal as show
from kernels import KernelError, client, follow, places, upload
from kernels.build import OWNER, Built, Source, build, uncommitted, unversioned
from kernels.check import LONGEST, faults

WEEK = 7 * 24 * 60.0
"""Minutes to wait for a free session, and for the end of a run."""
PUSHED = re.compile(r"Kernel version (\d+) successfully .* (\S+)$", re.MULTILINE)
LOST = re.compile(r"not valid (\w+) sources and could not be added to the kernel: (.+)")
BUSY = re.compile(r"session count of \d+ reached|too many requests|rate limit", re.IGNORECASE)
ADVICE = {
    "quota": "the week's GPU hours are spent, new ones start on Saturday, 00:00 UTC",
    "Notebook not found": "is the owner yours, and do id and title agree?",
    "title is already in use": "another of your kernels has this title: change id and title",
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

    bundle: Annotated[Path | None, FOLDER] = None
    """For predict: a bundle made here, published as a model, or a model as in you/dfd/pyTorch/detector/1."""
    faces: Annotated[Path | None, FOLDER] = None
    """For train: a dataset of faces made here, in place of what kernel faces made."""
    resume: bool = False
    """Resume from what the last version left, with its settings."""
    latest: bool = False
    """In Kaggle's newest image, not in the pinned one."""
    wait: Annotated[float, MINUTES] = 0
    """Minutes to try again while no session of your account is free."""
    no_run: Annotated[bool, Parameter(negative=())] = False
    """Save the version on Kaggle without running it."""

    def given(self, name: str, account: str, staged: Path) -> list[Source]:
        """Stage the bundle or faces, if any. Raises KernelError for a folder of another kind, or kernel `name`."""
        found = []
        for kind, folder in (("bundle", self.bundle), ("faces", self.faces)):
            if folder is None:
                continue
            if places.TAKES.get(places.base(name)) != kind:
                takes = next(kernel for kernel, taken in places.TAKES.items() if taken == kind)
                raise KernelError(f"kernel {name} takes no {kind}: {takes} does")
            if kind == "faces":
                upload.check_kind(folder, kind)
                found.append(upload.dataset(folder, kind, f"{account}/{upload.FACES}", staged))
            elif upload.VERSION.fullmatch(str(folder)):
                found.append(Source(str(folder), kind))
            else:
                found.append(upload.model(folder, kind, account, staged))
        return found


@dataclass(frozen=True)
class Pushed:
    """A pushed version of owner/slug, its commit, and its URL."""

    name: str
    version: str
    commit: str
    url: str


class BusyError(KernelError):
    """Kaggle has no free session for the account at the moment."""


def push(name: str, account: str, changes: Mapping[str, Any], options: PushOptions = PushOptions()) -> Pushed:
    """Build a kernel, upload its local input, and push it. changes: of its settings.

    Raises KernelError before anything is sent (faults, another account's kernel, uncommitted files, a source that is
    not ready) or afterwards (no session, no quota, a source that Kaggle left out).
    """
    with tempfile.TemporaryDirectory(prefix="dfd-push-") as scratch:
        settings, sources = dict(changes), options.given(name, account, Path(scratch) / "given")
        if options.resume:
            settings, left = follow.resume_from_kaggle(name, account, changes, Path(scratch))
            kinds = {source.kind for source in sources}
            sources += [source for source in left if source.kind not in kinds]
        built = build(name, account, settings, sources, options.latest)
        examine(built, account, [source.name for source in sources if source.folder])
        for source in sources:
            if source.folder:
                upload.send(source)
    for last in client.tries(options.wait):
        try:
            return send(built, not options.no_run)
        except BusyError as busy:
            if last:
                raise
            show.say(f"{busy}. Trying again in {client.PAUSE:.0f} s.")
    raise AssertionError("the last try ends the loop")


def examine(built: Built, account: str, later: Collection[str] = ()) -> None:
    """Raise KernelError for any problem before something is sent. later: sources that are uploaded afterwards."""
    if found := faults(built):
        more = f" (and {len(found) - 1} more: make kernel-check KERNEL={built.name})" if len(found) > 1 else ""
        raise KernelError(f"kernel {built.name}: {found[0]}{more}")
    if (owner := str(built.metadata["id"]).partition("/")[0]) != account:
        raise KernelError(f"id begins with {owner}, but the credentials here are {account}'s: write {OWNER} in it")
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
    state, why = _kernel_status(unversioned(source)) if kind == "kernel" else (upload.status(source), "")
    if state == "missing":
        remedy = REMEDIES.get(source.split("/")[1], "is its name right, and may your account read it?")
        raise KernelError(f"{kind} {source} does not exist on Kaggle: {remedy}")
    if kind == "kernel" and state != "COMPLETE":
        raise KernelError(f"kernel {source} has no output to read: {state.lower()}{': ' + why if why else ''}")
    if kind != "kernel" and state != "ready":
        raise KernelError(f"{kind} {source} is not ready: {state}; push again in some minutes")


def _kernel_status(kernel: str) -> tuple[str, str]:
    """The state of a kernel, or missing, and why it failed. Raises KernelError for a training without a bundle yet."""
    try:
        state, why = client.kernel_status(kernel)
    except client.MissingError:
        return "missing", ""
    is_training = state == "COMPLETE" and kernel.endswith("/dfd-train")
    if is_training and follow.read_last_report(kernel).get("status") == "unfinished":
        again = "make kernel-push KERNEL=train RESUME=1"
        raise KernelError(f"kernel {kernel} is unfinished and has no bundle yet: {again} resumes it")
    return state, why


def send(built: Built, run: bool = True) -> Pushed:
    """Push once. Raises BusyError, KernelError."""
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
    if lost := LOST.search(said):
        raise KernelError(
            f"version {pushed[1]} was pushed without {lost[1]} sources {lost[2].strip()}, and will fail: "
            f"stop it at {pushed[2]}, and see whether they exist and your account may read them"
        )
    return Pushed(str(built.metadata["id"]), pushed[1], built.commit, pushed[2])


def run_all(account: str, changes: Mapping[str, Any], latest: bool = False) -> None:
    """Run each kernel to its end before the next one.

    A kernel is skipped if its last version is done with this code, these settings and this input. A running one is
    waited for; one that was cut off is resumed. So a second call continues where the first was stopped.
    changes: settings, by name for each kernel that has it, or as in "train.hours". Raises KernelError when one fails.
    """
    made = ""
    for name, settings in settings_by_kernel(changes).items():
        made = run_one(name, account, settings, PushOptions(latest=latest, wait=WEEK), made)


def settings_by_kernel(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each kernel. Raises KernelError for one that no kernel has."""
    shared: dict[str, dict[str, Any]] = {}
    known: set[str] = set()
    for name in places.NAMES:
        names = {f"{prefix}{key}": key for key in build(name).settings for prefix in ("", f"{name}.")}
        shared[name] = {names[key]: value for key, value in changes.items() if key in names}
        known |= set(names)
    for key in changes:
        if key not in known:
            raise KernelError(f"no kernel has a setting {key!r}; there are {', '.join(sorted(known))}")
    return shared


def run_one(name: str, account: str, changes: Mapping[str, Any], options: PushOptions, given: str) -> str:
    """Run a kernel until it is done, resuming as often as needed. Returns the sha256 of its result.

    given: the sha256 of the previous kernel's result.
    """
    built, pushed = build(name, account, changes), False
    kernel = str(built.metadata["id"])
    while True:
        try:
            state, why = follow.wait_for(kernel, WEEK)
            about = follow.read_last_report(kernel)
        except client.MissingError:
            state, why, about = "", "", {}
        same = is_same(about, built, given)
        if state == "COMPLETE" and same and about["status"] == "done":
            show.say(f"{kernel} is done.")
            return str(about.get("made", ""))
        resumes = same and name in places.LEAVES
        if pushed and (not resumes or about["status"] == "failed"):
            reason = about.get("reason") or why or "it is not the version that was pushed"
            again = f"make kernel-logs KERNEL={name}"
            raise KernelError(f"{kernel} ended as {state}: {reason}; see its log: {again}")
        try:
            version = push(name, account, changes, replace(options, resume=resumes))
        except follow.NothingLeftError:
            version = push(name, account, changes, options)
        show.say(f"Pushed {version.name}, version {version.version}: {version.url}")
        pushed = True
        time.sleep(client.PAUSE)  # until Kaggle lists the new version


def is_same(about: Mapping[str, Any], built: Built, given: str) -> bool:
    """Whether a report is of a version with this code, these settings, and this input from the previous kernel."""
    before, now = (
        {key: value for key, value in settings.items() if key not in follow.MAY_CHANGE}
        for settings in (about.get("settings", {}), built.settings)
    )
    same_input = not given or given in about.get("attached", {}).values()
    return about.get("sha256") == built.sha256 and before == now and same_input
