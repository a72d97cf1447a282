"""Work on many videos at once in processes that can be killed: the one boundary where a video's failure is caught.

Threads cannot end a decoder that hangs in native code, so each video is read in a worker process, within limits of time
and memory. Each worker has a pipe of its own. In pools whose workers share one (concurrent.futures, pebble), a worker
that is killed from outside, say by the kernel for want of memory, takes the whole pool with it.
"""

import ctypes
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from dfd.errors import VideoReadError
from dfd.types import Status, Video

MEMORY = 2.0
"""Gigabytes that a video may take: five times what 1080p needs."""
TICK = 0.1
"""Seconds between two looks at the clock."""
START_LIMIT = 600.0
"""Seconds that a worker may take to start: its imports alone take a minute on a machine that is busy or cold."""
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@dataclass(frozen=True)
class Outcome:
    """What came of one video. value is the function's when status is "ok", else None and reason is one line."""

    video: Video
    status: Status
    reason: str = ""
    value: Any = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """workers: processes, 0 for one a core. timeout: seconds a video may take. memory: gigabytes that it may take.

    until: reading of time.monotonic after which what is not done is "out_of_budget".
    """

    workers: int = 0
    timeout: float = 120.0
    until: float | None = None
    memory: float = MEMORY


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has in a container with affinity set."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_video(
    function: Callable[..., Any],
    videos: Iterable[Video],
    arguments: Callable[[Video], tuple[Any, ...]] = lambda _: (),
    limits: Limits = Limits(),
) -> Iterator[list[Outcome]]:
    """`function(video, *arguments(video))` for every video, in worker processes; at a time the outcomes that have come.

    arguments: asked when the video's turn comes. They and the function are pickled. A worker that takes too long is
    killed and replaced, one that dies is replaced. Whatever happens to one video, an outcome comes for it and the
    others go on. Workers read at most two videos each ahead of the caller.
    """
    waiting = list(videos)
    if not waiting:
        return
    crew = _Crew(function, waiting, arguments, limits)
    crew.start()
    try:
        while come := crew.come():
            yield come
    finally:
        crew.leave.set()  # also when the caller stops listening: nothing is left running
        crew.join()


class _Worker:
    """A process and its pipe. video: what it reads now; since: when it began that, or began to start."""

    def __init__(self, function: Callable[..., Any], memory: float) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads can deadlock
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, memory), name="dfd-video", daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.pipe.send(function)
        self.ready = False
        self.video: Video | None = None
        self.since = time.monotonic()

    def give(self, video: Video, arguments: tuple[Any, ...]) -> None:
        self.video, self.since = video, time.monotonic()
        self.pipe.send((video, arguments))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class _Crew(threading.Thread):
    """Keeps workers busy while the caller does something else. outcomes: one a video, then None."""

    def __init__(
        self,
        function: Callable[..., Any],
        videos: list[Video],
        arguments: Callable[[Video], tuple[Any, ...]],
        limits: Limits,
    ) -> None:
        super().__init__(name="dfd-videos", daemon=True)
        self.outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self.leave = threading.Event()
        self._function, self._arguments, self._limits = function, arguments, limits
        self._waiting = videos[::-1]
        self._count = min(limits.workers or available_cores(), len(videos))
        self._workers: list[_Worker] = []
        self._failed = 0  # starts in a row that did not succeed

    def run(self) -> None:
        until = self._limits.until
        last: tuple[Status, str] = ("out_of_budget", "the time was up before its turn")
        try:
            while (self._waiting or self._busy()) and not self.leave.is_set():
                if until is not None and time.monotonic() >= until:
                    break
                if self._failed > 2 * self._count:
                    last = ("error", "no worker process could be started")
                    break
                self._staff()
                self._hand_out()
                for pipe in wait([worker.pipe for worker in self._workers], timeout=TICK):
                    self._hear(next(worker for worker in self._workers if worker.pipe is pipe))
                self._end_late()
        finally:
            left = [video for video in (worker.video for worker in self._workers) if video] + self._waiting[::-1]
            for worker in self._workers:
                worker.end()
            for video in left:
                self.outcomes.put(Outcome(video, *last))
            self.outcomes.put(None)

    def come(self) -> list[Outcome]:
        """What has come since the last call, and at least one outcome; none where all have."""
        come = [self.outcomes.get()]
        while come[-1] is not None and not self.outcomes.empty():
            come.append(self.outcomes.get())
        if come[-1] is None:
            self.outcomes.put(None)  # for the next call
        return [outcome for outcome in come if outcome is not None]

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.video]

    def _staff(self) -> None:
        """Start the workers that are lacking: as many as there are videos for."""
        while len(self._workers) < min(self._count, len(self._busy()) + len(self._waiting)):
            try:
                self._workers.append(_Worker(self._function, self._limits.memory))
            except OSError:  # no memory or no process to be had now
                self._failed += 1
                time.sleep(1.0)
                return

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not self._waiting or self.outcomes.qsize() >= 2 * self._count:
                return
            if worker.ready and not worker.video:
                video = self._waiting.pop()
                try:
                    worker.give(video, self._arguments(video))
                except OSError:  # it died while it was idle: its pipe says so in a moment
                    worker.video = None
                    self._waiting.append(video)

    def _hear(self, worker: _Worker) -> None:
        """Take what a worker sends: an outcome, or None when it has started; and whether it goes on."""
        try:
            message: tuple[Outcome | None, bool] = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        outcome, goes_on = message
        worker.ready, worker.video, self._failed = True, None, 0
        if outcome:
            self.outcomes.put(outcome)
        if not goes_on:
            self._dismiss(worker)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died: that costs the video which it read."""
        worker.process.join(1.0)
        code = worker.process.exitcode
        if worker.video:
            seconds = time.monotonic() - worker.since
            self.outcomes.put(Outcome(worker.video, "error", f"its worker process {_died(code)}", seconds=seconds))
        elif not worker.ready:
            self._failed += 1
        self._dismiss(worker)

    def _end_late(self) -> None:
        for worker in list(self._workers):
            seconds = time.monotonic() - worker.since
            if worker.video and seconds > self._limits.timeout:
                reason = f"killed after {self._limits.timeout:g} s"
                self.outcomes.put(Outcome(worker.video, "timed_out", reason, seconds=seconds))
                self._dismiss(worker)
            elif not worker.ready and seconds > START_LIMIT:
                self._failed += 1
                self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()


def _died(code: int | None) -> str:
    """What an exit code says.

    >>> _died(-9), _died(1)
    ('was ended by SIGKILL', 'died (exit code 1)')
    """
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"died (exit code {code})"


def _serve(pipe: Connection, memory: float) -> None:
    """In a worker: read one video after the other, until the pipe ends or memory has run out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    _end_with_parent()
    function = pipe.recv()  # which imports what it needs: no video pays for that
    _one_thread()
    _limit_memory(memory)
    pipe.send((None, True))
    while True:
        try:
            video, arguments = pipe.recv()
        except EOFError:
            return
        start = time.perf_counter()
        outcome, fits = _outcome(function, video, arguments, memory)
        pipe.send((replace(outcome, seconds=time.perf_counter() - start), fits))
        if not fits:
            return  # whatever was not freed goes with the process


def _outcome(
    function: Callable[..., Any], video: Video, arguments: tuple[Any, ...], memory: float
) -> tuple[Outcome, bool]:
    """Sort what happens into a status; False where memory ran out."""
    try:
        return Outcome(video, "ok", value=function(video, *arguments)), True
    except VideoReadError as error:
        status: Status = "unreadable" if os.path.lexists(video.path) else "missing"
        return Outcome(video, status, _line(error.reason)), True
    except MemoryError:
        return Outcome(video, "error", f"it takes more than {memory:g} GB of memory"), False
    except Exception as error:  # the boundary: one video never costs another  # noqa: BLE001
        return Outcome(video, "error", _line(f"{type(error).__name__}: {error}")), True


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _end_with_parent() -> None:
    """End this process when its parent ends, however that happens.

    The kernel sees to it on Linux, even where native code holds the interpreter; elsewhere a thread does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_memory(gigabytes: float) -> None:
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
        limit = has + int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _one_thread() -> None:
    """Two processes of one thread beat one process of two, and threads that fight over cores cost threefold."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
