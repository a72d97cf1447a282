"""How this process keeps its memory, and how much it may take."""

import ctypes
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of malloc.h; threads' own arenas keep 64 MB at most
MAPPED = 1 << 30
"""Bytes from which an array still comes from the kernel and goes back to it."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees for its next array, and say whether its C library can.

    A network's layers ask for arrays of tens of megabytes and free them at once. glibc hands each back to the kernel,
    which fills the next one with zeros, page by page: a third of a training step's time on a CPU, at a quarter less
    memory at its peak (`python -m benchmarks.memory`).
    Not for a library to decide, so the command line calls it. Linux with glibc only.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {M_MMAP_THRESHOLD: MAPPED, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all(libc.mallopt(name, value) for name, value in settings.items())


def limit_memory(gigabytes: float) -> None:
    """Let this process allocate `gigabytes` more than it has; what goes beyond fails as a MemoryError.

    A limit that the kernel keeps, since one that watches comes too late for a picture of gigapixels. On private
    writable memory (RLIMIT_DATA) and not on the whole address space, of which libraries reserve gigabytes unused.
    Linux only.
    """
    usage = Path("/proc/self/statm")
    if sys.platform == "linux" and usage.exists():
        import resource

        has = int(usage.read_text().split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_DATA, (int(min(has + gigabytes * 1e9, most)), hard))
