"""Memory of this process: keep freed memory, and limit allocations."""

import ctypes
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # from malloc.h; arenas of threads keep 64 MB at most
MAPPED = 1 << 30
"""Larger arrays, in bytes, are still returned to the kernel."""


def keep_freed_memory() -> bool:
    """Let malloc keep freed memory for the next array. Returns whether the C library supports it.

    A network's layers allocate and free arrays of tens of megabytes. By default glibc returns each to the kernel, which
    zeroes the pages of the next one: a third of a training step's time on a CPU. Keeping them costs a quarter more
    memory at the peak (`python -m benchmarks.memory`).
    Called only by the command line, since a library should not decide this. Linux with glibc only.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {M_MMAP_THRESHOLD: MAPPED, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all(libc.mallopt(name, value) for name, value in settings.items())


def limit_memory(gigabytes: float) -> None:
    """Let this process allocate `gigabytes` more than it has now; beyond that it gets a MemoryError.

    The kernel enforces it: a watching process would be too late for an image of gigapixels. It limits private writable
    memory (RLIMIT_DATA), not the address space, of which libraries reserve unused gigabytes. Linux only.
    """
    usage = Path("/proc/self/statm")
    if sys.platform == "linux" and usage.exists():
        import resource

        has = int(usage.read_text().split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_DATA, (int(min(has + gigabytes * 1e9, most)), hard))
