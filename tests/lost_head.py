"""A program whose cluster loses its head. It prints the error, since Ray ends any such process.

python -m tests.lost_head FOLDER
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from unittest.mock import patch

from dfd.cluster import joined
from dfd.errors import ClusterError
from dfd.videos.workers import Limits
from tests.cluster_work import Erratic, Made
from tests.machines import MARK, of_cluster


def main(folder: Path) -> None:
    """Kill the head during a run and print the error, its address replaced by {address}; leave no process."""
    from ray.cluster_utils import Cluster

    os.environ[MARK] = str(os.getpid())
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    print(lost(machines, machines.address, folder), flush=True)  # while joined, Ray's log takes the output
    for process in of_cluster():  # they would search for their head for a minute
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(0)


def lost(machines, address: str, folder: Path) -> str:
    """Return the error's message. The head is killed once work has begun."""

    def kill() -> None:
        while not any(folder.iterdir()):
            time.sleep(0.05)
        machines.head_node.kill_gcs_server()

    try:
        with patch("dfd.cluster.HEAD_LIMIT", 0.5), patch("dfd.cluster.TICK", 0.2), joined(address) as cluster:
            threading.Thread(target=kill, daemon=True).start()
            results = cluster.spread(
                Erratic(folder), Limits(timeout=100), range(6000, 6010), lambda number: number, Made
            )
            return str(list(chain.from_iterable(results)))
    except ClusterError as error:
        return str(error).replace(address, "{address}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
