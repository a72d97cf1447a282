"""Two nodes with a faulty disk or cable, in network namespaces: no video is lost, and a missing path is named."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.namespaces import ADDRESSES, QUICK, QUICK_DRIVER, refusal, two_nodes
from dfd.faces.tracklets import FacesConfig
from dfd.inference.bundle import load_bundle, write_bundle
from dfd.inference.info import read_info
from dfd.inference.run import Settings, run
from dfd.videos.manifest import read_videos
from dfd.videos.workers import Limits
from tests.test_bundle import checkpoint

pytestmark = pytest.mark.slow


def two_networks(folder):
    """Write a bundle of two networks below `folder`."""
    faces = FacesConfig(size=64, detect_side=320, segment=0.4)
    write_bundle(folder / "bundle", [checkpoint(folder / f"{seed}.ckpt", seed, faces) for seed in (5, 6)])
    return folder / "bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return two_networks(tmp_path_factory.mktemp("bundle"))


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
