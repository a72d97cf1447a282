"""CPU cost of a network if the process keeps freed memory (dfd/memory.py), and if it does not.

`python -m benchmarks.memory`: a training step of `lstm` with 8 clips, and scoring 4 and 16 clips, each in a process.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from dfd.clips.sampling import ClipConfig
from dfd.memory import keep_freed_memory
from dfd.models import ModelConfig
from dfd.models.checkpoint import build_model
from dfd.report import terminal as show
from dfd.videos.workers import available_cores

ROUNDS = 6


def measure() -> list[tuple[str, float]]:
    """Wall seconds of each step, the best of ROUNDS; then the peak memory in gigabytes."""
    torch.manual_seed(0)
    torch.set_num_threads(available_cores())
    clip = ClipConfig(length=16, size=112)
    model = build_model(ModelConfig(name="lstm"), clip)
    clips = torch.randint(0, 256, (16, 3, 16, 112, 112), dtype=torch.uint8)

    def train() -> None:
        model(clips[:8]).square().mean().backward()

    def score(count: int) -> None:
        with torch.inference_mode():
            model(clips[:count])

    found = [("a training step, 8 clips", _best(train))]
    model.eval()
    found += [(f"{count} clips scored", _best(partial(score, count))) for count in (4, 16)]
    return [*found, ("peak GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)]


def _best(function: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Run both ways alternately, twice, and keep the better result of each."""
    runs: dict[str, list[list[tuple[str, float]]]] = {"as": [], "keep": []}
    for _ in range(2):
        for way, made in runs.items():
            out = subprocess.run([sys.executable, "-m", "benchmarks.memory", way], check=True, capture_output=True)
            lines = [line.rsplit(" ", 1) for line in out.stdout.decode().splitlines()]
            made.append([(what, float(value)) for what, value in lines])
    rows = []
    for number, (what, _) in enumerate(runs["as"][0]):
        before, after = (min(made[number][1] for made in runs[way]) for way in ("as", "keep"))
        rows.append({"what": what, "handed back": before, "kept": after, "ratio": f"{after / before:.2f}"})
    show.table(rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        if sys.argv[1] == "keep" and not keep_freed_memory():
            sys.exit("this C library has no mallopt")
        for what, value in measure():
            print(what, value)
    else:
        main()
