"""The queue of a run on a cluster: what waits, how much a node gets at a time, and what is tried again. Without Ray.

A shard is lost when its node or its process dies; its videos are then tried one at a time, so that a video which kills
its node costs no other. A video that fails on a node whose disk is full, say, is tried on another node.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dfd.types import Status

SHARD = 32
"""Most requests in a shard: minutes of work, so that the cost of sending it does not matter."""
AHEAD = 2
"""Shards in flight for each one that runs, so that no node waits for work."""
TRIES = 3
"""Times that a request is tried at most."""
ELSEWHERE: tuple[Status, ...] = ("error", "missing")
"""Results that may be the node's fault: a full disk, a lost mount, too little memory. Another node tries them."""

Request = Callable[[Any], Any]
"""Makes what a node gets of a video, when its turn comes."""
Failure = Callable[[Any, Status, str], Any]
"""Makes the result of a request that no node finished, by its status and reason."""


@dataclass(frozen=True)
class Shard:
    """Requests that go to one node together. tries: how many came before; failed_on: ids of nodes where they failed."""

    requests: Sequence[Any]
    tries: int = 0
    failed_on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """What a node made of a shard: a result with a status for each request, in their order; or none, and the reason.

    node: its id, empty where the node or its process was lost.
    """

    results: Sequence[Any] = ()
    reason: str = ""
    node: str = ""


@dataclass
class Queue:
    """Items that wait for a node, and shards that wait for another try."""

    items: deque[Any]
    request: Request
    failure: Failure
    again: deque[Shard] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.items or self.again)

    def take(self, slots: int) -> Shard:
        """The next shard, of a queue that is not empty. slots: shards that the cluster runs at a time."""
        if self.again:
            return self.again.popleft()
        size = shard_size(len(self.items), slots)
        return Shard([self.request(self.items.popleft()) for _ in range(size)])

    def settle(self, shard: Shard, answer: Answer, nodes: Iterable[str]) -> list[Any]:
        """The final results of a shard; the rest goes back into the queue. nodes: ids of those that run shards."""
        last = shard.tries + 1 >= TRIES
        if not answer.node and not last:
            self.again.extend(Shard([one], shard.tries + 1, shard.failed_on) for one in shard.requests)
            return []
        results = answer.results or [self.failure(one, "error", answer.reason) for one in shard.requests]
        failed_on = shard.failed_on | {answer.node}
        if last or not set(nodes) - failed_on:
            return list(results)
        failed = [one for one, result in zip(shard.requests, results, strict=True) if result.status in ELSEWHERE]
        if failed:
            self.again.append(Shard(failed, shard.tries + 1, failed_on))
        return [result for result in results if result.status not in ELSEWHERE]

    def end(self, running: Iterable[Shard], status: Status, reason: str) -> list[Any]:
        """Results of everything that is not done: what is `running`, and what waits."""
        begun = [one for shard in (*running, *self.again) for one in shard.requests]
        return [self.failure(one, status, reason) for one in [*begun, *map(self.request, self.items)]]


def shard_size(waiting: int, slots: int) -> int:
    """Requests of the next shard: fewer towards the end, so that all nodes end together.

    >>> shard_size(1000, 4), shard_size(100, 4), shard_size(3, 4)
    (32, 12, 1)
    """
    return max(1, min(SHARD, waiting // (AHEAD * slots)))
