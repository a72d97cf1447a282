"""Runs every benchmark on the same videos and prints ratios within this run: seconds depend on the machine."""

import argparse
import tempfile
from pathlib import Path

from benchmarks import clips, faces, prediction, scoring, training
from benchmarks.subject import find_videos
from dfd.memory import keep_freed_memory
from dfd.report import terminal as show


def main() -> None:
    """`python -m benchmarks [VIDEO…]`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="1080p videos of about 10 seconds with a face")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the command line does
    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as folder:
        videos = arguments.videos or find_videos(Path(folder))
        store = Path(folder) / "faces"
        predicted = prediction.measure(videos, Path(folder))
        rows, floor = faces.measure(videos, store)
        rows += prediction.rows(*predicted, floor)
        rows += [*clips.measure(videos[-1], store), *scoring.measure(Path(folder))]
        trained = training.measure(Path(folder) / "training")
    show.table(rows)
    show.table(trained, "Training")


if __name__ == "__main__":
    main()
