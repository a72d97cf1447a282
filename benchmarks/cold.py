"""Wall seconds, step by step, from a cold shell to one clip's row in the submission.

`python -m benchmarks.cold VIDEO BUNDLE`. A cold shell is a new process; only the disk cache is warm.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dfd.report import terminal as show

ROUNDS = 3
STEPS = {
    "Python starts": "pass",
    "and the command line": "import dfd.cli",
    "and what a prediction takes before its workers start": "import dfd.cli.inference",
    "a worker: torch, the detector's networks": "import dfd.faces.tracklets as t; t.load_detector()",
    "meanwhile: torch, timm, the networks of the bundle": (
        "from pathlib import Path; from dfd.inference.bundle import load_bundle; load_bundle(Path({bundle!r}))"
    ),
    "the clip's faces found and cut out, all loaded": (
        "import time; from pathlib import Path; import dfd.faces.tracklets as t; t.load_detector();"
        "from dfd.cores import use_one_core; use_one_core();"
        "from dfd.clips.sampling import ScoredClips; from dfd.inference.info import read_info;"
        "from dfd.faces.recorder import in_memory; from dfd.types import Video;"
        "info = read_info(Path({bundle!r})); wanted = ScoredClips(tuple(m.clip for m in info.members));"
        "start = time.perf_counter(); in_memory(Video(Path({video!r}), 'a'), info.faces, wanted);"
        "print(time.perf_counter() - start)"
    ),
}
"""Programs to time; if one prints a number, that is its own timing."""


def measure(video: Path, bundle: Path) -> list[dict[str, object]]:
    """Rows of wall seconds, each the median of ROUNDS."""
    rows: list[dict[str, object]] = []
    for what, code in STEPS.items():
        command = [sys.executable, "-c", code.format(bundle=str(bundle), video=str(video))]
        rows.append({"what": what, "wall s": statistics.median(_seconds(command) for _ in range(ROUNDS))})
    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as folder:
        out = ["--out", str(Path(folder) / "s.csv")]
        command = [sys.executable, "-m", "dfd", "predict", str(video), "--bundle", str(bundle), *out]
        whole = statistics.median(_seconds(command) for _ in range(ROUNDS))
    return [*rows, {"what": "dfd predict VIDEO: all of it", "wall s": whole}]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    passed = time.perf_counter() - start
    try:
        return float(printed)
    except ValueError:
        return passed


if __name__ == "__main__":
    show.table(measure(Path(sys.argv[1]), Path(sys.argv[2])))
