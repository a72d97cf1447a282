"""What pages cost: `dfd explain` against `dfd predict` on one video, `dfd report` of a dataset as large as DFDC.

    python -m benchmarks.pages VIDEO FACES [--videos 119146]

The large dataset repeats the videos of FACES under other names; its crops are hard links to those of FACES, so FACES
must be on the file system of the temporary folder (TMPDIR).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from dfd.faces.film import SUFFIX
from dfd.faces.store import SETTINGS, FaceStore
from dfd.report import terminal as show

ROUNDS = 3
DFDC = 119146
PART = 2400
"""Videos in a part of the large dataset, about as many as in one of DFDC's fifty."""
FAKES = 5 / 6


def run(*words: str) -> tuple[float, float]:
    """Wall seconds and the peak memory in GB, of the largest process, of a dfd command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dfd", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"dfd {' '.join(words)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def explained(video: Path, folder: Path) -> list[dict[str, object]]:
    """Rows of the median seconds of `dfd predict` and `dfd explain`, run alternately."""
    seconds: dict[str, list[float]] = {"predict": [], "explain": []}
    for _ in range(ROUNDS):
        seconds["predict"].append(run("predict", f"{video}")[0])
        seconds["explain"].append(run("explain", f"{video}", "--out", f"{folder / 'page.html'}")[0])
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return [
        {"what": f"dfd {name}", "wall s": found, "to predict": found / medians["predict"]}
        for name, found in medians.items()
    ]


def repeat(faces: Path, into: Path, count: int) -> None:
    """Build a dataset of `count` videos in `into` from those of `faces`. Labels are drawn."""
    into.mkdir()
    shutil.copy(faces / SETTINGS, into)
    given, large, draw = FaceStore.open(faces), FaceStore.open(into), random.Random(0)
    tables = {name: pd.read_csv(faces / name, dtype={"video": str}) for name in ("videos.csv", "tracklets.csv")}
    names = tables["videos.csv"]["video"].tolist()
    made = pd.DataFrame({"old": [names[number % len(names)] for number in range(count)]})
    made["video"] = made["source"] = [f"part_{number // PART}/{number:06d}.mp4" for number in range(count)]
    made["label"] = [int(draw.random() < FAKES) for _ in range(count)]
    for name, table in tables.items():
        new = made.merge(table.drop(columns=["source", "label"]).rename(columns={"video": "old"}), on="old")
        new[table.columns].to_csv(into / name, index=False)
    records = {name: json.loads(given.place(name).read_text()) for name in names}
    for row in made.to_dict("records"):
        old, place = records[row["old"]], large.place(row["video"])
        place.parent.mkdir(parents=True, exist_ok=True)
        film = old["film"] and f"{place.stem}{SUFFIX}"
        if film:
            (place.parent / film).hardlink_to(given.place(row["old"]).parent / old["film"])
        row.pop("old")
        place.write_text(json.dumps({**old, **row, "film": film}))


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--videos", type=int, default=DFDC)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dfd-bench-") as folder:
        show.table(explained(given.video, Path(folder)), f"Pages of {given.video.name}")
        repeat(given.faces, Path(folder) / "faces", given.videos)
        page = Path(folder) / "faces.html"
        seconds, memory = run("report", f"{Path(folder) / 'faces'}", "--out", f"{page}")
        size = page.stat().st_size / 1e6
        row = {"videos": given.videos, "wall s": seconds, "peak GB": memory, "page MB": size}
        show.table([row], "dfd report of a large dataset")


if __name__ == "__main__":
    main()
