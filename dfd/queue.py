"""The queue of a run on a cluster: waiting items, size of shards, and retries. Does not use Ray.

A shard is lost when its node or its process dies. Its videos are then retried one at a time, so that a video that kills
its node affects no other. A video that fails on one node, for example because its disk is full, is retried on another.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dfd.types import Status

SHARD = 32
"""Maximum number of requests in a shard: minutes of work, so that the cost of sending it does not matter."""
AHEAD = 2
"""Number of shards in flight per running one, so that no node waits for work."""
TRIES = 3
"""Maximum number of attempts per request."""
ELSEWHERE: tuple[Status, ...] = ("error", "missing")
"""Results that may be the node's fault: a full disk, a lost mount, too little memory. They are retried elsewhere."""

Request = Callable[[Any], Any]
"""Creates the request for an item, when its turn comes."""
Failure = Callable[[Any, Status, str], Any]
"""Creates the result of a request that no node finished, from its status and reason."""


@dataclass(frozen=True)
class Shard:
    """Requests sent to one node together. tries: earlier attempts; failed_on: ids of nodes where they failed."""

    requests: Sequence[Any]
    tries: int = 0
    failed_on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """A node's answer to a shard: a result with a status for each request, in their order; or none, and the reason.

    node: its id, empty if the node or its process was lost.
    """

    results: Sequence[Any] = ()
    reason: str = ""
    node: str = ""


@dataclass
class Queue:
    """Items that wait for a node, and shards that wait for a retry."""

    items: deque[Any]
    request: Request
    failure: Failure
    again: deque[Shard] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.items or self.again)

    def take(self, slots: int) -> Shard:
        """Remove and return the next shard of a non-empty queue. slots: shards that the cluster runs at a time."""
        if self.again:
            return self.again.popleft()
        size = shard_size(len(self.items), slots)
        return Shard([self.request(self.items.popleft()) for _ in range(size)])

    def settle(self, shard: Shard, answer: Answer, nodes: Iterable[str]) -> list[Any]:
        """Return a shard's final results, and requeue the rest. nodes: ids of those that run shards."""
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
        """Return results for everything unfinished: what is `running`, and what waits."""
        begun = [one for shard in (*running, *self.again) for one in shard.requests]
        return [self.failure(one, status, reason) for one in [*begun, *map(self.request, self.items)]]


def shard_size(waiting: int, slots: int) -> int:
    """Number of requests in the next shard. It falls towards the end, so that all nodes finish together.

    >>> shard_size(1000, 4), shard_size(100, 4), shard_size(3, 4)
    (32, 12, 1)
    """
    return max(1, min(SHARD, waiting // (AHEAD * slots)))
