"""Which process of a training this is, where torchrun, or Slurm's srun, has started them on several machines.

Lightning's environments read what a launcher says, and meet by it; dfd starts no process on another machine.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import dfd.torchvision_ops  # noqa: F401  # before pytorch_lightning, which imports torchvision
from dfd.errors import ConfigError, TrainingError
from dfd.training.clock import Runtime

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment  # isort: skip
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment  # isort: skip

PATIENCE = 120.0
"""Seconds that the other processes wait for the first to make the run's folder."""


@dataclass(frozen=True)
class Launched:
    """A process's number, and how many there are; by: the launcher, empty where dfd was started alone."""

    rank: int = 0
    processes: int = 1
    by: str = ""


def launched() -> Launched:
    """What this process is. Raises ConfigError where Slurm was asked for tasks in a way that tells none a machine."""
    for by, kind in (("torchrun", TorchElasticEnvironment), ("srun", SLURMEnvironment)):
        if kind.detect():
            try:
                there = kind()
            except RuntimeError as error:
                raise ConfigError(f"{by}: {error}") from None
            if there.world_size() > 1:
                return Launched(there.global_rank(), there.world_size(), by)
    return Launched()


def check_launch(runtime: Runtime) -> Launched:
    """What this process is. Raises ConfigError when a launcher started other processes than `runtime` has."""
    found, asked = launched(), f"--nodes {runtime.nodes} --devices {runtime.devices}"
    if found.by and found.processes != runtime.processes:
        raise ConfigError(
            f"{found.by} has started {found.processes} processes, and {asked} is {runtime.processes}: name the "
            "machines, and the processes of each"
        )
    if runtime.nodes > 1 and not found.by:
        raise ConfigError(
            f"{asked} takes a launcher: on each machine torchrun --nnodes {runtime.nodes} --nproc-per-node "
            f"{runtime.devices} … -m dfd train, or srun with {runtime.devices} tasks a node"
        )
    return found


def wait_for(path: Path) -> None:
    """Until the first process has written a file. Raises TrainingError where that takes too long."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise TrainingError(f"the first process has not written {path}: do all machines see that folder?")
        time.sleep(0.1)
