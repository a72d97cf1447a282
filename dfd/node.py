"""Check a cluster's node before work begins: its dfd, its free memory, and the paths that all nodes must share."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dfd
from dfd.errors import ClusterError
from dfd.files import partial_path
from dfd.videos.remote import refusal, url_of

RESERVE = 1.0
"""Gigabytes of memory for dfd's libraries and networks."""


@dataclass(frozen=True)
class NodeState:
    """State reported by a node. version: of its dfd. free: gigabytes of memory.

    absent: the first path that it does not see. refused: why it cannot write to the folder; empty if it can.
    unfetched: the first URL that it cannot reach, and why; empty if it can.
    """

    version: str
    free: float
    absent: Path | None = None
    refused: str = ""
    unfetched: str = ""


def inspect_node(paths: Sequence[Path], written: Path | None = None) -> NodeState:
    """Inspect this machine: whether it sees `paths` (some may be URLs), and can write to the folder `written`."""
    absent = next((path for path in paths if not url_of(path) and not os.path.lexists(path)), None)
    reasons = ((url, refusal(url)) for url in paths if url_of(url))
    refused = ""
    if written and not absent:
        probe = partial_path(written / "node")
        try:
            probe.write_bytes(b"dfd")
            probe.unlink()
        except OSError as error:
            refused = f"cannot write to {written}: {error.strerror}"
    unfetched = next((f"{url_of(url)}: {reason}" for url, reason in reasons if reason), "")
    return NodeState(dfd.__version__, _free(), absent, refused, unfetched)


def check_node(name: str, found: NodeState, memory: float) -> None:
    """Raise ClusterError naming the node if it is not fit for work. memory: gigabytes per video."""
    if found.version != dfd.__version__:
        raise ClusterError(f"node {name} has dfd {found.version}, and here is {dfd.__version__}: install the same")
    if found.absent is not None:
        raise ClusterError(f"node {name} does not see {found.absent}: name a path that all nodes share")
    if found.refused:
        raise ClusterError(f"node {name} {found.refused}: make it writable there")
    if found.unfetched:
        raise ClusterError(f"node {name} cannot fetch {found.unfetched}; give every node the packages and keys for it")
    if found.free < memory + RESERVE:
        raise ClusterError(
            f"node {name} has {found.free:.1f} GB of memory free, and needs {memory + RESERVE:g}: {memory:g} for a "
            f"video, {RESERVE:g} for dfd; lower --memory, or free some"
        )


@contextmanager
def marked(folder: Path | None) -> Iterator[list[Path]]:
    """Context with a marker file in `folder`, if given. A node that does not see it has another folder there."""
    if folder is None:
        yield []
        return
    mark = partial_path(folder / "driver")
    mark.write_bytes(b"dfd")
    try:
        yield [mark]
    finally:
        mark.unlink(missing_ok=True)


def reachable(address: str) -> bool:
    """Whether something answers at host:port within five seconds."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5.0):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def _free() -> float:
    """Gigabytes of free memory on this machine; infinity if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith("MemAvailable"))
