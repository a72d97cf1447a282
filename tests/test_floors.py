"""`make floors`: dfd works with the oldest versions setup.cfg allows. `make test` skips it, as it builds a venv.

torch and torchvision stay at their installed versions: the oldest builds include gigabytes of CUDA.
"""

import os
import subprocess
import venv
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INSTALLED = ("torch", "torchvision")

pytestmark = pytest.mark.skipif(not os.environ.get("DFD_FLOORS"), reason="`make floors` runs it")


def floors() -> list[str]:
    """The requirements, each pinned to its lower bound."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    bounds = [line.split(">=") for line in setup["options"]["install_requires"].split("\n") if line.strip("# ")]
    named = [(bound[0], bound[1].split(",")[0]) for bound in bounds if len(bound) == 2]
    return [f"{name}=={version(name) if name in INSTALLED else least}" for name, least in named]


@pytest.mark.timeout(1800)
def test_the_oldest_allowed_versions_work(small_dataset, tmp_path):
    assert len(floors()) >= 15
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"

    def run(*command: object) -> None:
        done = subprocess.run([str(c) for c in command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    source = tmp_path / "source"  # a copy, so that no build files are left in the tree
    run("git", "clone", "--quiet", ROOT, source)
    run(python, "-m", "pip", "install", "--quiet", *(f.replace("+cpu", "") for f in floors()), "setuptools")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", source)
    dfd = tmp_path / "venv" / "bin" / "dfd"
    run(dfd, "faces", small_dataset, "--out", "FACES")
    run(dfd, "crossval", "FACES", "--recipe", "tiny", "--folds", 2, "--out", "RUN")
    run(dfd, "bundle", "RUN", "--out", "BUNDLE")
    run(dfd, "predict", small_dataset, "--bundle", "BUNDLE", "--out", "s.csv")
