"""Run the kernels faces, train and predict on Kaggle, one after the other. Finished ones are not run again."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dfd.report import terminal as show
from kernels import KernelError, client, follow, places
from kernels.build import Built, build
from kernels.push import Order, push
from kernels.resume import KINDS, MAY_CHANGE, NothingLeftError

WEEK = 7 * 24 * 60.0
"""Minutes to wait for a free session, and for the end of a run."""


def run_all(account: str, changes: Mapping[str, Any], latest: bool = False) -> None:
    """Run each kernel to its end before the next one.

    A kernel is skipped if its last version is done with this code, these settings and this input. A running one is
    waited for; one that was cut off is resumed. So a second call continues where the first was stopped.
    changes: settings, by name for each kernel that has it, or as in "train.hours". Raises KernelError when one fails.
    """
    made = ""
    for name, settings in settings_by_kernel(changes).items():
        made = run_one(Order(name, account, settings, latest=latest, wait=WEEK), made)


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


def run_one(order: Order, given: str) -> str:
    """Run a kernel until it is done, resuming as often as needed. Returns the sha256 of its result.

    given: the sha256 of the previous kernel's result.
    """
    built, pushed = build(order.name, order.account, order.changes), False
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
        resumes = same and about["status"] != "failed" and order.name in KINDS
        if pushed and not resumes:
            reason = about.get("reason") or why or "it is not the version that was pushed"
            again = f"make kernel-logs KERNEL={order.name}"
            raise KernelError(f"{kernel} ended as {state}: {reason}; see its log: {again}")
        try:
            version = push(replace(order, resume=same and order.name in KINDS))
        except NothingLeftError:
            version = push(order)
        show.say(f"Pushed {version.name}, version {version.version}: {version.url}")
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
