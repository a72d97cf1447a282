"""Datasets and submissions of a cluster equal those of one machine, even if its driver or nodes fail."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.namespaces import ADDRESSES, QUICK, QUICK_DRIVER, refusal, two_nodes
from dfd.cluster import joined
from dfd.errors import ClusterError
from dfd.faces.build import build_store
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.info import read_info
from dfd.inference.nodes import Nodes
from dfd.inference.run import Settings, run
from dfd.types import Video
from dfd.videos.manifest import read_videos
from dfd.videos.workers import Limits
from tests.test_bundle import checkpoint

pytestmark = pytest.mark.slow

CONFIG = FacesConfig(size=64, detect_side=320)
LIMITS = Limits(timeout=100)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of two networks."""
    folder = tmp_path_factory.mktemp("bundle")
    faces = FacesConfig(size=64, detect_side=320, segment=0.4)
    write_bundle(folder / "bundle", [checkpoint(folder / f"{seed}.ckpt", seed, faces) for seed in (5, 6)])
    return folder / "bundle"


def content(folder: Path) -> dict[str, object]:
    """The contents of a dataset, except the seconds taken."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".partial":  # left by a killed process
            continue
        if path.suffix == ".json":
            found[str(path.relative_to(folder))] = {**json.loads(path.read_text()), "seconds": None, "videos": None}
        elif path.is_file() and path.suffix != ".csv":
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


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


@pytest.fixture(scope="module")
def apart():
    """Two nodes in network namespaces; the second does not share the host's temporary folders."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    if why := refusal():
        pytest.skip(why)
    with two_nodes("mount -t tmpfs -o size=64k tmpfs {folder}/tmp", QUICK) as nodes:
        yield nodes


def test_a_path_missing_on_one_node_is_named_before_work_begins(apart, small_dataset, tmp_path):
    head, other = apart
    videos = shutil.copytree(small_dataset, other.folder / "tmp" / "videos")
    driver = head.dfd("faces", videos, "--out", tmp_path / "faces", stderr=subprocess.PIPE)
    _, err = driver.communicate()
    assert driver.returncode == 1
    assert err.splitlines()[-1].startswith(f"dfd: node {ADDRESSES[1]} does not see {videos}/")
    assert not list((tmp_path / "faces").glob("tracklets/*/*"))


@pytest.mark.parametrize("fault", ["read-only folder", "cut cable"])  # in this order, since the cut ends a node
def test_a_fault_on_one_node_loses_no_video(apart, small_dataset, bundle, tmp_path, fault):
    head, other = apart
    faces = tmp_path / "two"
    arguments = (small_dataset, "--out", tmp_path / "two.csv", "--faces", faces, "--bundle", bundle)
    driver = head.dfd("predict", *arguments, environment=QUICK_DRIVER, stderr=subprocess.PIPE)
    while driver.poll() is None and not list(faces.glob("tracklets/*/*.json")):
        time.sleep(0.05)
    if fault == "cut cable":
        other.cable("down")
    else:
        other.read_only(faces)
    _, err = driver.communicate()
    assert driver.returncode == 0, err
    settings = Settings(limits=Limits(1), faces=tmp_path / "one")
    run(read_videos(small_dataset), read_info(bundle), lambda: load_bundle(bundle), tmp_path / "one.csv", settings)
    assert content(faces) == content(tmp_path / "one")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    other.cable("up")
