"""Processes started by a launcher: two torchrun agents on this machine act as two machines."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from dfd.errors import ConfigError, TrainingError
from dfd.models.checkpoint import read_checkpoint
from dfd.training import launch
from dfd.training.clock import Runtime
from dfd.training.launch import Launched, check_launch, launched, wait_for

pytestmark = pytest.mark.slow

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


def test_srun_needs_the_tasks_per_node(srun, monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(ConfigError, match="srun: .*--ntasks-per-node=4"):
        launched()


def test_other_processes_wait_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "PATIENCE", 0.2)
    with pytest.raises(TrainingError, match="do all machines see that folder"):
        wait_for(tmp_path / "config.json")
    (tmp_path / "config.json").touch()
    wait_for(tmp_path / "config.json")


@pytest.mark.timeout(600)
def test_two_machines_equal_two_processes_and_one_process_can_resume(small_store, tmp_path):
    def train(*options, rank=None, port=0):
        agent = ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"]
        agent += ["--master-addr=127.0.0.1", f"--master-port={port}"]
        command = [sys.executable, *(agent if port else []), "-m", "dfd", "train", str(small_store.folder)]
        command += ["--recipe=tiny", "--clip.size=48", "--train.batch=8", "--train.epochs=1", "--track=none"]
        return subprocess.Popen(
            [*command, *options],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out = str(tmp_path / "machines")
    both = [train("--out", out, "--nodes", "2", rank=rank, port=port) for rank in (0, 1)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert ["The model is in" in text for text in outputs] == [True, False]
    one = train("--out", str(tmp_path / "processes"), "--devices", "2")
    one.communicate()
    assert one.returncode == 0
    first, second = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")[1] for name in ("machines", "processes")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = train("--out", out)  # one device finishes the run
    assert "The model is in" in again.communicate()[0]
