"""Run on a Ray cluster: nodes process shards of videos, and every video gets a result even if a node fails.

Ray detects lost nodes and processes, but does not know about videos. A node reads a shard with the same `each_video` as
a single machine, with the same limits and statuses. Only this module imports ray.
"""

import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import dfd
from dfd.cores import available_cores
from dfd.errors import ClusterError, DfdError
from dfd.node import check_node, inspect_node, marked, reachable
from dfd.queue import AHEAD, TRIES, Answer, Failure, Queue, Request, Shard
from dfd.report.log import into_log
from dfd.types import Video
from dfd.videos.workers import LATE, START_LIMIT, Arguments, Limits, Outcome, staying

TICK = 5.0
"""Seconds between two checks that the cluster is still there."""
HEAD_LIMIT = 30.0
"""Seconds that the cluster's head may be unreachable."""
PROBE_LIMIT = 300.0
"""Seconds that a node may take to answer `check`. On a busy or cold machine a process takes a minute to start."""
SHARD_LIMIT = START_LIMIT
"""Seconds that a shard may take beyond its videos' limits, before a process that hangs in native code is killed."""
SCORING = 60.0
"""Seconds for scoring a video after its faces are found, before its process counts as hung."""
NOTICE = {"RAY_grpc_client_keepalive_time_ms": "61000", "RAY_grpc_client_keepalive_timeout_ms": "20000"}
"""Ray settings with which this process notices a lost connection in 81 seconds instead of seven minutes. Ray's servers
close a connection that is probed more than once a minute."""
NO_RAY = "--cluster needs Ray, which is not installed: pip install 'dfd[cluster]'"

USUAL = Limits()

Work = Callable[[Sequence[Any], Limits], list[Any]]
"""Work on a node: takes requests and limits, and returns a result with a status for each, in their order."""


@dataclass(frozen=True)
class Reading:
    """A node's part of each_video. Its requests are videos with their arguments."""

    function: Callable[..., Any]
    prepare: Callable[[], None] | None

    def __call__(self, requests: Sequence[tuple[Video, tuple[Any, ...]]], limits: Limits) -> list[Outcome]:
        """Return an outcome for each request."""
        given = {video.name: arguments for video, arguments in requests}
        videos = [video for video, _ in requests]
        each = staying(self.function, videos, lambda video: given[video.name], limits, self.prepare)
        found = {outcome.video.name: outcome for outcome in chain.from_iterable(each)}
        return [found[name] for name in given]


class Cluster:
    """A cluster that this process has joined. workers: processes per shard; count: shards that run at a time."""

    def __init__(self, ray: Any, workers: int, gpu: bool = False) -> None:
        self._ray, self._gpu, self._head_seen = ray, gpu, time.monotonic()
        self._head = None if ray.util.client.ray.is_connected() else ray.get_runtime_context().gcs_address
        self.workers = self._cores(workers)
        self._needs = {"num_cpus": self.workers, "num_gpus": 1 if gpu else 0, "max_retries": 0}
        self._do, self._turn = ray.remote(_do), count()

    @property
    def count(self) -> int:
        """Number of shards that the current nodes run at a time, at least one."""
        return max(1, sum(self._fits(node) for node in self._nodes()))

    def check(self, needed: float, paths: Sequence[Path], written: Path | None = None) -> None:
        """Check that each node has this dfd and `needed` gigabytes of memory, sees `paths`, and can write to `written`.

        Raises ClusterError naming the node.
        """
        with marked(written) as mark:
            asked = [(node["NodeName"], self._asked(node, [*paths, *mark], written)) for node in self._nodes()]
            for name, answer in asked:
                if (state := self._answer(name, answer)) is not None:
                    check_node(name, state, needed)

    def each(
        self,
        function: Callable[..., Any],
        videos: Sequence[Video],
        arguments: Arguments = lambda _: (),
        limits: Limits = USUAL,
        prepare: Callable[[], None] | None = None,
    ) -> Generator[list[Outcome], None, None]:
        """each_video on the cluster's nodes. `function` must write to a path that they all share."""
        return self.spread(
            Reading(function, prepare),
            limits,
            videos,
            lambda video: (video, arguments(video)),
            lambda request, status, reason: Outcome(request[0], status, reason),
        )

    def spread(
        self, work: Work, limits: Limits, items: Sequence[Any], request: Request, failure: Failure
    ) -> Generator[list[Any], None, None]:
        """Yield one result for each item, in batches: that of `work` for its `request` on a node, or its `failure`.

        Items not done by limits.until are "out_of_budget". An item lost with its node TRIES times is "error"; one that
        failed on a node is first tried on others. Raises the DfdErrors that `work` raises; ClusterError when the
        cluster's head is lost.
        """
        queue, running = Queue(deque(items), request, failure), dict[Any, Shard]()
        job, until = pickle.dumps((work, replace(limits, workers=self.workers, until=None))), limits.until
        ends = None if until is None else time.time() + until - time.monotonic()
        try:
            while queue or running:
                if until is not None and time.monotonic() >= until:
                    yield queue.end(running.values(), *LATE)
                    return
                slots = self.count if queue and self._head_there() else 0
                while queue and len(running) < AHEAD * slots:
                    shard = queue.take(slots)
                    most = SHARD_LIMIT + len(shard.requests) * (limits.timeout + SCORING)
                    running[self._on(shard).remote(job, shard.requests, ends, most)] = shard
                for task in self._wait(list(running), until):
                    shard = running.pop(task)
                    answer = self._take(task)
                    if final := queue.settle(shard, answer, self._others(frozenset())):
                        yield final
        finally:
            for task in running:
                with suppress(Exception):  # the cluster may be gone
                    self._ray.cancel(task, force=True)

    def _on(self, shard: Shard) -> Any:
        """Submit a shard: to any node, or in turn to those where its requests have not failed."""
        strategy: Any = "SPREAD"
        if shard.failed_on and (others := self._others(shard.failed_on)):
            affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            strategy = affinity(others[next(self._turn) % len(others)], soft=True)
        return self._do.options(**self._needs, scheduling_strategy=strategy)

    def _wait(self, tasks: list[Any], until: float | None) -> list[Any]:
        """Finished tasks; empty if none finishes within TICK, or time is up. Raises ClusterError."""
        seconds = TICK if until is None else max(0.0, min(TICK, until - time.monotonic()))
        if not tasks:
            time.sleep(min(1.0, seconds))
            return []
        try:
            done, _ = self._ray.wait(tasks, num_returns=1, timeout=seconds)
        except ConnectionError as error:
            raise ClusterError(f"the cluster is gone ({_line(error)}): the same command goes on") from None
        if not done:
            self._head_there()
        return list(done)

    def _head_there(self) -> bool:
        """Whether the cluster's head answers. Raises ClusterError if it has not for HEAD_LIMIT.

        Ray itself would wait for it, and then end this process.
        """
        if self._head is None or reachable(self._head):
            self._head_seen = time.monotonic()
            return True
        if time.monotonic() - self._head_seen > HEAD_LIMIT:
            raise ClusterError(f"the cluster's head at {self._head} is gone: start it, and the same command goes on")
        return False

    def _take(self, task: Any) -> Answer:
        """The answer of a finished task. Raises the DfdErrors that its work raised."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(task)
        except errors.RayTaskError as error:
            if isinstance(error.cause, DfdError):
                raise error.cause from None
            return Answer(reason=_named(error.cause))
        except errors.RayError as error:
            return Answer(reason=f"its node was lost {TRIES} times, the last time with: {_line(error)}")

    def _nodes(self) -> list[dict[str, Any]]:
        """The live nodes that have cores."""
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def _others(self, avoided: frozenset[str]) -> list[str]:
        """Ids of the nodes that run shards, except those to avoid."""
        return [node["NodeID"] for node in self._nodes() if self._fits(node) and node["NodeID"] not in avoided]

    def _fits(self, node: dict[str, Any]) -> int:
        """Number of shards that a node runs at a time."""
        has = node["Resources"]
        cores = int(has["CPU"]) // self.workers
        return min(cores, int(has.get("GPU", 0))) if self._gpu else cores

    def _cores(self, most: int) -> int:
        """Processes per shard: the cores of the smallest node (per GPU if used), at most `most` unless it is 0."""
        shares = []
        for node in self._nodes():
            gpus = int(node["Resources"].get("GPU", 0)) if self._gpu else 1
            if gpus:
                shares.append(max(1, int(node["Resources"]["CPU"]) // gpus))
        if not shares:
            raise ClusterError(f"the cluster has no node with a {'GPU' if self._gpu else 'core'}: start one, or wait")
        return min(shares) if not most else min(most, *shares)

    def _asked(self, node: dict[str, Any], paths: Sequence[Path], written: Path | None) -> Any:
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self._ray.remote(inspect_node).options(num_cpus=0, scheduling_strategy=here).remote(paths, written)

    def _answer(self, name: str, answer: Any) -> Any:
        """The state that a node reports; None if the node is gone and gets no work."""
        try:
            return self._ray.get(answer, timeout=PROBE_LIMIT)
        except self._ray.exceptions.TaskUnschedulableError:
            return None
        except Exception as error:  # from its Python, its packages, or Ray  # noqa: BLE001
            raise ClusterError(f"node {name} cannot run dfd {dfd.__version__}: {_line(error)}") from None


def _do(job: bytes, requests: list[Any], ends: float | None, most: float) -> Answer:
    """Process a shard on a node. ends: deadline as a reading of time.time; the nodes' clocks are assumed to agree.

    most: seconds after which the kernel ends this process, even while native code holds the interpreter's lock.
    """
    import ray

    node = ray.get_runtime_context().get_node_id()
    signal.setitimer(signal.ITIMER_REAL, most)
    try:
        work, limits = pickle.loads(job)
        if ends is not None:
            limits = replace(limits, until=time.monotonic() + ends - time.time())
        return Answer(work(requests, limits), node=node)
    except DfdError:
        raise
    except Exception as error:  # perhaps a problem of this node  # noqa: BLE001
        return Answer(reason=_named(error), node=node)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def joined(address: str, workers: int = 0, gpu: bool = False) -> Iterator[Cluster]:
    """Context in which this process is a driver of the cluster at `address`. Ray's output goes to a log.

    address: "auto" for the cluster of this machine, "local" for a new one on this machine that ends with the context,
    host:port of a head, or "ray://host:10001". Raises ClusterError if there is none.
    """
    for name, value in NOTICE.items():
        os.environ.setdefault(name, value)  # Ray reads them when it is imported
    try:
        import ray
        import ray.util.client
        import ray.util.scheduling_strategies
    except ImportError:
        raise ClusterError(NO_RAY) from None
    with into_log() as log:
        _join(ray, address, log)
        try:
            yield Cluster(ray, workers, gpu)
        finally:
            ray.shutdown()


def _join(ray: Any, address: str, log: Path) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address == "local":
        options |= {"num_cpus": available_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default of 15 would starve workers on a busy machine
    elif address == "auto" or reachable(address.removeprefix("ray://")):
        options = {"address": address} if address.startswith("ray://") else {**options, "address": address}
    else:
        raise ClusterError(f"nothing answers at {address}: name auto, local, host:port or ray://host:port")
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        ray.shutdown()  # undo a partial start
        hint = "; if it needs a token, set RAY_AUTH_MODE=token" if isinstance(error, ConnectionError) else ""
        raise ClusterError(f"cannot join a cluster at {address}: {_line(error)}{hint} (Ray's log: {log})") from None


def _line(error: BaseException | None) -> str:
    """The message of an error, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _named(error: BaseException | None) -> str:
    """An error and its class, in one line."""
    return f"{type(error).__name__}: {_line(error)}"
