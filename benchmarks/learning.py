"""Does it learn? Cross-validations of four kinds of networks on one face-track dataset, and their controls.

    python -m benchmarks.learning FACES VIDEOS --weights lite0.pt --pretrained RUN/checkpoints/last.ckpt --out OUT

Every row is a command that is run as it is printed; what is finished is not run again. OUT/learning.md is the report.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import controls

FRAME = {"clip.length": 1, "clip.clips": 16, "train.slices": 3, "train.batch": 32, "train.epochs": 4}
FROM_NOTHING = {"model.freeze": "none", "clip.length": 8, "clip.size": 96, "train.epochs": 16, "train.lr": 0.001}
MODELS: dict[str, dict[str, Any]] = {"frame": FRAME, "lstm": {}, "inflated": {}, "factorized": FROM_NOTHING}
"""Networks, and their differences from the recipe `cpu`: each step reads 32 frames; a fold has about 50 steps.
`factorized` is 3D from its first layer on, so it has no starting weights."""


@dataclass(frozen=True)
class Cell:
    """One cross-validation of the table."""

    model: str
    start: str
    blend: float
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.model}-{self.start}-{'blended' if self.blend else 'plain'}"


def cells(weights: Path, pretrained: Path | None) -> list[Cell]:
    """Every network from each starting point, with and without self-blended fakes."""
    made = []
    for model in MODELS:
        starts = {"nothing": None} if model == "factorized" else {"ImageNet": weights, "crops": pretrained}
        for start, path in starts.items():
            if start == "crops" and path is None:
                continue
            for blend in (0.0, 0.3):
                made.append(Cell(model, start, blend, tuple(_arguments(model, path, blend))))
    return made


def _arguments(model: str, weights: Path | None, blend: float) -> list[str]:
    given: dict[str, Any] = {"recipe": "cpu", "model.name": model, "train.self-blend": blend, **MODELS[model]}
    if weights is not None:
        given["model.weights"] = weights
    return [part for name, value in given.items() for part in (f"--{name}", f"{value}")]


def crossval(faces: Path, cell: Cell, out: Path) -> tuple[str, dict[str, Any]]:
    """The command of a cell and its score; runs the command if the score is missing."""
    place = out / cell.name
    command = ["crossval", str(faces), *cell.arguments, "--folds", "5", "--track", "none", "--out", str(place)]
    if not (place / "score.json").is_file():
        print(f"dfd {shlex.join(command)}", flush=True)
        subprocess.run([sys.executable, "-m", "dfd", *command], check=True, stdout=subprocess.DEVNULL)
    score: dict[str, Any] = json.loads((place / "score.json").read_text(encoding="utf-8"))
    return f"dfd {shlex.join(command)}", score


def report(rows: Sequence[tuple[Cell, str, dict[str, Any]]], checks: Sequence[dict[str, Any]]) -> str:
    """Return the tables and commands as Markdown."""
    lines = [
        "| network | starts from | self-blended fakes | balanced log loss | 95 % interval | AUC | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell, _, about in rows:
        score = about["score"]
        figures = [f"{score['balanced_log_loss']:.3f}", _between(score["balanced_log_loss_interval"])]
        figures += [f"{score['auc']:.3f}", _between(score["auc_interval"])]
        lines.append(" | ".join([f"| `{cell.model}`", cell.start, f"{cell.blend:.0%}", *figures]) + " |")
    lines += ["", "| control | what it should give | AUC | balanced log loss |", "|---|---|---|---|"]
    for check in checks:
        loss = "–" if check["balanced_log_loss"] is None else f"{check['balanced_log_loss']:.3f}"
        lines.append(f"| {check['control']} | {check['expected']} | {check['auc']:.3f} | {loss} |")
    commands = [f"    {command}" for _, command, _ in rows]
    return "\n".join([*lines, "", "The commands of the first table, in its order:", "", *commands, ""])


def _between(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("faces", type=Path, help="a face-track dataset")
    parser.add_argument("videos", type=Path, help="the videos that it was made of")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights: dfd weights imagenet-lite0")
    parser.add_argument("--pretrained", type=Path, help="a checkpoint of the recipe stills")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = [(cell, *crossval(asked.faces, cell, asked.out)) for cell in cells(asked.weights, asked.pretrained)]
    checks = controls.measure(asked.faces, asked.videos, asked.weights, asked.out)
    (asked.out / "learning.md").write_text(report(rows, checks), encoding="utf-8")
    print(f"Wrote {asked.out / 'learning.md'}.")


if __name__ == "__main__":
    main()
