"""Number of cores available to this process, and limiting a process to one."""

import math
import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Number of cores that this process may use. Affinity or a CPU quota may allow fewer than the machine has.

    A quota is rounded up. root: parent folder of /proc and /sys.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(cores, _quota(root)))


def _quota(root: Path) -> float:
    """CPU quota, in cores, of this process's control groups and their parents; infinite without a limit.

    A missing group is ignored: a container may see its own group as the root.
    """
    quota, mounts = math.inf, root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return quota
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):  # version 2 lists none
            for mount in (mounts / controllers, mounts / ("cpu" if controllers else "unified")):
                own = mount / path.lstrip("/")
                quota = min(quota, *map(_of_group, (own, *own.parents)))
    return quota


def _of_group(group: Path) -> float:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):  # cgroup version 2, version 1
        try:
            quota, period = (int(number) for name in names for number in (group / name).read_text().split())
        except (OSError, ValueError):  # missing, or "max"
            continue
        if quota > 0 and period > 0:
            return quota / period
    return math.inf


def use_one_core() -> None:
    """Limit libraries to one thread: two such processes beat one of two, and competing threads cost threefold."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
