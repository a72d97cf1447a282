"""Two real Ray nodes on this machine: the results of one, though processes and nodes die, hang, fail or differ."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch

from dfd.cluster import joined
from dfd.errors import ClusterError, ConfigError
from dfd.faces.build import build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import load_bundle
from dfd.inference.info import read_info
from dfd.inference.nodes import Nodes
from dfd.inference.run import Settings, run
from dfd.queue import TRIES
from dfd.types import Video
from dfd.videos.manifest import read_videos
from dfd.videos.workers import LATE, Limits
from tests.cluster_work import Erratic, Made, behave
from tests.test_nodes import content, two_networks

pytestmark = pytest.mark.slow

CONFIG = FacesConfig(size=64, detect_side=320)
LIMITS = Limits(timeout=100)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return two_networks(tmp_path_factory.mktemp("bundle"))


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
    found = spread(cluster, Erratic(tmp_path, tmp_path / "node"), range(20, 26))
    assert sorted(made.number for made in found) == [*range(20, 26)]
    assert {made.status for made in found} == {"ok"}
    assert {made.node for made in found}.isdisjoint({machines.head_node.node_id})
    assert sum(Erratic(tmp_path).tries(number) for number in range(20, 26)) > 6


def test_a_user_error_ends_the_run(cluster, tmp_path):
    with pytest.raises(ConfigError, match="nineteen"):
        spread(cluster, Erratic(tmp_path), [18, 19, 20])


def test_unfinished_items_are_out_of_budget(cluster, tmp_path):
    start = time.monotonic()
    found = spread(cluster, Erratic(tmp_path), [1, *range(2000, 2010)], until=start + 3)
    assert time.monotonic() - start < 20
    late = [made for made in found if (made.status, made.reason) == LATE]
    assert len(found) == 11
    assert len(late) >= 10


def test_a_crash_or_hang_costs_only_that_video(cluster, tmp_path):
    (tmp_path / "unreadable").touch()
    videos = [Video(tmp_path / name, name) for name in ("hangs", "crashes", "unreadable", "full", "fine", "fine too")]
    outcomes = [*chain.from_iterable(cluster.each(behave, videos, lambda _: ("!",), replace(LIMITS, timeout=1)))]
    assert len(outcomes) == len(videos)
    assert {o.video.name: (o.status, o.value or o.reason) for o in outcomes} == {
        "hangs": ("timed_out", "killed after 1 s"),
        "crashes": ("error", "its worker process was ended by SIGSEGV"),
        "unreadable": ("unreadable", "no video stream"),
        "full": ("error", "OSError: [Errno 28] No space left on device"),
        "fine": ("ok", "fine!"),
        "fine too": ("ok", "fine too!"),
    }


def test_dataset_and_submission_equal_one_machines_byte_for_byte(cluster, tmp_path, small_dataset, bundle):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    videos = [*read_videos(small_dataset), Video(tmp_path / "broken.mp4", "broken.mp4", 1)]
    progress = []
    one, two = (FaceStore.create(tmp_path / name, CONFIG) for name in ("one", "two"))
    build_store(videos, one, Limits(workers=1))
    build_store(videos, two, LIMITS, lambda *row: progress.append(row), each=cluster.each)
    assert [done for done, _, _ in progress] == list(range(1, 10))
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert len(content(tmp_path / "two")) == 9 + 8 + 1

    settings = Settings(limits=Limits(1))
    run(videos, read_info(bundle), lambda: load_bundle(bundle), tmp_path / "one.csv", settings)
    nodes = Nodes(cluster.spread, cluster.count, cluster.count, bundle)
    settings = replace(settings, nodes=nodes)
    made = run(videos, read_info(bundle), lambda: load_bundle(bundle), tmp_path / "two.csv", settings)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert [(row.name, row.status) for row in made.scores if row.status != "ok"] == [("broken.mp4", "unreadable")]
    assert made.speeds == {"full": 9}


def test_a_node_that_cannot_see_a_path_is_named(cluster, tmp_path):
    cluster.check(0.5, [tmp_path], tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ClusterError, match=rf"node 127\.0\.0\.1|node .* does not see {tmp_path}/absent"):
        cluster.check(0.5, [tmp_path / "absent"])


def test_a_node_without_enough_memory_is_named(cluster):
    with pytest.raises(ClusterError, match=r"node .* has .* GB of memory free, and needs 1e\+06"):
        cluster.check(999_999, [])


def test_a_node_that_claims_a_gpu_without_one_is_named_at_once(machines, tmp_path, small_dataset, bundle):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ClusterError, match="the cluster has no node with a GPU"), joined(machines.address, gpu=True):
        pass
    claiming = machines.add_node(num_cpus=1, num_gpus=1)
    try:
        with joined(machines.address, gpu=True) as cluster:
            nodes = Nodes(cluster.spread, cluster.count, cluster.count, bundle)
            settings = Settings(limits=Limits(workers=1), device="cuda", nodes=nodes)
            videos, out = read_videos(small_dataset), tmp_path / "s.csv"
            with pytest.raises(ClusterError, match=r"^node \S+ claims a GPU, but there is no device 'cuda'.* 0 GPUs"):
                run(videos, read_info(bundle), lambda: load_bundle(bundle), out, settings)
    finally:
        machines.remove_node(claiming)


def test_a_killed_driver_resumes_and_a_killed_node_loses_nothing(machines, tmp_path, small_dataset):
    arguments = [str(small_dataset), "--out", str(tmp_path / "faces"), "--size", "64", "--detect-side", "320"]
    command = [sys.executable, "-m", "dfd", "faces", *arguments, "--cluster", machines.address]

    def there() -> int:
        return len(list((tmp_path / "faces" / "tracklets").glob("*/*.json")))

    driver = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not there() and driver.poll() is None:
        time.sleep(0.05)
    driver.kill()
    out = driver.communicate()[0]
    assert driver.returncode in (-signal.SIGKILL, 0), out  # 0: finished before
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "faces" / "tracklets").glob("*/*.json")}

    third = machines.add_node(num_cpus=1)
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while there() <= len(first) and driver.poll() is None:
        time.sleep(0.05)
    machines.remove_node(third, allow_graceful=False)  # SIGKILL
    out, err = driver.communicate()
    assert driver.returncode == 0, err
    assert "8 videos" in out
    assert "raylet" not in out + err
    assert {path: path.stat().st_mtime_ns for path in first} == first
    build_store(read_videos(small_dataset), FaceStore.create(tmp_path / "one", CONFIG), Limits(workers=1))
    assert content(tmp_path / "faces") == content(tmp_path / "one")


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
