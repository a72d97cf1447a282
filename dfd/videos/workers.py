"""Work on many videos at once in processes that can be killed: the one boundary where a video's failure is caught.

Threads cannot end a decoder that hangs in native code, so each video is read in a worker process, with a time limit.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pebble import ProcessExpired, ProcessPool

from dfd.errors import VideoReadError
from dfd.types import Status, Video


@dataclass(frozen=True)
class Outcome:
    """What came of one video. value is the function's when status is "ok", else None and reason is one line."""

    video: Video
    status: Status
    reason: str = ""
    value: Any = None
    seconds: float = 0.0


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has in a container with affinity set."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_video(
    function: Callable[..., Any],
    videos: Sequence[Video],
    *arguments: Any,
    workers: int = 0,
    timeout: float = 120.0,
    until: float | None = None,
) -> Iterator[Outcome]:
    """`function(video, *arguments)` for every video, in `workers` processes (0: one a core); outcomes as they come.

    timeout: seconds a video may take before its worker is killed and replaced. until: reading of time.monotonic after
    which what is not done is "out_of_budget". Function and arguments are pickled. Whatever happens to one video, an
    outcome comes for it and the others go on.
    """
    count = min(workers or available_cores(), max(1, len(videos)))
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads can deadlock
    pool = ProcessPool(max_workers=count, initializer=_one_thread, context=context)
    queue = iter(videos)
    pending: dict[Any, Video] = {}

    def fill() -> None:
        for video in islice(queue, 2 * count - len(pending)):
            pending[pool.schedule(_timed, args=(function, video, *arguments), timeout=timeout)] = video

    try:
        fill()
        while pending:
            left = None if until is None else max(0.0, until - time.monotonic())
            done = wait(pending, timeout=left, return_when=FIRST_COMPLETED).done
            if not done:
                break
            yield from [_outcome(pending.pop(future), future, timeout) for future in done]
            fill()
        for video in [*pending.values(), *queue]:
            yield Outcome(video, "out_of_budget", "the time was up before its turn")
    finally:
        pool.stop()  # also when the caller stops listening: nothing is left running
        pool.join()


def _timed(function: Callable[..., Any], video: Video, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(video, *arguments), time.perf_counter() - start


def _outcome(video: Video, future: Any, timeout: float) -> Outcome:
    """Sort what happened into a status."""
    try:
        value, seconds = future.result()
        return Outcome(video, "ok", value=value, seconds=seconds)
    except TimeoutError:
        return Outcome(video, "timed_out", f"killed after {timeout:g} s", seconds=timeout)
    except VideoReadError as error:
        status: Status = "unreadable" if os.path.lexists(video.path) else "missing"
        return Outcome(video, status, _line(error.reason))
    except ProcessExpired as error:
        return Outcome(video, "error", f"its worker process died (exit code {error.exitcode})")
    except Exception as error:  # the boundary: one video never costs another  # noqa: BLE001
        return Outcome(video, "error", _line(f"{type(error).__name__}: {error}"))


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _one_thread() -> None:
    """Two processes of one thread beat one process of two, and threads that fight over cores cost threefold."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
