"""What nodes of test_cluster.py do. Its processes import this module, and so it imports little."""

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from dfd.errors import ConfigError, VideoReadError

HELD = ctypes.PyDLL(None)
"""The C library, called with the interpreter's lock held."""


@dataclass(frozen=True)
class Erratic:
    """What a node does with numbers, by the number; else it says which and with how many workers.

    folder: where each try leaves a file.
    """

    folder: Path

    def __call__(self, orders, limits):
        for number in orders:
            (self.folder / f"{number}.{os.getpid()}.{time.monotonic_ns()}").touch()
            if number == 13:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == 17:
                raise ZeroDivisionError("seventeen")
            if number == 19:
                raise ConfigError("nineteen")
            if number >= 100:
                time.sleep(number / 100)
        return [(number, limits.workers) for number in orders]

    def tries(self, number):
        return len(list(self.folder.glob(f"{number}.*")))


def behave(video, mark=""):
    """What a decoder may do, by the video's name."""
    if video.name == "hangs":
        HELD.sleep(600)
    if video.name == "crashes":
        ctypes.string_at(0)
    if video.name == "unreadable":
        raise VideoReadError(video.path, "no video stream")
    if video.name == "full":
        raise OSError(28, "No space left on device")
    return f"{video.name}{mark}"
