from collections import deque
from dataclasses import dataclass

import pytest

from dfd.queue import TRIES, Answer, Queue, Shard, shard_size

NODES = ("a", "b")


@dataclass
class Result:
    item: int
    status: str = "ok"
    reason: str = ""


def queue_of(items):
    return Queue(deque(items), lambda item: item, Result)


def drained(queue, answer, slots=1, nodes=NODES):
    """Run the queue with `answer(shard)` as outcome; return final results, and (requests, failed_on) per shard."""
    final, sent = [], []
    while queue:
        shard = queue.take(slots)
        sent.append((list(shard.requests), set(shard.failed_on)))
        final += queue.settle(shard, answer(shard), nodes)
    return final, sent


def fine(shard, node="a"):
    return Answer([Result(item) for item in shard.requests], node=node)


def test_shards_shrink_towards_the_end_and_each_item_is_sent_once():
    final, sent = drained(queue_of(range(100)), fine)
    assert [len(requests) for requests, _ in sent][:4] == [32, 32, 18, 9]
    assert [result.item for result in final] == list(range(100))
    assert shard_size(5, 100) == 1


def test_requests_are_made_lazily():
    made = []
    queue = Queue(deque(range(8)), lambda item: made.append(item) or item, Result)
    queue.take(1)
    assert made == [0, 1, 2, 3]


def test_a_lost_shard_is_retried_item_by_item_and_only_the_killer_fails():
    def answer(shard):
        return Answer(reason="its node was lost") if 3 in shard.requests else fine(shard)

    final, sent = drained(queue_of(range(4)), answer)
    assert sorted(result.item for result in final) == [0, 1, 2, 3]
    assert [result for result in final if result.status != "ok"] == [Result(3, "error", "its node was lost")]
    assert sum(3 in requests for requests, _ in sent) == TRIES == 3


@pytest.mark.parametrize("status", ["error", "missing"])
def test_failures_of_one_node_are_retried_together_on_another(status):
    """The disk of node a is full: everything it fails goes to node b as one shard."""

    def answer(shard):
        if "a" in shard.failed_on:
            return fine(shard, "b")
        return Answer(
            [Result(item, status, "disk full") if item else Result(item) for item in shard.requests], node="a"
        )

    final, sent = drained(queue_of(range(4)), answer)
    assert sorted(result.item for result in final) == [0, 1, 2, 3]
    assert {result.status for result in final} == {"ok"}
    assert sent[:2] == [([0, 1], set()), ([1], {"a"})]


def test_a_shard_that_raised_is_retried_elsewhere_and_keeps_its_reason():
    final, sent = drained(
        queue_of([7]), lambda shard: Answer(reason="OSError: full", node="b" if shard.failed_on else "a")
    )
    assert final == [Result(7, "error", "OSError: full")]
    assert [failed_on for _, failed_on in sent] == [set(), {"a"}]


def test_a_failure_is_final_without_another_node_or_after_three_tries():
    def answer(shard):
        return Answer([Result(item, "error") for item in shard.requests], node=f"node {shard.tries}")

    assert len(drained(queue_of([1]), answer, nodes=["node 0"])[1]) == 1
    assert len(drained(queue_of([1]), answer, nodes=[f"node {number}" for number in range(9)])[1]) == 3


@pytest.mark.parametrize("status", ["no_face", "unreadable", "timed_out", "out_of_budget"])
def test_failures_of_the_video_itself_are_not_retried(status):
    final, sent = drained(
        queue_of([1]), lambda shard: Answer([Result(item, status) for item in shard.requests], node="a")
    )
    assert (final, len(sent)) == ([Result(1, status)], 1)


def test_at_the_end_every_unfinished_item_has_a_result():
    queue = queue_of(range(5))
    running = queue.take(1)
    queue.again.append(Shard([9], 1))
    final = queue.end([running], "out_of_budget", "late")
    assert sorted(result.item for result in final) == [0, 1, 2, 3, 4, 9]
    assert {(result.status, result.reason) for result in final} == {("out_of_budget", "late")}
