"""Bars and tables on the terminal. In a file or a pipe there are no colours, and bars become lines."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from dfd.report.lines import EVERY, Lines
from dfd.report.verdict import CAUTION, STATUS_MEANS, counted, counts, doubted, suspects, verdict
from dfd.scoring.metrics import explain_score
from dfd.scoring.seen import SEEN
from dfd.scoring.sets import NOTE, SETS

if TYPE_CHECKING:  # both import torch, which printing a score does not need
    from dfd.inference.predict import Prediction
    from dfd.scoring.decide import Decision
    from dfd.scoring.ensemble import Blend
    from dfd.scoring.set_blend import SetBlend

SHOWN = 12
"""Maximum number of reasons printed; the files have all of them."""

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str, style: str | None = None) -> None:
    """Print a line of plain text."""
    console.print(text, style=style, markup=False)


def page(path: Path, size: int) -> None:
    """Print where a page is. size: in bytes."""
    say(f"Wrote {path}, {size / 1e3:,.0f} kB: open it in a browser.")


def tell(text: str) -> None:
    """Print a progress message on stderr; results go to stdout."""
    errors.print(text, markup=False)


def json(value: Any) -> None:
    """Print one JSON object and nothing else, for other programs."""
    print(jsonlib.dumps(value, indent=1))


@contextmanager
def bar(what: str, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> Iterator[Any]:
    """A progress bar on stderr with the time left, as a function (number done, total, name of the last) -> None.

    If stderr is a file or a pipe, prints a line at most every `every` seconds of `clock` instead.
    """
    if not errors.is_terminal:
        yield Lines(what, tell, every, clock)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[last]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as progress:
        task = progress.add_task(what, total=None, last="")

        def move(done: int, total: int, last: str) -> None:
            progress.update(task, completed=done, total=total, last=last[-32:])

        yield move


def table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows with equal keys as a table, with numbers right-aligned."""
    if not rows:
        return
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in rows[0].items():
        number = isinstance(value, int | float) or (
            isinstance(value, str) and value.replace(",", "").replace(".", "").isdigit()
        )
        drawn.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row.values()))
    wide = Console(file=sys.stdout, highlight=False, width=console.width if console.is_terminal else 160, markup=False)
    wide.print(drawn)


def statuses(counts: Mapping[str, int], fell_back: Sequence[Mapping[str, str]] = (), ok: str = "scored") -> None:
    """Print the number of videos by status, and reasons of the first that fell back. ok: name of the good status."""
    means = {"ok": ok, **STATUS_MEANS}
    table([{"status": name, "videos": count, "meaning": means[name]} for name, count in counts.items()])
    if fell_back:
        say("")
        table([{"filename": r["filename"], "status": r["status"], "reason": r["reason"]} for r in fell_back[:SHOWN]])
        if len(fell_back) > SHOWN:
            say(f"… and {len(fell_back) - SHOWN} more")


def score(result: Mapping[str, Any]) -> None:
    """Print the measures of a submission, each log loss with its class mix, and explain them."""
    mix, confusion = f"this mix, {result['fakes']:,} fake of {result['videos']:,}", result["confusion"]
    rows = [
        ("balanced log loss", "balanced_log_loss", "half fakes, as the test was: the score to compare"),
        ("log loss", "log_loss", mix),
        ("  of the real", "real_log_loss", ""),
        ("  of the fakes", "fake_log_loss", ""),
        ("AUC", "auc", "how often a fake scores above a real video; chance level 0.5"),
        ("average precision", "average_precision", f"chance level {result['fakes'] / result['videos']:.2f}"),
        ("equal error rate", "equal_error_rate", "share wrong in each class where both are equal; chance level 0.5"),
        ("accuracy", "accuracy", mix),
        ("  of the real", "real_accuracy", "{real_as_real:,} as real, {real_as_fake:,} as fake".format(**confusion)),
        ("  of the fakes", "fake_accuracy", "{fake_as_real:,} as real, {fake_as_fake:,} as fake".format(**confusion)),
        ("average error", "average_error", "mean |probability - label|"),
        ("quantized average error", "quantized_average_error", "share on the wrong side of 0.5"),
        ("Brier score", "brier", "mean squared error of the probability"),
        ("calibration error", "calibration_error", "mean gap of probability and share of fakes, in 15 bins"),
    ]
    shown = []
    for name, key, note in rows:
        between = _between(result.get(f"{key}_interval"))
        shown.append({"measure": name, "value": result.get(key), "95 % interval": between, "of": note})
    table(shown)
    sets(result.get(SETS, {}))
    say("")
    for line in explain_score(dict(result)):
        say(line)
    if result.get(NOTE):
        say(f"Mind that {result[NOTE]}.")
    if result.get(SEEN):
        say(
            f"Warning: the starting weights had seen {result[SEEN]} of these {result['videos']}, or their sources or "
            "group: this is no score on unseen videos.",
            "yellow",
        )


def sets(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print each dataset's measures, since the pooled score hides differences between datasets."""
    rows = [
        {"dataset": name, "videos": alone["videos"], "fakes": alone["fakes"], **_brief(alone)}
        for name, alone in found.items()
    ]
    table(rows, "Each dataset alone")


def decision(made: Decision) -> None:
    """Print a bundle's rule from logits to a probability, and the reason for it."""
    how, fitted = made.rule.aggregation, made.rule.calibration
    curve = (
        f"{len(fitted.knots)} knots" if fitted.knots else f"sigmoid({fitted.scale:.3f} * logit {fitted.offset:+.3f})"
    )
    say(f"Rule for the bundle: faces by {how.faces}, segments by {how.segments}, {fitted.method}: {curve}.")
    say(f"Why: {made.reason}.")


def start(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Compare the starting weights with the trained model, and warn if training made it worse."""
    rows = [
        {"model": name, **_brief(result)}
        for name, result in (("the starting weights as they are", before), ("trained on the other folds", after))
    ]
    table(rows, "What training changed")
    worse = before["against"]["balanced_log_loss"]
    between = _between(before["against"]["balanced_log_loss_interval"])
    if worse > 0:
        say(
            f"Training made it WORSE by {worse:.3f} in balanced log loss ({between}): keep the starting weights.",
            "yellow",
        )
    else:
        say(f"Training took {-worse:.3f} off the balanced log loss (difference {between}).")


def distortions(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare a cross-validation's scores on distorted and on undistorted videos."""
    rows = []
    for name, result in found.items():
        lost = result.get("against", {})
        rows.append(
            {
                "distortion": name,
                "balanced log loss": result["balanced_log_loss"],
                "95 % interval": _between(result["balanced_log_loss_interval"]),
                "worse by": lost.get("balanced_log_loss"),
                "95 % interval of that": _between(lost.get("balanced_log_loss_interval")),
                "AUC": result["auc"],
                "what happened": result["means"],
            }
        )
    seen = any(result.get(SEEN) for result in found.values())
    table(rows, f"The same models, and the videos that they have {'' if seen else 'not '}seen, distorted")


def blend(made: Blend, runs: Sequence[Path]) -> None:
    """Print the weights of several runs in a bundle, and the reason for them."""
    alone = made.alone or (None,) * len(runs)
    table(
        [
            {"run": str(run), "balanced log loss alone": loss, "weight": weight}
            for run, loss, weight in zip(runs, alone, made.weights, strict=True)
        ]
    )
    say(f"Why: {made.reason}.")


def set_blend(made: SetBlend, runs: Sequence[Path]) -> None:
    """Print the weights of several runs, and the measures of their blend on each set when fitted on the others."""
    table([{"run": str(run), "weight": weight} for run, weight in zip(runs, made.weights, strict=True)])
    table(
        [
            {
                "set": name,
                "videos": measures["videos"],
                "balanced log loss": measures["balanced_log_loss"],
                "95 % interval": _between(measures.get("balanced_log_loss_interval")),
                "AUC": measures["auc"],
                "AUC of each run": " ".join(f"{auc:.3f}" for auc in measures["alone"]),
            }
            for name, measures in made.sets.items()
        ],
        "Each set, weights and temperature fitted on the others",
    )


def prediction(made: Prediction, out: Path | None) -> None:
    """Print a prediction: the verdict on one video, or the most suspicious of several and the counts by status.

    out: the submission; None if it is not kept.
    """
    report = made.report()
    if len(made.scores) == 1:
        say(verdict(made.scores[0]))
        if made.scores[0].status == "ok" and made.scores[0].reason:
            say(f"Note: {made.scores[0].reason}.")
    else:
        _several(made, report)
    if out:
        say(f"Wrote {out}: {counted(report['videos'], 'row')} in {report['seconds']:.1f} s.")


def _several(made: Prediction, report: Mapping[str, Any]) -> None:
    """Print several videos, with a warning when many fell back."""
    if rows := suspects(made.scores):
        table(rows, "The most suspicious")
    say(f"{counts(made.scores)} {CAUTION}")
    if doubts := doubted(made.scores):
        say(doubts)
    say("")
    statuses(report["statuses"], report["fell_back"])
    if report["resumed"]:
        say(f"From an earlier run that was stopped: {counted(report['resumed'], 'row')}.")
    if list(report["speeds"]) not in ([], ["full"]):
        say("")
        table([{"speed": speed, "videos": count} for speed, count in report["speeds"].items()])
    if report["caveats"]:
        say(f"Scored with a caveat: {counted(len(report['caveats']), 'video')}; the report (--report) says which.")
    share = len(report["fell_back"]) / max(1, report["videos"])
    if share > 0.05:
        say(f"Warning: {share:.0%} of the rows could not be scored and say 0.5.", "yellow")


def _brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """The score to compare, with its interval, and the AUC."""
    return {
        "balanced log loss": result["balanced_log_loss"],
        "95 % interval": _between(result["balanced_log_loss_interval"]),
        "AUC": result["auc"],
    }


def _between(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
