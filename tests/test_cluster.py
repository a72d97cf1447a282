"""What happens to clusters: processes and nodes that die, hang and differ. Two real nodes of Ray on this machine."""

import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from dfd.cluster import LOSSES, joined
from dfd.errors import ClusterError, ConfigError
from dfd.types import Video
from dfd.videos.workers import Limits
from tests.cluster_work import Erratic, behave

pytestmark = pytest.mark.slow

LIMITS = Limits(timeout=100)


def spread(cluster, folder, numbers, until=None):
    def lost(order, status, reason):
        return order, status, reason

    come = cluster.spread(Erratic(folder), LIMITS, numbers, lambda number: number, lost, until)
    return list(chain.from_iterable(come))


def test_a_number_that_takes_its_process_with_it_costs_no_other(cluster, tmp_path):
    found = spread(cluster, tmp_path, [*range(10, 19)])
    assert sorted(number for number, *_ in found) == [*range(10, 19)]
    fell = {number: (status, reason) for number, status, reason in (row for row in found if len(row) == 3)}
    assert fell[13][0] == "error"
    assert fell[13][1].startswith(f"its node was lost {LOSSES} times, the last time with: The worker died")
    assert Erratic(tmp_path).tries(13) == LOSSES
    assert fell[17] == ("error", "ZeroDivisionError: seventeen")
    assert 14 not in fell


def test_an_error_that_a_user_can_mend_ends_it(cluster, tmp_path):
    with pytest.raises(ConfigError, match="nineteen"):
        spread(cluster, tmp_path, [18, 19, 20])


def test_what_is_not_done_in_time_is_out_of_budget(cluster, tmp_path):
    start = time.monotonic()
    found = spread(cluster, tmp_path, [1, *range(2000, 2010)], until=start + 5)
    assert time.monotonic() - start < 20
    late = [row for row in found if row[1:] == ("out_of_budget", "the time was up before it was read")]
    assert len(found) == 11
    assert len(late) >= 10


def test_each_is_each_video_and_a_crash_or_a_hang_costs_that_video(cluster, tmp_path):
    (tmp_path / "unreadable").touch()
    videos = [Video(tmp_path / name, name) for name in ("hangs", "crashes", "unreadable", "full", "fine", "fine too")]
    come = chain.from_iterable(cluster.each(behave, videos, lambda _: ("!",), replace(LIMITS, timeout=3)))
    assert {o.video.name: (o.status, o.value or o.reason) for o in come} == {
        "hangs": ("timed_out", "killed after 3 s"),
        "crashes": ("error", "its worker process was ended by SIGSEGV"),
        "unreadable": ("unreadable", "no video stream"),
        "full": ("error", "OSError: [Errno 28] No space left on device"),
        "fine": ("ok", "fine!"),
        "fine too": ("ok", "fine too!"),
    }


def test_a_node_that_does_not_see_a_path_is_named(cluster, tmp_path):
    cluster.check(0.5, [tmp_path], tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ClusterError, match=rf"node 127\.0\.0\.1|node .* does not see {tmp_path}/absent"):
        cluster.check(0.5, [tmp_path / "absent"])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "127.0.0.1:99999"])
def test_an_address_where_nothing_answers_is_one_line(address):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    start = time.monotonic()
    with pytest.raises(ClusterError, match=f"nothing answers at {address}"), joined(address):
        pass
    assert time.monotonic() - start < 10


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'dfd\[cluster\]'"), joined("auto"):
        pass


def test_a_head_that_is_lost_is_one_line(tmp_path):
    """In a process of its own, which Ray would end a minute later."""
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
