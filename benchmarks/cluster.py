"""What a cluster costs, and what it survives: `python -m benchmarks.cluster rows|wall|cable …`; results in cluster.md.

rows N               a shard's way there and back for N videos that do nothing: seconds, and the driver's memory
wall VIDEOS          two nodes of one core against one machine with two workers, and whether their datasets are equal
cable VIDEOS         two nodes in network namespaces (root), of which one is cut off in the middle and comes back
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from dfd.cluster import joined
from dfd.types import Video
from dfd.videos.workers import Limits

BIN = Path(sys.executable).parent
NODES = ("10.77.0.1", "10.77.0.2")
"""Addresses of the two namespaces, dfd-0 and dfd-1, on a bridge of their own."""


def nothing(orders: Sequence[Video], _: Limits) -> list[str]:
    return [video.name for video in orders]


def rows(count: int) -> None:
    """Prints what `count` videos cost that do nothing."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    videos = [Video(Path(f"/data/part_{n % 50}/{n:08x}.mp4"), f"part_{n % 50}/{n:08x}.mp4", 1) for n in range(count)]
    listed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with joined("local") as cluster:
        start = time.monotonic()
        come = cluster.spread(nothing, Limits(), videos, lambda video: video, lambda *lost: lost, None)
        done = sum(1 for _ in chain.from_iterable(come))
        seconds = time.monotonic() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done} videos in {seconds:.1f} s; driver: {before:.0f} MB, {listed:.0f} with the list, at most {most:.0f}")


def faces(videos: Path, out: Path, *options: str) -> float:
    """Seconds that dfd faces takes."""
    start = time.monotonic()
    subprocess.run([BIN / "python", "-m", "dfd", "faces", videos, "--out", out, *options], check=True)
    return time.monotonic() - start


def content(folder: Path) -> dict[str, object]:
    """What a dataset holds, but for the seconds that each video took."""
    films = {path.name: path.read_bytes() for path in folder.glob("tracklets/*/*.mjpeg")}
    records = {path.name: json.loads(path.read_text()) for path in folder.glob("tracklets/*/*.json")}
    return films | {name: {**record, "seconds": None} for name, record in records.items()}


def wall(videos: Path) -> None:
    """Prints the seconds of one machine and of two nodes."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as folder:
        alone, both = Path(folder) / "alone", Path(folder) / "both"
        machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        machines.add_node(num_cpus=1)
        seconds = [faces(videos, alone, "--workers", "2"), faces(videos, both, "--cluster", machines.address)]
        machines.shutdown()
        equal = content(alone) == content(both)
    print(
        f"one machine {seconds[0]:.1f} s, two nodes {seconds[1]:.1f} s: {seconds[1] / seconds[0]:.2f}; equal: {equal}"
    )


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def inside(node: int, *command: object, **options: object) -> subprocess.Popen:
    return subprocess.Popen(["ip", "netns", "exec", f"dfd-{node}", *map(str, command)], **options)  # type: ignore[call-overload]


@contextmanager
def namespaces() -> Iterator[None]:
    """Two network namespaces, joined by a bridge, with a node of Ray of one core in each."""
    try:
        ip("link", "add", "dfd-bridge", "type", "bridge")
        ip("link", "set", "dfd-bridge", "up")
        for node, address in enumerate(NODES):
            ip("netns", "add", f"dfd-{node}")
            ip("link", "add", f"dfd-{node}", "type", "veth", "peer", "name", "eth0", "netns", f"dfd-{node}")
            ip("link", "set", f"dfd-{node}", "master", "dfd-bridge", "up")
            ip("-n", f"dfd-{node}", "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", f"dfd-{node}", "link", "set", "eth0", "up")
            ip("-n", f"dfd-{node}", "link", "set", "lo", "up")
        head = ["--head", "--port", "6379", "--include-dashboard", "false"]
        for node, which in enumerate((head, ["--address", f"{NODES[0]}:6379"])):
            folder = ["--temp-dir", tempfile.mkdtemp(prefix="dfd-ray-")] if node == 0 else []
            start = [BIN / "ray", "start", *which, "--num-cpus", 1, "--node-ip-address", NODES[node], *folder]
            inside(node, *start, stdout=subprocess.DEVNULL).wait()
        yield
    finally:
        for node in range(len(NODES)):
            pids = subprocess.run(["ip", "netns", "pids", f"dfd-{node}"], capture_output=True, text=True).stdout.split()
            subprocess.run(["kill", "-9", *pids], stderr=subprocess.DEVNULL)
            subprocess.run(["ip", "netns", "del", f"dfd-{node}"])
        subprocess.run(["ip", "link", "del", "dfd-bridge"])


def cable(videos: Path, cut: float = 90.0) -> None:
    """Prints what became of a dataset whose second node was cut off for `cut` seconds, beside one machine's."""
    with tempfile.TemporaryDirectory() as folder:
        alone, both = Path(folder) / "alone", Path(folder) / "both"
        with namespaces():
            start = time.monotonic()
            command = [BIN / "python", "-m", "dfd", "faces", videos, "--out", both, "--cluster", f"{NODES[0]}:6379"]
            driver = inside(0, *command)
            while driver.poll() is None and not list(both.glob("tracklets/*/*.json")):
                time.sleep(0.2)
            ip("link", "set", "dfd-1", "down")
            print(f"cut after {time.monotonic() - start:.1f} s, with {len(list(both.glob('tracklets/*/*.json')))} done")
            time.sleep(cut)
            ip("link", "set", "dfd-1", "up")
            print(f"joined again; exit status {driver.wait()} after {time.monotonic() - start:.1f} s")
        faces(videos, alone, "--workers", "2")
        left = [path.name for path in both.rglob(".*.partial")]
        print(f"equal to one machine's: {content(alone) == content(both)}; left over: {left}")


if __name__ == "__main__":
    os.environ |= {"PYTHONPATH": str(Path(__file__).parents[1]), "RAY_worker_niceness": "0"}
    what, given = sys.argv[1:]
    if what == "rows":
        rows(int(given))
    else:
        {"wall": wall, "cable": cable}[what](Path(given).absolute())
