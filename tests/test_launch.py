"""Processes started by a launcher: two on this machine act as two machines, as torchrun and srun start them."""

import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from dfd.cli import main
from dfd.errors import ConfigError, TrainingError
from dfd.models.checkpoint import read_checkpoint
from dfd.training import launch
from dfd.training.clock import Runtime
from dfd.training.launch import Launched, check_launch, launched, wait_for

pytestmark = pytest.mark.slow

SETTINGS = ("--recipe=tiny", "--clip.size=48", "--train.batch=8", "--train.epochs=1", "--track=none")
SRUN = {"NTASKS": "4", "NTASKS_PER_NODE": "2", "PROCID": "3", "LOCALID": "1", "NODEID": "1", "JOB_NAME": "train"}


@pytest.fixture
def srun(monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


def test_without_a_launcher_there_is_one_process():
    assert launched() == check_launch(Runtime(devices=2)) == Launched()
    with pytest.raises(ConfigError, match="takes a launcher: .* --nnodes 2 --nproc-per-node 3"):
        check_launch(Runtime(devices=3, nodes=2))


def test_the_rank_is_the_launchers_and_process_counts_must_match(srun):
    assert launched() == check_launch(Runtime(devices=2, nodes=2)) == Launched(3, 4, "srun")
    with pytest.raises(ConfigError, match="srun has started 4 processes, and --nodes 3 --devices 2 is 6"):
        check_launch(Runtime(devices=2, nodes=3))
    with pytest.raises(ConfigError, match="srun has not spread its 4 processes as --nodes 1 --devices 4"):
        check_launch(Runtime(devices=4))


def test_srun_needs_the_tasks_per_node(srun, monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(ConfigError, match="srun: .*--ntasks-per-node=4"):
        launched()


def test_an_allocation_needs_srun(srun, monkeypatch):
    monkeypatch.delenv("SLURM_PROCID")
    with pytest.raises(ConfigError, match="srun has not set SLURM_PROCID: start this command with srun"):
        launched()


def test_other_processes_wait_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "PATIENCE", 0.2)
    with pytest.raises(TrainingError, match="do all machines see that folder"):
        wait_for(tmp_path / "config.json")
    (tmp_path / "config.json").touch()
    wait_for(tmp_path / "config.json")


def command(store, out, *options):
    """A training of one epoch."""
    return ["train", str(store.folder), "--out", str(out), *SETTINGS, *options]


def finish(command):
    """Run a command in this process."""
    with pytest.raises(SystemExit, match="^0$"):
        main(command)


def started(command, agent=(), environment=()):
    """Start a command in a process. agent: what starts it, if not dfd."""
    return subprocess.Popen(
        [sys.executable, *agent, "-m", "dfd", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **dict(environment)},
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(processes):
    """The outputs of processes, which must end well."""
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


def weights(out):
    return read_checkpoint(out / "checkpoints" / "last.ckpt")[1]


def by_torchrun(rank, port):
    agent = ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"]
    return {"agent": [*agent, "--master-addr=127.0.0.1", f"--master-port={port}"]}


def by_srun(rank, port):
    """What srun sets. Lightning meets at the first node, on port 15000 and the job's last four digits."""
    about = {"JOB_ID": f"77{port - 15000:04}", "NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2, "JOB_NAME": "train"}
    about |= {"PROCID": rank, "NODEID": rank, "LOCALID": 0, "NODELIST": "localhost", "STEP_ID": 0}
    return {"environment": {f"SLURM_{name}": str(value) for name, value in about.items()}}


def free_port():
    """A free port of those that Lightning takes under Slurm."""
    for port in range(15000 + os.getpid() % 9000, 25000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def reference(small_store, tmp_path_factory):
    """The weights of a training by two processes that dfd starts, inside a batch job of Slurm's with one task."""
    out = tmp_path_factory.mktemp("runs") / "processes"
    batch = {"NTASKS": "1", "NTASKS_PER_NODE": "1", "PROCID": "0", "JOB_NAME": "train"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**batch, "LOCALID": "0", "NODEID": "0", "JOB_ID": "7"}.items():
            patch.setenv(f"SLURM_{name}", value)
        finish(command(small_store, out, "--devices", "2"))
    return weights(out)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("by", [by_torchrun, by_srun])
def test_two_machines_equal_two_processes_and_one_process_can_resume(small_store, tmp_path, reference, by, capsys):
    out, port = tmp_path / "machines", free_port()
    both = [started(command(small_store, out, "--nodes", "2"), **by(rank, port)) for rank in (0, 1)]
    assert ["The model is in" in text for text in ended(both)] == [True, False]
    made = weights(out)
    assert all(torch.equal(made[name], reference[name]) for name in reference)
    finish(command(small_store, out))  # with one device
    assert "The model is in" in capsys.readouterr().out
