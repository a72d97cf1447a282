"""Work that the nodes in test_cluster.py run. Their processes import this module, so it imports little."""

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
class Made:
    """The result for one number, with the worker count of its shard and the node that computed it."""

    number: int
    status: str = "ok"
    reason: str = ""
    workers: int = 0
    node: str = ""


@dataclass(frozen=True)
class Erratic:
    """Process numbers on a node: some kill the process, hang it or raise.

    folder: each try writes a file here. full: a file with the name of the node whose disk is full. The other node first
    waits until that one has failed.
    """

    folder: Path
    full: Path | None = None

    def __call__(self, numbers, limits):
        import ray

        node = ray.get_runtime_context().get_node_id()
        for number in numbers:
            (self.folder / f"{number}.{os.getpid()}.{time.monotonic_ns()}").touch()
            if number == 13:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == 15:
                HELD.sleep(600)
            if number == 17:
                raise ZeroDivisionError("seventeen")
            if number == 19:
                raise ConfigError("nineteen")
            if number >= 100:
                time.sleep(number / 100)
        if self.full:
            failed = self.full.with_suffix(".failed")
            if node == self.full.read_text():
                failed.touch()
                return [Made(number, "error", "OSError: [Errno 28] No space left on device") for number in numbers]
            while not failed.exists():
                time.sleep(0.05)
        return [Made(number, "ok", "", limits.workers, node) for number in numbers]

    def tries(self, number):
        return len(list(self.folder.glob(f"{number}.*")))


def behave(video, mark=""):
    """Fail as a decoder may; the video's name selects how."""
    if video.name == "hangs":
        HELD.sleep(600)
    if video.name == "crashes":
        ctypes.string_at(0)
    if video.name == "unreadable":
        raise VideoReadError(video.path, "no video stream")
    if video.name == "full":
        raise OSError(28, "No space left on device")
    return f"{video.name}{mark}"
