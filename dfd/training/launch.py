"""The rank of this process in a training started by torchrun, or by Slurm's srun, on several machines.

Lightning reads the launcher's environment variables and connects the processes. dfd starts none on other machines.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import ConfigError, TrainingError
from dfd.training.clock import Runtime

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment  # isort: skip
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment  # isort: skip
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment  # isort: skip

PATIENCE = 120.0
"""Seconds that the other processes wait for rank 0 to write a file of the run."""


@dataclass(frozen=True)
class Launched:
    """The rank of this process, of `processes`. by: the launcher; empty if dfd was started without one."""

    rank: int = 0
    processes: int = 1
    by: str = ""


def launched() -> Launched:
    """The rank of this process. Raises ConfigError if Slurm was not given the number of tasks on each node."""
    by, there = _launcher()
    return Launched(there.global_rank(), there.world_size(), by) if there else Launched()


def check_launch(runtime: Runtime) -> Launched:
    """The rank of this process. Raises ConfigError if the launcher's numbers of processes differ from `runtime`'s."""
    found, asked = launched(), f"--nodes {runtime.nodes} --devices {runtime.devices}"
    right = "give the number of machines, and of processes on each"
    if found.by and found.processes != runtime.processes:
        raise ConfigError(
            f"{found.by} has started {found.processes} processes, and {asked} is {runtime.processes}: {right}"
        )
    if not _laid_out(runtime):
        raise ConfigError(f"{found.by} has not spread its {found.processes} processes as {asked}: {right}")
    if runtime.nodes > 1 and not found.by:
        raise ConfigError(
            f"{asked} takes a launcher: on each machine run torchrun --nnodes {runtime.nodes} --nproc-per-node "
            f"{runtime.devices} … -m dfd train, or srun with {runtime.devices} tasks a node"
        )
    return found


def _launcher() -> tuple[str, ClusterEnvironment | None]:
    """The launcher of this process, and what it says; ("", None) if it started no others."""
    for by, kind in (("torchrun", TorchElasticEnvironment), ("srun", SLURMEnvironment)):
        if kind.detect():
            try:
                there = kind()
                several = there.world_size() > 1 and there.global_rank() >= 0
            except KeyError as error:  # in a shell of salloc's, for one
                raise ConfigError(f"{by} has not set {error.args[0]}: start this command with {by}") from None
            except RuntimeError as error:
                raise ConfigError(f"{by}: {error}") from None
            if several:
                return by, there
    return "", None


def _laid_out(runtime: Runtime) -> bool:
    """Whether the launcher has started as many processes on each machine as asked."""
    _, there = _launcher()
    try:
        if there:
            there.validate_settings(runtime.devices, runtime.nodes)
    except ValueError:
        return False
    return True


def wait_for(path: Path) -> None:
    """Wait until rank 0 has written a file. Raises TrainingError after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise TrainingError(f"the first process has not written {path}: do all machines see that folder?")
        time.sleep(0.1)
