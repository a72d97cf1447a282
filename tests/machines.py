"""Two nodes of a Ray cluster on this machine, for the tests of one module."""

import os
import signal
import time
from pathlib import Path

import pytest

from dfd.cluster import joined

MARK = "DFD_TEST_CLUSTER"
"""Environment variable that marks Ray's processes as those of one test process; others may run on the machine."""


def of_cluster() -> set[int]:
    """Process ids that Ray started for this process. MARK must be set before it starts any.

    A server of forks may be of this process: its arguments name Ray's folder once Ray has been imported.
    """
    mark, found = f"{MARK}={os.environ[MARK]}".encode(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, variables = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:  # the process has ended
            continue
        of_ray = line.startswith(b"ray::") or (b"/ray/" in line and b"forkserver" not in line)
        if of_ray and mark in variables.split(b"\0"):
            found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def machines():
    """Start a head and another node, one core each; check afterwards that none of their processes is left."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dfd[cluster]'")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # the default of 15 is too short for a busy machine
    os.environ[MARK] = str(os.getpid())
    handler = signal.getsignal(signal.SIGTERM)
    one = {"num_cpus": 1, "object_store_memory": 100_000_000}
    machines = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
    machines.add_node(**one)
    machines.wait_for_nodes()
    yield machines
    machines.shutdown()
    signal.signal(signal.SIGTERM, handler)  # Ray's own handler ends this process
    until = time.monotonic() + 20
    while (left := of_cluster()) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left


@pytest.fixture
def cluster(machines):
    """Join the cluster."""
    with joined(machines.address) as cluster:
        yield cluster
