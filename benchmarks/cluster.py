"""Cost and fault tolerance of a cluster; results in cluster.md.

python -m benchmarks.cluster rows N         seconds and driver memory for N videos that are not read
python -m benchmarks.cluster wall VIDEOS    two one-core nodes against one machine with two workers
python -m benchmarks.cluster cable VIDEOS ONE   one node's cable is cut for 90 seconds and reconnected
python -m benchmarks.cluster disk VIDEOS ONE    one node's disk is full: videos by URL do not fit
python -m benchmarks.cluster mount VIDEOS ONE   one node can no longer write to the dataset

The last three predict VIDEOS, and build their dataset, on two nodes in network namespaces; this needs root. Dataset
and submission must equal those of one machine, which are made in the folder ONE on the first run and kept there.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from benchmarks.namespaces import ADDRESSES, BIN, ROOT, Node, two_nodes
from dfd.cluster import joined
from dfd.types import Video
from dfd.videos.workers import Limits, Outcome

CUT = 90.0
"""Seconds without a cable: Ray declares a node dead after about 64."""
REPEATS = 3


def rows(count: int) -> None:
    """Print the cost of `count` videos that no node reads."""
    before = peak()
    videos = [Video(Path(f"/data/part_{n % 50}/{n:08x}.mp4"), f"part_{n % 50}/{n:08x}.mp4", 1) for n in range(count)]
    listed = peak()
    with joined("local") as cluster:
        start = time.monotonic()
        results = cluster.spread(unread, Limits(), videos, lambda video: video, Outcome)
        done = sum(1 for _ in chain.from_iterable(results))
        seconds = time.monotonic() - start
    print(
        f"{done} videos in {seconds:.1f} s; driver: {before:.0f} MB, {listed:.0f} with the list, at most {peak():.0f}"
    )


def unread(videos: Sequence[Video], _: Limits) -> list[Outcome]:
    """A node's outcomes for videos that it does not read."""
    return [Outcome(video, "ok") for video in videos]


def peak() -> float:
    """Peak memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wall(videos: Path) -> None:
    """Print the seconds of one machine and of two nodes, alternating, and whether their datasets are equal."""
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    try:
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as folder:
                alone, both = Path(folder) / "alone", Path(folder) / "both"
                one = seconds_of(videos, alone, "--workers", "2")
                two = seconds_of(videos, both, "--cluster", machines.address)
                equal = dataset(alone) == dataset(both)
            print(f"one machine {one:.1f} s, two nodes {two:.1f} s: {two / one:.2f}; equal: {equal}", flush=True)
    finally:
        machines.shutdown()


def seconds_of(videos: Path, out: Path, *options: str) -> float:
    """Run dfd faces; return the seconds it took."""
    start = time.monotonic()
    subprocess.run([BIN / "python", "-m", "dfd", "faces", videos, "--out", out, *options], check=True)
    return time.monotonic() - start


def dataset(folder: Path) -> dict[str, object]:
    """A dataset's contents, without the seconds per video and the videos' paths."""
    films = {path.name: path.read_bytes() for path in folder.glob("tracklets/*/*.mjpeg")}
    records = {path.name: json.loads(path.read_text()) for path in folder.glob("tracklets/*/*.json")}
    return films | {name: {**record, "seconds": None, "file": None} for name, record in records.items()}


def cable(videos: Path, folder: Path) -> None:
    """Cut the other node's cable when the first video is done, and reconnect it."""
    with two_nodes() as (head, other):

        def cut() -> None:
            other.cable("down")
            time.sleep(CUT)
            other.cable("up")

        disturbed(head, videos, folder, cut)


def disk(videos: Path, folder: Path) -> None:
    """Give the other node 64 KB for temporary files, and serve the videos by HTTP."""
    with two_nodes("mount -t tmpfs -o size=64k tmpfs {folder}/tmp") as (head, _):
        address = ("--bind", ADDRESSES[0], "--directory", videos, "8000")
        head.start(BIN / "python", "-m", "http.server", *address, stderr=subprocess.DEVNULL)
        disturbed(head, f"http://{ADDRESSES[0]}:8000/", folder, lambda: None)


def mount(videos: Path, folder: Path) -> None:
    """Make the dataset's folder read-only on the other node when the first video is done."""
    with two_nodes() as (head, other):
        disturbed(head, videos, folder, lambda: other.read_only(folder / "faces"))


def disturbed(head: Node, videos: Path | str, folder: Path, disturb: Callable[[], None]) -> None:
    """Predict on the cluster and disturb it when the first video is done."""
    start = time.monotonic()
    driver = head.dfd("predict", videos, "--out", folder / "s.csv", "--faces", folder / "faces")
    while driver.poll() is None and not recorded(folder):
        time.sleep(0.1)
    print(f"disturbed after {time.monotonic() - start:.1f} s, when {recorded(folder)} videos were done")
    disturb()
    print(f"exit status {driver.wait()} after {time.monotonic() - start:.1f} s, {recorded(folder)} videos done")


def recorded(folder: Path) -> int:
    """The number of videos recorded in the dataset."""
    return len(list(folder.glob("faces/tracklets/*/*.json")))


def compared(videos: Path, one: Path, disturbance: Callable[[Path, Path], None]) -> None:
    """Print whether a disturbed cluster gives the same result as one machine."""
    if not (one / "s.csv").is_file():
        options = ("--out", one / "s.csv", "--faces", one / "faces", "--workers", "2")
        subprocess.run([BIN / "python", "-m", "dfd", "predict", videos, *options], check=True)
    with tempfile.TemporaryDirectory() as name:
        two = Path(name)
        disturbance(videos, two)
        equal = [dataset(one / "faces") == dataset(two / "faces")]
        equal += [(one / "s.csv").read_bytes() == (two / "s.csv").read_bytes()]
        print(f"dataset and submission equal one machine's: {equal}; left: {[*two.rglob('.*.partial')]}")


def main() -> None:
    """Run the command line."""
    os.environ |= {"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    what, given, *one = sys.argv[1:]
    if what == "rows":
        rows(int(given))
    elif what == "wall":
        wall(Path(given).absolute())
    else:
        disturbance = {"cable": cable, "disk": disk, "mount": mount}[what]
        compared(Path(given).absolute(), Path(one[0]).absolute(), disturbance)


if __name__ == "__main__":
    main()
