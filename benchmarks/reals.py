"""The real crops that a run was trained on, as a folder of their own: what the detector's second network blends.

    python -m benchmarks.reals RUN CROPS --out FOLDER

RUN: a finished or stopped run of dfd train. CROPS: the folder of pictures with an index.csv of which its dataset was
built. Copies the real pictures among those that RUN was trained on, and their rows of index.csv, so that
the people whom RUN holds out are in no training.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

INDEX = "index.csv"


def main(given: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reals", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("crops", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(given)
    print(f"{copy_reals(options.run, options.crops, options.out)} real crops are in {options.out}")


def copy_reals(run: Path, crops: Path, out: Path) -> int:
    """Copy the real pictures of `run` from `crops` into `out`, unless they are there. Returns their number."""
    learned = json.loads((run / "config.json").read_text(encoding="utf-8"))["videos"]
    with (crops / INDEX).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if learned.get(row["file"]) == 0]
    if not rows:
        raise SystemExit(
            f"{run} was trained on no real picture of {crops}: name the folder that its dataset was built of"
        )
    out.mkdir(parents=True, exist_ok=True)
    for row in rows:
        place = out / row["file"]
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(crops / row["file"], place)
    with (out / INDEX).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    main()
