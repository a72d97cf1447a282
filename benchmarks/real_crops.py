"""The real pictures that a run has learned from, as a folder for `dfd faces`: another network makes blends of them.

    python -m benchmarks.real_crops PICTURES RUN OUT [--each 20]

PICTURES: the folder that the run's dataset was built from. RUN: what `dfd train --fold 0 --groups identity` wrote; the
people that it keeps aside stay out, so that both networks can be judged on them. OUT gets links to the pictures, at
most `--each` of a person, and an index.csv that names the people.
"""

import argparse
import os
from pathlib import Path

import pandas as pd


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_crops", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=20, help="pictures of a person at most")
    arguments = parser.parse_args()
    index = chosen(pd.read_csv(arguments.run / "split.csv"), arguments.each)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in index["file"]:
        if not (arguments.out / name).exists():
            os.link((arguments.pictures / name).resolve(), arguments.out / name)
    index.to_csv(arguments.out / "index.csv", index=False)
    print(f"{len(index)} pictures of {index['person'].nunique()} people in {arguments.out}")


def chosen(split: pd.DataFrame, each: int) -> pd.DataFrame:
    """The rows of an index.csv: real pictures outside fold 0 in a drawn order, at most `each` of a group."""
    real = split[(split["label"] == 0) & (split["fold"] != 0)].sample(frac=1, random_state=0)
    kept = real.groupby("group").head(each).sort_values("filename")
    return pd.DataFrame(
        {
            "file": kept["filename"],
            "label": "REAL",
            "source": kept["source"],
            "person": "dfdc_" + kept["group"].str.split(".").str[0],
        }
    )


if __name__ == "__main__":
    main()
