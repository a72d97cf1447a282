"""Runs every benchmark on one video and prints ratios within this run: seconds alone say more of the machine."""

import argparse
import tempfile
from pathlib import Path

from benchmarks import clips, faces, scoring
from benchmarks.subject import find_video
from dfd.report import terminal as show


def main() -> None:
    """`python -m benchmarks [VIDEO]`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, help="a 1080p video of about 10 seconds with a face")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as folder:
        video = arguments.video or find_video(Path(folder))
        store = Path(folder) / "faces"
        rows = [*scoring.measure(Path(folder)), *faces.measure(video, store), *clips.measure(video, store)]
    show.table(rows)


if __name__ == "__main__":
    main()
