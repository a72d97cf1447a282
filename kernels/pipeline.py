"""Run the kernels one after the other on Kaggle: faces, train, predict; what is done already is not done again."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from kernels import KernelError, client, follow, places, resume
from kernels.build import Built, build
from kernels.push import prepare, push

LONG = 7 * 24 * 60.0
"""Minutes to wait for a session, and for the end of a run."""


def run_all(
    account: str,
    changes: Mapping[str, Any],
    latest: bool = False,
    tell: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run each kernel to its end, and wait for it before the next.

    A kernel whose last version is done, with this code, these settings and this input, is left as it is; one that runs
    is waited for; one that was cut off goes on. So a second call goes on where the first was stopped.
    changes: settings, by name for each kernel that has it, or as in "train.hours". Raises KernelError when one fails.
    """
    made = ""
    for name, settings in shares(changes).items():
        made = run_one(build(name, account, settings), account, settings, made, latest, tell, sleep)


def shares(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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


def run_one(
    built: Built,
    account: str,
    changes: Mapping[str, Any],
    given: str,
    latest: bool,
    tell: Callable[[str], None],
    sleep: Callable[[float], None],
) -> str:
    """Run a kernel until it is done, going on from version to version; return the sha256 of what it made.

    given: the sha256 of what the kernel before made.
    """
    kernel, mine = str(built.metadata["id"]), False
    while True:
        state, why, about = last_version(kernel, tell, sleep)
        same = is_same(about, built, given)
        if state == "COMPLETE" and same and about["status"] == "done":
            tell(f"{kernel} is done.")
            return str(about.get("made", ""))
        if mine and (not same or about["status"] == "failed" or built.name == "predict"):
            reason = about.get("reason") or why or "it is not the version that was pushed"
            raise KernelError(f"{kernel} ended as {state}: {reason}; see its log: make kernel-logs KERNEL={built.name}")
        next_version = following(built.name, account, changes, latest, same)
        pushed = push(next_version, account, LONG, tell=tell, sleep=sleep)
        tell(f"Pushed {pushed.name}, version {pushed.version}: {pushed.url}")
        mine = True
        sleep(follow.PAUSE)  # until Kaggle speaks of the new version


def last_version(
    kernel: str, tell: Callable[[str], None], sleep: Callable[[float], None]
) -> tuple[str, str, dict[str, Any]]:
    """The state of the last version at its end, why it failed, and its report; empty ones where there is none."""
    try:
        state, why = follow.wait_for(kernel, LONG, tell, sleep)
        return state, why, follow.read_last_report(kernel)
    except client.MissingError:
        return "", "", {}


def is_same(about: Mapping[str, Any], built: Built, given: str) -> bool:
    """Whether a report is of a version with this code, these settings, and this input from the kernel before."""
    before, now = (
        {key: value for key, value in settings.items() if key not in resume.FREE}
        for settings in (about.get("settings", {}), built.settings)
    )
    fed = not given or given in about.get("attached", {}).values()
    return about.get("sha256") == built.sha256 and before == now and fed


def following(name: str, account: str, changes: Mapping[str, Any], latest: bool, same: bool) -> Built:
    """The next version, which goes on from the `same` last one where that left something."""
    if same and name in resume.KINDS:
        try:
            return prepare(name, account, changes, resuming=True, latest=latest)
        except resume.NothingLeftError:
            pass
    return prepare(name, account, changes, latest=latest)
