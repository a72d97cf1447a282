"""Push a kernel, after all checks that are possible beforehand."""

import re
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfd.report import terminal as show
from kernels import KernelError, client, follow, places, resume, upload
from kernels.build import OWNER, Built, Sources, build, uncommitted, unversioned
from kernels.check import LONGEST, faults

PUSHED = re.compile(r"Kernel version (\d+) successfully .* (\S+)$", re.MULTILINE)
REFUSED = re.compile(r"Kernel push error: (.+)")
LOST = re.compile(r"not valid (\w+) sources and could not be added to the kernel: (.+)")
BUSY = re.compile(r"session count of \d+ reached|too many requests|rate limit", re.IGNORECASE)
TAKES = {"predict": "bundle", "train": "faces"}
"""The kind of local folder that a kernel accepts in place of another kernel's output."""
FACES = "dfd-face-tracks"
"""Name of the dataset for locally built faces."""
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
}
"""The command that creates a missing source."""


@dataclass(frozen=True)
class Order:
    """What to push. changes: of the kernel's settings.

    given: a folder of the kind that the kernel accepts, or for predict a published model. resume: from its last
    version. latest: in Kaggle's newest image. wait: minutes to retry while no session is free. run: start it at once;
    else only save it.
    """

    name: str
    account: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    given: str = ""
    resume: bool = False
    latest: bool = False
    wait: float = 0
    run: bool = True


@dataclass(frozen=True)
class Pushed:
    """A pushed version of owner/slug, its commit, and its URL."""

    name: str
    version: str
    commit: str
    url: str


class BusyError(KernelError):
    """Kaggle has no free session for the account at the moment."""


def check_given(name: str, kind: str, given: str) -> None:
    """Raise KernelError unless kernel `name` accepts a local `kind`, and `given` is one: a folder, or a model."""
    if TAKES.get(places.base(name)) != kind:
        takes = next(kernel for kernel, taken in TAKES.items() if taken == kind)
        raise KernelError(f"kernel {name} takes no {kind}: {takes} does")
    if kind != "bundle" or not upload.VERSION.fullmatch(given):
        upload.check_kind(Path(given), kind)


def push(order: Order) -> Pushed:
    """Build a kernel, upload its local input, and push it. It runs at once unless the order says otherwise.

    Raises KernelError before anything is sent (faults, another account's kernel, uncommitted files, a source that is
    not ready) or afterwards (no session, no quota, a source that Kaggle left out).
    """
    with ExitStack() as stack:
        settings, instead, uploads, earlier = dict(order.changes), order.given, [], None
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfd-push-")))
        if order.resume:
            left = resume.from_kaggle(order.name, order.account, order.changes, scratch / "earlier")
            settings, earlier, uploads = left.settings, left.upload.identity, [left.upload]
        kind = TAKES.get(places.base(order.name), "")
        if (
            kind == "faces" and settings.get(kind) and not instead
        ):  # the earlier version used a local folder: so does this one
            instead = f"{order.account}/{FACES}"
        elif instead and not upload.VERSION.fullmatch(instead):
            sent = _stage(kind, Path(instead), order.account, scratch / "given")
            instead, settings[kind] = sent.name, sent.identity
            uploads.append(sent)
        built = build(order.name, order.account, settings, Sources(instead, earlier, order.latest))
        examine(built, order.account, [sent.name for sent in uploads])
        for sent in uploads:
            sent.send()
    for last in client.tries(order.wait):
        try:
            return send(built, order.run)
        except BusyError as busy:
            if last:
                raise
            show.say(f"{busy}. Trying again in {client.PAUSE:.0f} s.")
    raise AssertionError("the last try ends the loop")


def _stage(kind: str, folder: Path, account: str, staged: Path) -> upload.Upload:
    if kind == "bundle":
        return upload.model(folder, kind, account, staged)
    return upload.dataset(folder, kind, f"{account}/{FACES}", staged)


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
    for key, ready in (("dataset", _ready_dataset), ("model", _ready_model), ("kernel", _ready_kernel)):
        for source in built.metadata.get(f"{key}_sources", []):
            try:
                if source not in later:
                    ready(source)
            except client.MissingError:
                slug = unversioned(source).rpartition("/")[2]
                remedy = REMEDIES.get(slug, "is its name right, and may your account read it?")
                raise KernelError(f"{key} {source} does not exist on Kaggle: {remedy}") from None


def _ready_dataset(dataset: str) -> None:
    if (status := client.dataset_status(unversioned(dataset))) != "ready":
        raise KernelError(f"dataset {dataset} is not ready: {status}; push again in some minutes")


def _ready_model(model: str) -> None:
    variation, _, version = model.rpartition("/")
    if upload.newest(variation) < int(version):
        raise KernelError(f"model {model} does not exist on Kaggle: make bundle-push BUNDLE=folder publishes one")


def _ready_kernel(kernel: str) -> None:
    kernel = unversioned(kernel)
    status, why = client.kernel_status(kernel)
    if status != "COMPLETE":
        raise KernelError(f"kernel {kernel} has no output to read: {status.lower()}{': ' + why if why else ''}")
    if kernel.endswith("/dfd-train") and follow.read_last_report(kernel).get("status") == "unfinished":
        again = "make kernel-push KERNEL=train RESUME=1"
        raise KernelError(f"kernel {kernel} is unfinished and has no bundle yet: {again} resumes it")


def send(built: Built, run: bool = True) -> Pushed:
    """Push once. Raises BusyError, KernelError."""
    options = ["-p", str(built.folder), "-t", str(LONGEST), *([] if run else ["--no-run"])]
    answer = client.kaggle("kernels", "push", *options)
    if "unrecognized arguments: --no-run" in answer.err:
        raise KernelError("a push without a run needs Kaggle's command line 2.2.5 or later: pip install -U kaggle")
    refused, pushed, lost = REFUSED.search(answer.text), PUSHED.search(answer.out), LOST.search(answer.text)
    if refused or answer.status or pushed is None:
        words = refused[1].strip() if refused else answer.words
        if BUSY.search(words):
            fault = "no session is free" if "session" in words else "Kaggle is asked too often"
            raise BusyError(f"{fault} ({words}): wait, or push with WAIT=minutes")
        advice = next((f"; {text}" for sign, text in ADVICE.items() if sign in words), "")
        raise KernelError(f"Kaggle refused the push: {words}{advice}")
    if lost:
        raise KernelError(
            f"version {pushed[1]} was pushed without {lost[1]} sources {lost[2].strip()}, and will fail: "
            f"stop it at {pushed[2]}, and see whether they exist and your account may read them"
        )
    return Pushed(str(built.metadata["id"]), pushed[1], built.commit, pushed[2])
