"""Two nodes of a Ray cluster on this machine, for as long as a module's tests take."""

import os
import signal
import time
from pathlib import Path

import pytest

from dfd.cluster import joined


def of_cluster() -> dict[int, str]:
    """What Ray has started: command lines by process number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if "/ray/" in text or text.startswith("ray::"):
            found[int(folder.name)] = text[:200]
    return found


@pytest.fixture(scope="module")
def machines():
    """A head and another node of one core each; afterwards nothing is left of them."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # it would be 15: beside other work nothing would happen
    before, asked_to_end = of_cluster(), signal.getsignal(signal.SIGTERM)
    one = {"num_cpus": 1, "object_store_memory": 100_000_000}
    machines = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
    machines.add_node(**one)
    machines.wait_for_nodes()
    yield machines
    machines.shutdown()
    signal.signal(signal.SIGTERM, asked_to_end)  # Ray leaves one that ends this process
    until = time.monotonic() + 20
    while (left := of_cluster().keys() - before.keys()) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left


@pytest.fixture
def cluster(machines):
    """The cluster, joined."""
    with joined(machines.address) as cluster:
        yield cluster
