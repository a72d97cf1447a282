"""How this process keeps its memory."""

import ctypes
import sys

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
