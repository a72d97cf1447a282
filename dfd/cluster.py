"""A Ray cluster: videos in shards over its nodes, and what comes of them back, whatever happens to a node.

Ray sees lost nodes and processes, and nothing of videos: a shard is read by the same `each_video` as on one machine,
with its limits and statuses. A shard that was lost is done again, one video at a time, so that a video which takes its
node with it costs no other. The only module that imports ray.
"""

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import dfd
from dfd.cores import available_cores
from dfd.errors import ClusterError, DfdError
from dfd.node import about, judge, marked, reachable
from dfd.report.log import into_log
from dfd.types import Status, Video
from dfd.videos.workers import LATE, Arguments, Limits, Outcome, staying

SHARD = 32
"""Most videos in a shard: minutes of work, so that sending it to a node costs little in comparison."""
AHEAD = 2
"""Shards in flight for each that runs, so that no node waits for the next."""
LOSSES = 3
"""Times that a video may be lost with its node or process."""
TICK = 5.0
"""Seconds between two looks at whether the cluster is still there."""
HEAD_LIMIT = 30.0
"""Seconds that the cluster's head may be out of reach."""
PROBE_LIMIT = 300.0
"""Seconds in which a node must say what it has: a process takes a minute to start on a busy or cold machine."""
NO_RAY = "--cluster needs Ray, which is not installed: pip install 'dfd[cluster]'"

USUAL = Limits()

Work = Callable[[Sequence[Any], Limits], list[Any]]
"""What a node does with some orders, within limits."""
Lost = Callable[[Any, Status, str], Any]
"""Makes the result of an order that failed, from its status and reason."""


@dataclass(frozen=True)
class Reading:
    """A node's part of each_video: its orders are videos, each with its arguments."""

    function: Callable[..., Any]
    prepare: Callable[[], None] | None

    def __call__(self, orders: Sequence[tuple[Video, tuple[Any, ...]]], limits: Limits) -> list[Outcome]:
        """An outcome for each."""
        given = {video.name: arguments for video, arguments in orders}
        videos = [video for video, _ in orders]
        each = staying(self.function, videos, lambda video: given[video.name], limits, self.prepare)
        return list(chain.from_iterable(each))


@dataclass(frozen=True)
class _Shard:
    """Orders that go to a node together. losses: how often they were lost."""

    orders: list[Any]
    losses: int = 0


class Cluster:
    """A cluster that this process has joined. workers: processes of a shard; count: shards that run at a time."""

    def __init__(self, ray: Any, workers: int, gpu: bool = False) -> None:
        self._ray, self._gpu, self._head_seen = ray, gpu, time.monotonic()
        self._head = None if ray.util.client.ray.is_connected() else ray.get_runtime_context().gcs_address
        self.workers = self._cores(workers)
        options = {"num_cpus": self.workers, "num_gpus": 1 if gpu else 0, "max_retries": 0}
        self._do = ray.remote(_do).options(**options, scheduling_strategy="SPREAD")

    @property
    def count(self) -> int:
        """Shards that the nodes of this moment take at a time, at least one."""
        return max(1, sum(self._fits(node) for node in self._nodes()))

    def check(self, needed: float, paths: Sequence[Path], written: Path | None = None) -> None:
        """Ask each node for this dfd, `needed` gigabytes of memory, and the paths; `written`: a folder to write to.

        Raises ClusterError, which names the node.
        """
        with marked(written) as mark:
            asked = [(node["NodeName"], self._asked(node, [*paths, *mark], written)) for node in self._nodes()]
            for name, answer in asked:
                if (about_node := self._answer(name, answer)) is not None:
                    judge(name, about_node, needed)

    def each(
        self,
        function: Callable[..., Any],
        videos: Sequence[Video],
        arguments: Arguments = lambda _: (),
        limits: Limits = USUAL,
        prepare: Callable[[], None] | None = None,
    ) -> Generator[list[Outcome], None, None]:
        """each_video, read by the cluster's nodes. What `function` writes goes to a path that they all see."""
        return self.spread(
            Reading(function, prepare),
            limits,
            videos,
            lambda video: (video, arguments(video)),
            lambda order, status, reason: Outcome(order[0], status, reason),
            limits.until,
        )

    def spread(
        self,
        work: Work,
        limits: Limits,
        items: Sequence[Any],
        order: Callable[[Any], Any],
        lost: Lost,
        until: float | None,
    ) -> Generator[list[Any], None, None]:
        """What `work` makes of the `order` of each of `items`, asked when its turn comes; a shard at a time.

        What is not done by `until`, a reading of time.monotonic here, is `lost` as "out_of_budget"; what was lost with
        its node three times, or raised, as "error". Raises the DfdErrors that `work` raises; ClusterError when the
        cluster's head is lost.
        """
        left, again = deque(items), deque[_Shard]()
        running: dict[Any, _Shard] = {}
        limits = replace(limits, workers=self.workers, until=None)
        job = pickle.dumps((work, limits))
        ends = None if until is None else time.time() + until - time.monotonic()
        try:
            while left or again or running:
                if until is not None and time.monotonic() >= until:
                    rest = [one for shard in (*running.values(), *again) for one in shard.orders]
                    yield [lost(one, *LATE) for one in [*rest, *map(order, left)]]
                    return
                slots = self.count if (left or again) and self._head_there() else 0
                while (left or again) and len(running) < AHEAD * slots:
                    size = 0 if again else _size(left, slots)
                    shard = again.popleft() if again else _Shard([order(left.popleft()) for _ in range(size)])
                    running[self._do.remote(job, shard.orders, ends)] = shard
                for task in self._wait(list(running), until):
                    shard = running.pop(task)
                    came, reason, gone = self._take(task)
                    if gone and shard.losses + 1 < LOSSES:
                        again.extend(_Shard([one], shard.losses + 1) for one in shard.orders)
                    else:
                        yield came or [lost(one, "error", reason) for one in shard.orders]
        finally:
            for task in running:
                with suppress(Exception):  # of a cluster that is gone
                    self._ray.cancel(task, force=True)

    def _wait(self, tasks: list[Any], until: float | None) -> list[Any]:
        """Those that are done; none where it took too long, or the time is up. Raises ClusterError."""
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
        """Whether the cluster's head answers. Raises ClusterError where it has not for a while.

        Ray itself would wait for it, and then end this process.
        """
        if self._head is None or reachable(self._head):
            self._head_seen = time.monotonic()
            return True
        if time.monotonic() - self._head_seen > HEAD_LIMIT:
            raise ClusterError(f"the cluster's head at {self._head} is gone: start it, and the same command goes on")
        return False

    def _take(self, task: Any) -> tuple[list[Any], str, bool]:
        """What came of a task that is done; else why nothing did, and whether it was lost with its node."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(task), "", False
        except errors.RayTaskError as error:
            if isinstance(error.cause, DfdError):
                raise error.cause from None
            return [], f"{type(error.cause).__name__}: {_line(error.cause)}", False
        except errors.RayError as error:
            return [], f"its node was lost {LOSSES} times, the last time with: {_line(error)}", True

    def _nodes(self) -> list[dict[str, Any]]:
        """Nodes that are there and have cores."""
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def _fits(self, node: dict[str, Any]) -> int:
        """Shards that a node takes at a time."""
        has = node["Resources"]
        cores = int(has["CPU"]) // self.workers
        return min(cores, int(has.get("GPU", 0))) if self._gpu else cores

    def _cores(self, most: int) -> int:
        """Processes of a shard: as many as the smallest node has cores, or has for each GPU; `most` if not 0."""
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
        return self._ray.remote(about).options(num_cpus=0, scheduling_strategy=here).remote(paths, written)

    def _answer(self, name: str, answer: Any) -> Any:
        """What a node says of itself; None of one that is gone meanwhile, which is asked for nothing."""
        try:
            return self._ray.get(answer, timeout=PROBE_LIMIT)
        except self._ray.exceptions.TaskUnschedulableError:
            return None
        except Exception as error:  # of its Python, its packages, or Ray  # noqa: BLE001
            raise ClusterError(f"node {name} cannot run dfd {dfd.__version__}: {_line(error)}") from None


def _size(left: Sequence[Any], slots: int) -> int:
    """Orders of the next shard: fewer towards the end, so that all nodes end together.

    >>> _size(range(1000), 4), _size(range(100), 4), _size(range(3), 4)
    (32, 12, 1)
    """
    return max(1, min(SHARD, len(left) // (AHEAD * slots)))


def _do(job: bytes, orders: list[Any], ends: float | None) -> list[Any]:
    """On a node: a shard. ends: a reading of time.time at which it must be done: the nodes' clocks are alike."""
    work, limits = pickle.loads(job)
    if ends is not None:
        limits = replace(limits, until=time.monotonic() + ends - time.time())
    return work(orders, limits)


@contextmanager
def joined(address: str, workers: int = 0, gpu: bool = False) -> Iterator[Cluster]:
    """Inside, this process is a driver of the cluster at `address`, and what Ray prints goes to a log.

    address: "auto" for the one that this machine is a node of, "local" for one of this machine's own that ends with the
    command, host:port of a head, or "ray://host:10001". Raises ClusterError when there is none.
    """
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
    options = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address == "local":
        options |= {"num_cpus": available_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default of 15 would starve it
    elif address != "auto":
        host = address.removeprefix("ray://")
        if not reachable(host):
            raise ClusterError(f"nothing answers at {address}: name auto, local, host:port or ray://host:port")
        options["address"] = address
    else:
        options["address"] = address
    if address.startswith("ray://"):
        options = {"address": address}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterError(f"no cluster at {address} that can be joined: {_line(error)} (Ray's log: {log})") from None


def _line(error: BaseException | None) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
