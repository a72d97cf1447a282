import subprocess
import sys

import pytest

from dfd.memory import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from dfd.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """Page faults for ten consecutive arrays of 64 MB."""
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked")
def test_an_array_reuses_the_memory_of_the_previous_one():
    handed_back, kept = faults("as it is"), faults("keep")
    assert handed_back >= 10 * 32  # huge pages; with ordinary pages 16,384 per round
    assert kept < handed_back / 5


def test_other_systems_are_left_unchanged(monkeypatch):
    monkeypatch.setattr("dfd.memory.sys.platform", "darwin")
    assert not keep_freed_memory()
