"""Score a submission as long as DFDC's training set: 119,146 rows in 19,154 groups, 1,000 bootstrap rounds."""

import resource
from pathlib import Path

import numpy as np

from benchmarks.subject import best_of
from dfd.scoring.submission import score_submission, write_submission

ROWS, GROUPS, FAKES = 119_146, 19_154, 0.839


def measure(folder: Path) -> list[dict[str, object]]:
    """One row: `dfd score` without start-up."""
    rng = np.random.default_rng(0)
    labels = {f"{number:06d}.mp4": int(rng.random() < FAKES) for number in range(ROWS)}
    groups = {name: str(rng.integers(GROUPS)) for name in labels}
    path = folder / "submission.csv"
    write_submission(path, {name: float(rng.beta(2 + label, 3 - label)) for name, label in labels.items()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = best_of(lambda: score_submission(path, labels, groups, rounds=1000), 2)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    what = f"score of {ROWS:,} rows, 1,000 bootstrap rounds: {grown:.0f} MB on top"
    return [{"what": what, "wall s": cost.wall, "CPU s": cost.cpu, "CPU to the floor": ""}]
