"""Work on many videos at once in processes that can be killed: the one boundary where a video's failure is caught.

Threads cannot end a decoder that hangs in native code, so each video is read in a worker process, within limits of time
and memory. Each worker has a pipe of its own. In pools whose workers share one (concurrent.futures, pebble), a worker
that is killed from outside, say by the kernel for want of memory, takes the whole pool with it.
"""

import math
import multiprocessing
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from dfd.cores import available_cores as available_cores
from dfd.errors import ConfigError
from dfd.types import Status, Video
from dfd.videos.serve import error_line, serve

MEMORY = 2.0
"""Gigabytes that a video may take: five times what 1080p needs."""
TICK = 0.1
"""Seconds between two looks at whether the caller has left."""
TRIES = (0.0, 1.0, 1.0)
"""Seconds to wait before each try to start a worker, where it dies as it starts."""
START_LIMIT = 300.0
"""Seconds that a start may take: the imports alone take a minute on a machine that is busy or cold."""
END_LIMIT = 10.0
"""Seconds to wait for a killed process: only one that hangs in the kernel takes longer, and it runs no more code."""
LATE: tuple[Status, str] = ("out_of_budget", "the time was up before it was read")

Arguments = Callable[[Video], tuple[Any, ...]]
"""What a function gets with a video."""


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

    until: reading of time.monotonic after which what is not done is "out_of_budget". Raises ConfigError.
    """

    workers: int = 0
    timeout: float = 120.0
    until: float | None = None
    memory: float = MEMORY

    def __post_init__(self) -> None:
        if not self.workers >= 0:  # true of NaN too
            raise ConfigError(f"workers is {self.workers}: give 0 for one a core, or a number of processes")
        for name, value, unit in (("timeout", self.timeout, "seconds"), ("memory", self.memory, "gigabytes")):
            if not value > 0:
                raise ConfigError(f"{name} is {value:g}: give a number of {unit} above 0")
        if self.until is not None and math.isnan(self.until):
            raise ConfigError("until is nan: give a reading of time.monotonic, or None")


def each_video(
    function: Callable[..., Any],
    videos: Iterable[Video],
    arguments: Arguments = lambda _: (),
    limits: Limits = Limits(),
    prepare: Callable[[], None] | None = None,
    spare: "Spare | None" = None,
) -> Generator[list[Outcome], None, None]:
    """`function(video, *arguments(video))` for every video, in worker processes; at a time the outcomes that have come.

    The workers start now. close() ends them, and so does losing what is returned. prepare: called in each worker first:
    no video pays for that. spare: workers that an earlier call with the same function, preparation and memory has left,
    which are taken first; those of this call that still wait at its end are left there.
    arguments: asked when the video's turn comes, in a thread, one video at a time. They, the function and its values
    are pickled. A worker that takes too long is killed and replaced, one that dies is replaced. Whatever happens to one
    video, an outcome comes for it, once its worker is dead or waits again, and the others go on. Workers read at most
    two videos each ahead of the caller.
    """
    outcomes = _Crew(pickle.dumps((function, prepare)), list(videos), arguments, limits, spare).outcomes()
    next(outcomes)  # starts them; only a generator that has begun runs its `finally`
    return outcomes


staying = partial(each_video, spare=[])
"""each_video for a process that calls it often, with the same function, preparation and memory: its workers stay."""


class _Worker:
    """A process and its pipe. died: how it ended, where it did by itself."""

    def __init__(self, function: bytes, memory: float) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads can deadlock
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, function, memory), name="dfd-video", daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.died = ""

    def end(self) -> None:
        self.process.kill()
        self.process.join(END_LIMIT)
        self.pipe.close()


Spare = list[_Worker]
"""Workers that wait for another call of each_video."""
_STARTER = ThreadPoolExecutor(1, "dfd-starter")
"""A thread that stays: on Linux a worker ends with the thread that has started it."""


class _Crew:
    """Threads that share out the videos, each with a worker of its own, while the caller does something else."""

    def __init__(
        self, function: bytes, videos: list[Video], arguments: Arguments, limits: Limits, spare: Spare | None
    ) -> None:
        self._function, self._arguments, self._limits, self._spare = function, arguments, limits, spare
        self._until = math.inf if limits.until is None else limits.until
        self._count = min(limits.workers or available_cores(), len(videos))
        self._asking = threading.Lock()
        self._left = threading.Event()  # by the caller
        self._changed = threading.Condition()  # of what follows
        self._waiting = deque(videos)
        self._come: list[Outcome] = []
        self._running = self._count  # threads

    def outcomes(self) -> Generator[list[Outcome], None, None]:
        """Start; an empty list; then what has come since the last time, at least one outcome, until all have."""
        owed, threads = len(self._waiting), []
        try:
            for _ in range(self._count):
                thread = threading.Thread(target=self._keep_busy, name="dfd-videos", daemon=True)
                thread.start()
                threads.append(thread)
            yield []
            while owed:
                with self._changed:
                    self._changed.wait_for(lambda: self._come or not self._running)
                    come, self._come = self._come, []
                    self._changed.notify_all()
                owed -= len(come)
                yield come
        finally:
            self._left.set()
            with self._changed:
                self._changed.notify_all()
            if threading.current_thread() not in threads:  # a garbage collection may come in any of them
                for thread in threads:
                    thread.join()

    def _keep_busy(self) -> None:
        """In a thread: read one video after the other. The last thread tells of those that nobody is left for."""
        worker, video = None, None
        try:
            while video := self._next():
                if not (worker := self._fit(worker)):
                    break
                outcome = self._read(worker, video)
                with self._changed:
                    self._come.append(outcome)
                    self._changed.notify_all()
        finally:
            if worker and self._spare is not None and not worker.pipe.closed:
                self._spare.append(worker)
            elif worker:
                worker.end()
            with self._changed:
                if video:  # for which there is no worker
                    self._waiting.appendleft(video)
                self._running -= 1
                if not self._running:
                    why = LATE if self._over() else ("error", "no worker process could be started")
                    self._come += [Outcome(video, *why) for video in self._waiting]
                self._changed.notify_all()

    def _over(self) -> bool:
        return self._left.is_set() or time.monotonic() >= self._until

    def _next(self) -> Video | None:
        """The next video, once the caller has taken enough of what came; None where none is left or the time is up."""
        with self._changed:
            while self._waiting and not self._over():
                if len(self._come) < 2 * self._count:
                    return self._waiting.popleft()
                self._changed.wait(min(self._until - time.monotonic(), threading.TIMEOUT_MAX))
        return None

    def _fit(self, worker: _Worker | None) -> _Worker | None:
        """`worker` where it can go on, else a new one that has started; None if none can be started."""
        if worker := worker or self._waits():
            if not worker.pipe.closed and not worker.pipe.poll():  # it says nothing, and its pipe has not ended
                return worker
            worker.end()
        for pause in TRIES:
            if self._left.wait(pause):
                break
            try:
                worker = self._start()
            except OSError:  # no memory or no process to be had now
                continue
            if self._hear(worker, START_LIMIT) is not None:
                return worker
            if not worker.died:  # it took too long, or the time is up
                break
        return None

    def _waits(self) -> _Worker | None:
        try:
            return self._spare.pop() if self._spare else None
        except IndexError:  # another thread took the last one
            return None

    def _start(self) -> _Worker:
        if self._spare is None:
            return _Worker(self._function, self._limits.memory)
        return _STARTER.submit(_Worker, self._function, self._limits.memory).result()

    def _hear(self, worker: _Worker, seconds: float, message: bytes = b"") -> bytes | None:
        """What a worker says to `message`; None where it has died, or was killed as it took too long or time is up."""
        limit = min(time.monotonic() + seconds, self._until)
        try:
            if message:
                worker.pipe.send_bytes(message)
            while not worker.pipe.poll(max(0.0, min(TICK, limit - time.monotonic()))):
                if self._left.is_set() or time.monotonic() >= limit:
                    worker.end()
                    return None
            return worker.pipe.recv_bytes()
        except (EOFError, OSError):
            worker.process.join(1.0)  # its pipe ends a little before it does
            worker.end()
            worker.died = _died(worker.process.exitcode)
            return None

    def _read(self, worker: _Worker, video: Video) -> Outcome:
        """What comes of a video."""
        try:
            with self._asking:
                message = pickle.dumps((video, self._arguments(video)))
        except BaseException as error:  # the boundary on this side  # noqa: BLE001
            return Outcome(video, "error", error_line(error))
        start = time.monotonic()
        answer = self._hear(worker, self._limits.timeout, message)
        seconds = time.monotonic() - start
        if answer is None:
            why: tuple[Status, str] = ("timed_out", f"killed after {self._limits.timeout:g} s")
            if worker.died:
                why = ("error", f"its worker process {worker.died}")
            elif self._over():
                why = LATE
            return Outcome(video, *why, seconds=seconds)
        try:
            goes_on, status, reason, value, seconds = pickle.loads(answer)
        except BaseException as error:  # of the value's own class  # noqa: BLE001
            return Outcome(video, "error", error_line(error), seconds=seconds)
        if not goes_on:
            worker.end()
        return Outcome(video, status, reason, value, seconds)


def _died(code: int | None) -> str:
    """What an exit code says.

    >>> _died(-9), _died(-40), _died(1)
    ('was ended by SIGKILL', 'was ended by signal 40', 'died (exit code 1)')
    """
    if code is None or code >= 0:
        return f"died (exit code {code})"
    named = -code in set(signal.Signals)  # of the real-time ones only the first and the last
    return f"was ended by {signal.Signals(-code).name if named else f'signal {-code}'}"
