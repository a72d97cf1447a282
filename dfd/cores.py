"""How many cores this process may use, and how to use one."""

import math
import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: in a container fewer than the machine has, by affinity or by a quota of time.

    A quota is rounded up. root: the folder of /proc and /sys.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(cores, _quota(root)))


def _quota(root: Path) -> float:
    """Cores' worth of time that the control groups of this process and those above leave it; infinite without a limit.

    A group that is named but not there is passed over: a container may see its own as the topmost.
    """
    quota, mounts = math.inf, root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return quota
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):  # version 2 names none
            for mount in (mounts / controllers, mounts / ("cpu" if controllers else "unified")):
                own = mount / path.lstrip("/")
                quota = min(quota, *map(_of_group, (own, *own.parents)))
    return quota


def _of_group(group: Path) -> float:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):  # of version 2, of version 1
        try:
            quota, period = (int(number) for name in names for number in (group / name).read_text().split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0 and period > 0:
            return quota / period
    return math.inf


def use_one_core() -> None:
    """Two processes of one thread beat one process of two, and threads that fight over cores cost threefold."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
