"""Two Ray nodes on this machine, each in a network namespace, so that the cable between them can be cut. Needs root.

A third namespace is the switch. At the end all processes are killed, and namespaces and folders are removed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
ADDRESSES = ("10.77.0.1", "10.77.0.2")
"""Addresses of the head and the other node. Only the switch connects them, so they may be used elsewhere."""
HEAD = f"{ADDRESSES[0]}:6379"
QUICK = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "2",
}
"""Ray's settings for a head in a test: it declares a node dead after six seconds, not a minute."""
QUICK_DRIVER = {"RAY_grpc_client_keepalive_time_ms": "10000", "RAY_grpc_client_keepalive_timeout_ms": "5000"}
"""The same for a driver: after 15 seconds instead of 81."""


USUAL = {
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
"""Environment of every process here."""


@dataclass(frozen=True)
class Node:
    """A namespace with a Ray node. folder: its temporary files."""

    name: str
    address: str
    switch: str
    folder: Path

    def start(self, *command: object, environment: Mapping[str, str] = {}, **options: Any) -> subprocess.Popen[str]:
        """Start a process in the namespace."""
        words = ["ip", "netns", "exec", self.name, *map(str, command)]
        return subprocess.Popen(words, text=True, env={**os.environ, **USUAL, **environment}, **options)

    def dfd(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start a dfd command in the namespace; it runs on the cluster."""
        return self.start(BIN / "python", "-m", "dfd", *arguments, "--cluster", HEAD, **options)

    def cable(self, state: str) -> None:
        """Set the node's cable "up" or "down", at the switch's end."""
        _ip("-n", self.switch, "link", "set", self.name, state)

    def read_only(self, folder: Path) -> None:
        """Make `folder` read-only for this node's Ray; other nodes can still write."""
        # A mount in use cannot become read-only (EBUSY). So a view of its own becomes it, and is mounted over `folder`.
        view = self.folder / "read-only"
        view.mkdir()
        script = f"mount --bind {folder} {view} && mount -o remount,bind,ro {view} && mount --bind {view} {folder}"
        ray = str(self.processes()[0])
        subprocess.run(["nsenter", "--mount", "--target", ray, "sh", "-c", script], check=True)

    def connect(self) -> None:
        """Create the namespace and its cable."""
        _ip("netns", "add", self.name)
        _ip("-n", self.switch, "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("-n", self.switch, "link", "set", self.name, "master", "bridge", "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", self.name, "link", "set", link, "up")

    def start_ray(self, mounts: str, environment: Mapping[str, str]) -> None:
        """Start Ray with one core. mounts: shell commands run before it, in a separate mount namespace."""
        head = self.address == ADDRESSES[0]
        which = (
            ["--head", "--port=6379", "--include-dashboard=false", "--include-log-monitor=false"]
            if head
            else [f"--address={HEAD}"]
        )
        options = ["--num-cpus=1", "--object-store-memory=100000000", f"--temp-dir={self.folder}/ray"]
        command = [BIN / "ray", "start", *which, *options, f"--node-ip-address={self.address}"]
        script = f'set -e; {mounts or ":"}; exec "$@"'
        environment = {"TMPDIR": f"{self.folder}/tmp", **environment}
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started = self.start("sh", "-c", script, "sh", *command, environment=environment, **output)
        out, _ = started.communicate()
        if started.returncode:
            raise RuntimeError(f"Ray did not start on {self.name}: {out}")

    def processes(self) -> list[int]:
        """Process ids of the namespace."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def remove(self) -> None:
        """Kill the node's processes and remove its namespace and folder."""
        for process in self.processes():
            subprocess.run(["kill", "-9", str(process)], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def refusal() -> str:
    """The reason why this machine cannot create namespaces; empty if it can."""
    name = f"dfd{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "bridge", "type", "bridge")
    except FileNotFoundError:
        return "network namespaces take the command ip (iproute2)"
    except subprocess.CalledProcessError as error:
        return f"network namespaces take root: {error.stderr.strip()}"
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
    return ""


@contextmanager
def two_nodes(mounts: str = "", environment: Mapping[str, str] = {}) -> Iterator[tuple[Node, Node]]:
    """Start the head and another node, one core each. environment: of both nodes.

    mounts: shell commands that the other node runs before its Ray, in a separate mount namespace; {folder} is its
    folder, whose subfolder tmp is for temporary files.
    """
    start = f"dfd{os.getpid()}"
    switch = f"{start}-s"
    nodes = [
        Node(f"{start}-{number}", address, switch, Path(tempfile.mkdtemp(prefix="dfd-node-")))
        for number, address in enumerate(ADDRESSES)
    ]
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for node in nodes:
            (node.folder / "tmp").mkdir()
            node.connect()
        nodes[0].start_ray("", environment)
        nodes[1].start_ray(mounts.format(folder=nodes[1].folder), environment)
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            node.remove()
        subprocess.run(["ip", "netns", "del", switch], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
