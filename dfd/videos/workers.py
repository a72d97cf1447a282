"""Process many videos in worker processes that can be killed: the one boundary where a video's failure is caught.

Threads cannot stop a decoder that hangs in native code, so each video is read in a worker process, with limits on time
and memory. Each worker has its own pipe. In pools whose workers share one (concurrent.futures, pebble), a worker killed
from outside, for example by the kernel for lack of memory, breaks the whole pool.
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
"""Memory limit per video in gigabytes: five times what 1080p needs."""
TICK = 0.1
"""Seconds between two checks whether the caller has left."""
START = "spawn"
"""How worker processes start: forking a process with torch's threads can deadlock."""
TRIES = (0.0, 1.0, 1.0)
"""Seconds to wait before each attempt to start a worker, if it dies during the start."""
START_LIMIT = 300.0
"""Time limit for a start in seconds. The imports alone take a minute on a busy or cold machine."""
END_LIMIT = 10.0
"""Seconds to wait for a killed process. Only one that hangs in the kernel takes longer, and it runs no more code."""
LATE: tuple[Status, str] = ("out_of_budget", "the time was up before it was read")

Arguments = Callable[[Video], tuple[Any, ...]]
"""Computes the further arguments of a function for a video."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one video. value: the function's, if status is "ok"; else None, and reason is one line."""

    video: Video
    status: Status
    reason: str = ""
    value: Any = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """workers: number of processes, 0 for one per core. timeout: seconds per video. memory: gigabytes per video.

    until: reading of time.monotonic after which remaining videos are "out_of_budget". Raises ConfigError.
    """

    workers: int = 0
    timeout: float = 120.0
    until: float | None = None
    memory: float = MEMORY

    def __post_init__(self) -> None:
        if not self.workers >= 0:  # also true for NaN
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
    """Call `function(video, *arguments(video))` for every video in worker processes. Yields outcomes as they arrive.

    The workers start at once. close() ends them, and so does dropping the generator. prepare: called first in each
    worker, outside the videos' time limit. spare: workers left by an earlier call with the same function, preparation
    and memory. They are used first, and workers idle at the end of this call are returned there.
    arguments: called when the video's turn comes, in a thread, for one video at a time. They, the function and its
    values are pickled. A worker that exceeds the time limit is killed and replaced; one that dies is replaced. Every
    video gets an outcome, whatever happens to it, once its worker is dead or idle, and the others continue. Workers run
    at most two videos each ahead of the caller.
    """
    outcomes = _Crew(pickle.dumps((function, prepare)), list(videos), arguments, limits, spare).outcomes()
    next(outcomes)  # starts the workers; a generator that has not started would not run its `finally`
    return outcomes


staying = partial(each_video, spare=[])
"""each_video for repeated calls with the same function, preparation and memory: the workers are kept."""


class _Worker:
    """A process and its pipe. died: how it ended, if it was not ended by us."""

    def __init__(self, function: bytes, memory: float) -> None:
        context: Any = multiprocessing.get_context(START)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, function, memory), name="dfd-video", daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe closes with the process
        self.died = ""

    def end(self) -> None:
        """Kill the process and close its pipe."""
        self.process.kill()
        self.process.join(END_LIMIT)
        self.pipe.close()


Spare = list[_Worker]
"""Idle workers, waiting for another call of each_video."""
_STARTER = ThreadPoolExecutor(1, "dfd-starter")
"""A permanent thread. On Linux a worker ends with the thread that started it."""


class _Crew:
    """Threads that share out the videos, each with its own worker, while the caller is busy."""

    def __init__(
        self, function: bytes, videos: list[Video], arguments: Arguments, limits: Limits, spare: Spare | None
    ) -> None:
        self._function, self._arguments, self._limits, self._spare = function, arguments, limits, spare
        self._until = math.inf if limits.until is None else limits.until
        self._count = min(limits.workers or available_cores(), len(videos))
        self._asking = threading.Lock()
        self._left = threading.Event()  # set when the caller leaves
        self._changed = threading.Condition()  # guards the following attributes
        self._waiting = deque(videos)
        self._arrived: list[Outcome] = []
        self._running = self._count  # number of threads

    def outcomes(self) -> Generator[list[Outcome], None, None]:
        """Start; yield an empty list. Then yield new outcomes, at least one at a time, until all are in."""
        owed, threads = len(self._waiting), []
        try:
            for _ in range(self._count):
                thread = threading.Thread(target=self._keep_busy, name="dfd-videos", daemon=True)
                thread.start()
                threads.append(thread)
            yield []
            while owed:
                with self._changed:
                    self._changed.wait_for(lambda: self._arrived or not self._running)
                    arrived, self._arrived = self._arrived, []
                    self._changed.notify_all()
                owed -= len(arrived)
                yield arrived
        finally:
            self._left.set()
            with self._changed:
                self._changed.notify_all()
            if threading.current_thread() not in threads:  # garbage collection may run in any of them
                for thread in threads:
                    thread.join()

    def _keep_busy(self) -> None:
        """Thread body: process one video after the other. The last thread reports those that no worker is left for."""
        worker, video = None, None
        try:
            while video := self._next():
                if not (worker := self._fit(worker)):
                    break
                outcome = self._read(worker, video)
                with self._changed:
                    self._arrived.append(outcome)
                    self._changed.notify_all()
        finally:
            if worker and self._spare is not None and not worker.pipe.closed:
                self._spare.append(worker)
            elif worker:
                worker.end()
            with self._changed:
                if video:  # no worker could be started for it
                    self._waiting.appendleft(video)
                self._running -= 1
                if not self._running:
                    why = LATE if self._over() else ("error", "no worker process could be started")
                    self._arrived += [Outcome(video, *why) for video in self._waiting]
                self._changed.notify_all()

    def _over(self) -> bool:
        return self._left.is_set() or time.monotonic() >= self._until

    def _next(self) -> Video | None:
        """The next video, once the caller has taken enough outcomes; None if none is left or time is up."""
        with self._changed:
            while self._waiting and not self._over():
                if len(self._arrived) < 2 * self._count:
                    return self._waiting.popleft()
                self._changed.wait(min(self._until - time.monotonic(), threading.TIMEOUT_MAX))
        return None

    def _fit(self, worker: _Worker | None) -> _Worker | None:
        """`worker` if it can continue, else a new one that has started; None if none can be started."""
        if worker := worker or self._waits():
            if not worker.pipe.closed and not worker.pipe.poll():  # it is silent, and its pipe is open
                return worker
            worker.end()
        for pause in TRIES:
            if self._left.wait(pause):
                break
            try:
                worker = self._start()
            except OSError:  # no memory or process available now
                continue
            if self._hear(worker, START_LIMIT) is not None:
                return worker
            if not worker.died:  # it exceeded the time limit, or time is up
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
        """A worker's answer to `message`; None if it died, or was killed because it took too long or time is up."""
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
            worker.process.join(1.0)  # its pipe closes shortly before it ends
            worker.end()
            worker.died = _died(worker.process.exitcode)
            return None

    def _read(self, worker: _Worker, video: Video) -> Outcome:
        """Process a video and return its outcome."""
        try:
            with self._asking:
                message = pickle.dumps((video, self._arguments(video)))
        except BaseException as error:  # the boundary in the parent  # noqa: BLE001
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
        except BaseException as error:  # from unpickling the value  # noqa: BLE001
            return Outcome(video, "error", error_line(error), seconds=seconds)
        if not goes_on:
            worker.end()
        return Outcome(video, status, reason, value, seconds)


def _died(code: int | None) -> str:
    """Describe an exit code.

    >>> _died(-9), _died(-40), _died(1)
    ('was ended by SIGKILL', 'was ended by signal 40', 'died (exit code 1)')
    """
    if code is None or code >= 0:
        return f"died (exit code {code})"
    named = -code in set(signal.Signals)  # only the first and the last real-time signal have names
    return f"was ended by {signal.Signals(-code).name if named else f'signal {-code}'}"
