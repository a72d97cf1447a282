"""What training on few clips makes of a detector: cross-validations from one network, and that network as it is.

    python -m benchmarks.learning FACES --out OUT [--weights FILE] [--people FILE] [--part NAME=REGEX …]
        [--controls VIDEOS LITE0]

Every row is a `dfd crossval` that is run as it is printed, in the same folds; finished rows are kept. The last rows are
networks of clips, trained with self-blended fakes that change over time, and `frame` trained alike, which they must
beat. --people, a file of `dfd weights identity`, keeps videos that show one face in one fold. --part adds a column:
the AUC on the videos whose names match. OUT/learning.md is the report.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import controls
from dfd.inference.info import shipped
from dfd.inference.oof import OutOfFold, read_oof
from dfd.models.checkpoint import load_model
from dfd.scoring.metrics import compare, evaluate

START = "as it is"
CLIPS = {
    **{"clip.length": 8, "clip.fps": 7.5, "clip.clips": 4, "train.batch": 8, "train.self-blend": 0.3},
    **{"train.epochs": 3, "train.slices": 1, "train.ema": 0.9, "model.dropout": 0.3, "train.lr": 1e-3},
}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    START: ("stills", {}),
    "recipe `finetune`": ("finetune", {}),
    "recipe `stills`": ("stills", {}),
    "its head alone": ("finetune", {"train.lr": 1e-3, "model.freeze": "all"}),
    "recipe `cpu`": ("cpu", {}),
    "clips, `frame`": ("stills", {**CLIPS, "model.freeze": "all"}),
    "clips, `lstm`": ("stills", {**CLIPS, "model.freeze": "all", "model.name": "lstm"}),
    "clips, `attention`": ("stills", {**CLIPS, "model.freeze": "all", "model.name": "attention"}),
    "clips, `time_only`": ("stills", {**CLIPS, "model.freeze": "all", "model.name": "time_only"}),
    "clips, `inflated`": ("stills", {**CLIPS, "model.name": "inflated", "train.lr": 1e-4}),
}
"""Name of each row, its recipe and what it changes. Backbone, margin and size are those of its start."""


def command(faces: Path, name: str, weights: Path, out: Path, people: Path | None) -> list[str]:
    """The `dfd crossval` of a row. people: weights that tell faces apart, for folds of other people."""
    recipe, changes = ROWS[name]
    header = load_model(weights)[1]
    given = {"recipe": recipe, "model.weights": weights, "model.backbone": header.model.backbone}
    given |= {"clip.margin": header.clip.margin, "clip.size": header.clip.size, **changes}
    words = [part for key, value in given.items() for part in (f"--{key}", f"{value}")]
    folds = ["--folds-of", f"{out / place(START)}"]
    if name == START:
        folds = ["--zero-shot", "--folds", "5"]
        folds += ["--groups", "identity", "--identity-weights", f"{people}"] if people else []
    return ["crossval", f"{faces}", *words, *folds, "--allow-seen", "--track", "none", "--out", f"{out / place(name)}"]


def place(name: str) -> str:
    """The folder of a row in OUT.

    >>> place("clips, `lstm`")
    'clips-lstm'
    """
    return re.sub(r"\W+", "-", name).strip("-")


def predictions(faces: Path, name: str, weights: Path, out: Path, people: Path | None) -> OutOfFold:
    """The out-of-fold predictions of a row; runs its command if they are missing."""
    run = out / place(name)
    if not (run / "score.json").is_file():
        words = command(faces, name, weights, out, people)
        print(f"dfd {shlex.join(words)}", flush=True)
        subprocess.run([sys.executable, "-m", "dfd", *words], check=True, stdout=subprocess.DEVNULL)
    found = read_oof(run)
    assert found is not None, f"{run} has no folds.csv"
    return found


def row(name: str, of: OutOfFold, start: OutOfFold, parts: Mapping[str, str]) -> dict[str, str]:
    """A row of the table. Intervals resample groups."""
    labels, groups = of.labels(), of.groups()
    order = list(labels)
    known, clustered = [labels[video] for video in order], [groups[video] for video in order]
    mine, first = ({score.name: score.probability for score in oof.scores} for oof in (of, start))
    score = evaluate(known, [mine[video] for video in order], clustered)
    against = compare(known, [first[video] for video in order], [mine[video] for video in order], clustered)
    figures = {
        "network": name,
        "balanced log loss": f"{score['balanced_log_loss']:.3f} ({_between(score['balanced_log_loss_interval'])})",
        "AUC": f"{score['auc']:.3f} ({_between(score['auc_interval'])})",
    }
    for part, pattern in parts.items():
        some = [video for video in order if re.search(pattern, video)]
        auc = evaluate([labels[video] for video in some], [mine[video] for video in some], rounds=0)["auc"]
        figures[part] = "–" if auc is None else f"{auc:.2f}"
    change = f"{against['balanced_log_loss']:+.3f} ({_between(against['balanced_log_loss_interval'], '+')})"
    return {**figures, "loss, against the start": "" if name == START else change}


def _between(interval: Sequence[float], sign: str = "") -> str:
    return "{:{sign}.3f} to {:{sign}.3f}".format(*interval, sign=sign)


def markdown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The lines of a table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return [*lines, *("| " + " | ".join(each.values()) + " |" for each in rows)]


def report(rows: Sequence[Mapping[str, str]], checks: Sequence[Mapping[str, Any]], commands: Sequence[str]) -> str:
    """Tables and commands as Markdown."""
    found = [
        {
            "control": check["control"],
            "what it should give": check["expected"],
            "AUC": f"{check['auc']:.3f}",
            "balanced log loss": "–" if check["balanced_log_loss"] is None else f"{check['balanced_log_loss']:.3f}",
        }
        for check in checks
    ]
    tables = [*markdown(rows), *(["", *markdown(found)] if found else [])]
    return "\n".join([*tables, "", "The commands of the first table, in its order:", "", *commands, ""])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("faces", type=Path, help="a labelled dataset of dfd faces, of videos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=shipped() / "member-1.pt", help="the network to start from")
    parser.add_argument("--people", type=Path, help="weights that tell faces apart: folds of other people")
    parser.add_argument("--part", action="append", default=[], metavar="NAME=REGEX")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only these rows, and the first")
    parser.add_argument("--controls", nargs=2, type=Path, metavar=("VIDEOS", "LITE0"), help="also run the controls")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in ROWS if name == START or not asked.row or name in asked.row]
    given = (asked.weights, asked.out, asked.people)
    found = {name: predictions(asked.faces, name, *given) for name in names}
    parts = dict(part.partition("=")[::2] for part in asked.part)
    rows = [row(name, of, found[START], parts) for name, of in found.items()]
    checks = []
    if asked.controls:
        videos, lite0 = asked.controls
        checks = controls.measure(asked.faces, videos, lite0, asked.out)
    commands = [f"    dfd {shlex.join(command(asked.faces, name, *given))}" for name in names]
    (asked.out / "learning.md").write_text(report(rows, checks, commands), encoding="utf-8")
    print("\n".join(markdown(rows)))
    print(f"Wrote {asked.out / 'learning.md'}.")


if __name__ == "__main__":
    main()
