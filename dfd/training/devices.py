"""Run a training in this process, or in one process per device that share each batch."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from dfd.errors import DfdError, OutOfTimeError, TrainingError
from dfd.faces.build import Progress
from dfd.memory import keep_freed_memory
from dfd.training.launch import launched
from dfd.training.loop import Job, learn
from dfd.videos import workers

WAIT = 0.2
"""Seconds between two reads of the processes' messages."""


def carry_out(job: Job) -> None:
    """Run the training. Raises what it raises; TrainingError when a process died, after ending the others.

    Several processes are not started once the time is up: that alone takes seconds.
    """
    this, devices, progress = launched(), job.runtime.devices, job.runtime.progress
    if job.runtime.processes == 1 or this.by:
        return learn(job, this.rank)
    if job.runtime.until is not None and time.monotonic() >= job.runtime.until:
        raise OutOfTimeError(f"the time was up before {devices} processes were started")
    messages: Any = get_context(workers.START).SimpleQueue()
    arguments = (_reporting_to(job, None), _free_port(), messages)
    processes = start_processes(_part, arguments, devices, join=False, start_method=workers.START)
    assert processes is not None
    try:
        with _passed_on(processes.processes):
            while not processes.join(timeout=WAIT):
                _listen(messages, progress)
        _listen(messages, progress)
    except (ProcessRaisedException, ProcessExitedException) as error:
        _listen(messages, progress)  # raises the error that a process sent, if any
        raise TrainingError(f"process {error.error_index} of {devices} died: {_last_line(error)}") from None
    finally:
        for process in processes.processes:
            process.kill()  # after SIGTERM it would try to save together with the others
            process.join()


@contextmanager
def _passed_on(processes: Sequence[Any]) -> Iterator[None]:
    """Context in which a SIGTERM is forwarded to each process, which saves and ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes])
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _part(rank: int, job: Job, port: int, messages: Any) -> None:
    """Body of one process. Lightning reads its rank from the environment."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(job.runtime.devices),
    }
    os.environ.pop("SLURM_NTASKS", None)  # of a batch job: Lightning would think that srun started this process
    torch.set_num_threads(max(1, workers.available_cores() // job.runtime.devices))
    keep_freed_memory()
    try:
        learn(_reporting_to(job, lambda *step: messages.put(step)), rank)
    except DfdError as error:
        messages.put(error)
        raise


def _reporting_to(job: Job, progress: Progress | None) -> Job:
    return replace(job, runtime=replace(job.runtime, progress=progress))


def _listen(messages: Any, progress: Progress | None) -> None:
    """Report the steps that a process sent, or raise the error that it sent."""
    while not messages.empty():
        news = messages.get()
        if isinstance(news, DfdError):
            raise news
        if progress:
            progress(*news)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:200]
