"""Processes and nodes that die, hang, fail or differ, on two real Ray nodes on this machine."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from dfd.cluster import joined
from dfd.errors import ClusterError, ConfigError
from dfd.queue import TRIES
from dfd.types import Video
from dfd.videos.workers import LATE, Limits
from tests.cluster_work import Erratic, Made, behave

pytestmark = pytest.mark.slow

LIMITS = Limits(timeout=100)


def spread(cluster, work, numbers, until=None):
    limits = replace(LIMITS, until=until)
    return list(chain.from_iterable(cluster.spread(work, limits, numbers, lambda number: number, Made)))


def test_an_item_that_kills_or_hangs_its_process_affects_no_other(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("dfd.cluster.SHARD_LIMIT", 2.0 - 60.0 - LIMITS.timeout)  # for a shard of one number: 2 seconds
    found = spread(cluster, Erratic(tmp_path), [*range(12, 18)])
    assert sorted(made.number for made in found) == [*range(12, 18)]
    failed = {made.number: (made.status, made.reason) for made in found if made.status != "ok"}
    assert failed.keys() == {13, 15, 17}
    for number in (13, 15):
        assert failed[number][1].startswith(f"its node was lost {TRIES} times, the last time with: The worker died")
        assert Erratic(tmp_path).tries(number) >= TRIES
    assert failed[17] == ("error", "ZeroDivisionError: seventeen")


def test_the_other_node_takes_over_from_one_with_a_full_disk(cluster, machines, tmp_path):
    (tmp_path / "node").write_text(machines.head_node.node_id)
    found = spread(cluster, Erratic(tmp_path, tmp_path / "node"), range(100, 106))
    assert sorted(made.number for made in found) == [*range(100, 106)]
    assert {made.status for made in found} == {"ok"}
    assert {made.node for made in found}.isdisjoint({machines.head_node.node_id})
    assert sum(Erratic(tmp_path).tries(number) for number in range(100, 106)) > 6


def test_a_user_error_ends_the_run(cluster, tmp_path):
    with pytest.raises(ConfigError, match="nineteen"):
        spread(cluster, Erratic(tmp_path), [18, 19, 20])


def test_unfinished_items_are_out_of_budget(cluster, tmp_path):
    start = time.monotonic()
    found = spread(cluster, Erratic(tmp_path), [1, *range(2000, 2010)], until=start + 5)
    assert time.monotonic() - start < 20
    late = [made for made in found if (made.status, made.reason) == LATE]
    assert len(found) == 11
    assert len(late) >= 10


def test_a_crash_or_hang_costs_only_that_video(cluster, tmp_path):
    (tmp_path / "unreadable").touch()
    videos = [Video(tmp_path / name, name) for name in ("hangs", "crashes", "unreadable", "full", "fine", "fine too")]
    outcomes = [*chain.from_iterable(cluster.each(behave, videos, lambda _: ("!",), replace(LIMITS, timeout=3)))]
    assert len(outcomes) == len(videos)
    assert {o.video.name: (o.status, o.value or o.reason) for o in outcomes} == {
        "hangs": ("timed_out", "killed after 3 s"),
        "crashes": ("error", "its worker process was ended by SIGSEGV"),
        "unreadable": ("unreadable", "no video stream"),
        "full": ("error", "OSError: [Errno 28] No space left on device"),
        "fine": ("ok", "fine!"),
        "fine too": ("ok", "fine too!"),
    }


def test_a_node_that_cannot_see_a_path_is_named(cluster, tmp_path):
    cluster.check(0.5, [tmp_path], tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ClusterError, match=rf"node 127\.0\.0\.1|node .* does not see {tmp_path}/absent"):
        cluster.check(0.5, [tmp_path / "absent"])


def test_a_node_without_enough_memory_is_named(cluster):
    with pytest.raises(ClusterError, match=r"node .* has .* GB of memory free, and needs 1e\+06"):
        cluster.check(999_999, [])


@pytest.mark.parametrize("name", ["ray_version", "python_version"])
def test_a_cluster_of_another_version_is_a_one_line_error(machines, name):
    """The version recorded by the head is changed, and restored."""
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray._raylet import GcsClient

    head = GcsClient(address=machines.address)
    place = CLUSTER_METADATA_KEY, KV_NAMESPACE_CLUSTER
    before = head.internal_kv_get(*place)
    try:
        head.internal_kv_put(place[0], json.dumps({**json.loads(before), name: "1.2.3"}).encode(), True, place[1])
        with (
            pytest.raises(ClusterError, match=r"^cannot join a cluster at .*Version mismatch.*1\.2\.3.*$"),
            joined(machines.address),
        ):
            pass
    finally:
        head.internal_kv_put(place[0], before, True, place[1])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "127.0.0.1:99999"])
def test_an_unreachable_address_is_a_one_line_error(address):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    start = time.monotonic()
    with pytest.raises(ClusterError, match=f"nothing answers at {address}"), joined(address):
        pass
    assert time.monotonic() - start < 10


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'dfd\[cluster\]'"), joined("auto"):
        pass


def test_a_lost_head_is_a_one_line_error(tmp_path):
    """Run in a separate process, which Ray would end a minute later."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    done = subprocess.run(
        [sys.executable, "-m", "tests.lost_head", str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "head at {address} is gone: start it" in done.stdout, done.stdout + done.stderr
