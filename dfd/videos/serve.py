"""The loop of a worker process: reads each video that arrives through its pipe, and returns the outcome."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from dfd.cores import use_one_core
from dfd.errors import VideoReadError
from dfd.memory import limit_memory
from dfd.types import Status

PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def serve(pipe: Connection, function: bytes, memory: float) -> None:
    """Process one video after the other until the pipe closes. function: the pickled function and preparation.

    memory: limit per video in gigabytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _end_with_parent()
    read, prepare = pickle.loads(function)
    use_one_core()
    if prepare:
        prepare()
    limit_memory(memory)
    pipe.send_bytes(b"ready")
    while True:
        try:
            message = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_answer(read, message, memory))


def _answer(function: Callable[..., Any], message: bytes, memory: float) -> bytes:
    """(whether the worker can continue, status, reason, value, seconds), pickled."""
    start, goes_on = time.perf_counter(), True
    status: Status = "error"
    try:
        video, arguments = pickle.loads(message)
        value = function(video, *arguments)
        return pickle.dumps((True, "ok", "", value, time.perf_counter() - start))
    except VideoReadError as error:
        there = error.path != video.path or os.path.lexists(video.path)  # a downloaded file has another path
        status = "unreadable" if there else "missing"
        reason = _line(error.reason)
    except MemoryError:
        reason, goes_on = f"it takes more than {memory:g} GB of memory", False  # exiting frees what leaked
    except Exception as error:  # the boundary: one video never affects another  # noqa: BLE001
        reason = error_line(error)
    return pickle.dumps((goes_on, status, reason, None, time.perf_counter() - start))


def error_line(error: BaseException) -> str:
    """Format an error's type and message as one line."""
    try:
        return _line(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001  # raised by its own __str__
        return type(error).__name__


def _line(text: str) -> str:
    """One line that every Unicode encoding can represent. A file name in it may be undecodable."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())[:300]


def _end_with_parent() -> None:
    """End this process when its parent ends, for whatever reason.

    On Linux the kernel does it, even while native code holds the interpreter; elsewhere a thread does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
