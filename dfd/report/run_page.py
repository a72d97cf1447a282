"""The page of a run, or of two runs side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

import dfd
from dfd.clips.made import PREFIX
from dfd.errors import ConfigError
from dfd.faces.store import file_name
from dfd.faces.tables import read_tables
from dfd.report import run_plots as plots
from dfd.report.faces import Face, face_picture
from dfd.report.page import render, write_page
from dfd.report.run_facts import RunFacts, read_run
from dfd.report.run_parts import Row, between, fold_rows, parts
from dfd.report.verdict import CAUTION, words
from dfd.scoring.board import SHIFT, compare_with_board
from dfd.scoring.metrics import compare, explain_score
from dfd.scoring.seen import SEEN
from dfd.scoring.sets import NOTE
from dfd.types import VideoScore

WORST = 20
"""Number of videos shown with the highest loss."""
NAMED = 200
"""Maximum number of names listed per fold."""
MEASURES = {
    "balanced log loss": "balanced_log_loss",
    "log loss": "log_loss",
    "AUC": "auc",
    "average precision": "average_precision",
    "equal error rate": "equal_error_rate",
    "accuracy": "accuracy",
    "Brier score": "brier",
    "calibration error": "calibration_error",
}


@dataclass(frozen=True)
class FoldList:
    """The contents of a fold: groups with their number of videos, and people if named. more: number not listed."""

    title: str
    groups: list[str]
    people: list[str]
    more: int


@dataclass(frozen=True)
class RunView:
    """The template values for one run: numbers, plots and images."""

    name: str
    facts: RunFacts
    about: list[Row]
    measures: list[Row]
    board: list[Row]
    said: list[str]
    plots: Mapping[str, Markup]
    curves: list[Markup]
    folds: list[Row]
    members: list[FoldList]
    parts: list[tuple[str, list[Row]]]
    worst: list[Face]
    distortions: list[Row]
    start: list[Row]


def write_run_page(runs: Sequence[Path], out: Path, faces: Sequence[Path] = (), pages: Path | None = None) -> int:
    """Write the page of one run, or of two side by side, to `out`. Returns its size in bytes.

    faces: their datasets; by default the recorded ones. pages: a folder with pages of dfd explain, named like the
    videos in a dataset; the worst videos link to them. Raises ConfigError for other than one or two runs, a folder that
    is not a run, or a malformed file; StoreError like read_run.
    """
    if not 1 <= len(runs) <= 2:
        raise ConfigError(f"{len(runs)} runs are named: a page shows one, or two side by side")
    facts = [read_run(run, faces) for run in runs]
    views = [_view(run, partial(_link, pages, out)) for run in facts]
    both = _both(facts) if len(facts) == 2 else {}
    shared = {"version": dfd.__version__, "caution": CAUTION, "shift": SHIFT, "worst": WORST}
    return write_page(out, render("run.html", runs=views, both=both, **shared))


def _link(pages: Path | None, out: Path, name: str) -> str:
    """Relative address of a video's page in the folder `pages`, as seen from `out`; empty if there is none."""
    page = pages / f"{file_name(name)}.html" if pages else None
    return quote(Path(relpath(page, out.parent)).as_posix()) if page and page.is_file() else ""


def _view(run: RunFacts, link: Callable[[str], str]) -> RunView:
    scored, score = not run.videos.empty, run.score
    people = _people(run) if run.folds else {}
    drawn = {}
    if scored:
        drawn = {
            "roc": plots.roc_plot([run]),
            "histogram": plots.histogram_plot(run.videos),
            "reliability": plots.reliability_plot(run.videos),
        }
    return RunView(
        name=run.name,
        facts=run,
        about=_about(run),
        measures=_measures(score),
        board=_board(score),
        said=_said(score),
        plots=drawn,
        curves=plots.curve_plots(run.curve) if len(run.curve) else [],
        folds=fold_rows(run.folds, people),
        members=[_members(rows, people) for rows in run.folds],
        parts=list(parts(run.videos)) if scored else [],
        worst=_worst(run, link) if scored else [],
        distortions=_distortions(run.distortions),
        start=_start(run),
    )


def _about(run: RunFacts) -> list[Row]:
    """The training settings, one row each."""
    recipe = run.config.get("recipe", {})
    model, clip, train = (recipe.get(part, {}) for part in ("model", "clip", "train"))
    settings = {
        "network": " ".join(str(model[key]) for key in ("name", "backbone") if model.get(key)),
        "starting weights": Path(str(model["weights"])).name if model.get("weights") else "none",
        "frames of a clip": str(clip.get("length", "")),
        "pixels and margin of a clip": f"{clip.get('size', '?')}, {clip.get('margin', '?')}",
        "epochs": str(train.get("epochs", "")),
        "parameters": f"{run.config.get('parameters', 0):,}",
        "dfd": run.config.get("versions", {}).get("dfd"),
    }
    return [{"setting": key, "value": value} for key, value in settings.items() if value] if recipe else []


def _measures(score: Mapping[str, Any]) -> list[Row]:
    return [
        {"measure": name, "value": score.get(key), "95 % interval": between(score.get(f"{key}_interval"))}
        for name, key in MEASURES.items()
        if key in score
    ]


def _board(score: Mapping[str, Any]) -> list[Row]:
    loss = score.get("balanced_log_loss")
    if loss is None:
        return []
    rows = compare_with_board(loss)
    interval = between(score.get("balanced_log_loss_interval"))
    return [
        {**row, "entry": f"this run, out of fold ({interval})" if row["entry"].startswith("this") else row["entry"]}
        for row in rows
    ]


def _said(score: Mapping[str, Any]) -> list[str]:
    """Explanations of the numbers, and caveats."""
    if not score:
        return []
    lines = explain_score(score)
    if score.get(NOTE):
        lines.append(f"Mind that {score[NOTE]}.")
    if score.get(SEEN):
        lines.append(f"The starting weights had seen {score[SEEN]} of these videos: this is no score on unseen videos.")
    return lines


def _people(run: RunFacts) -> dict[str, tuple[str, ...]]:
    """The people in each video, from the datasets' tables."""
    tables = [read_tables(store.folder)[0] for store in run.stores]
    rows = (row for table in tables for row in zip(table["video"], table["people"], strict=True))
    known = {name: tuple(people.split()) for name, people in rows if people}
    shown = {name: known.get(name.removeprefix(PREFIX), ()) for name in run.videos["filename"]}
    return {name: people for name, people in shown.items() if people}


def _members(rows: pd.DataFrame, people: Mapping[str, tuple[str, ...]]) -> FoldList:
    counts = rows["group"].value_counts(sort=False)
    groups = [f"{name} ({count} videos)" if count > 1 else str(name) for name, count in counts.items()]
    who = sorted({person for name in rows["filename"] for person in people.get(name, ())})
    title = f"Fold {int(rows['fold'].iloc[0])}: {len(groups)} groups" + (f", {len(who)} people" if who else "")
    return FoldList(title, groups[:NAMED], who[:NAMED], max(0, len(groups) - NAMED) + max(0, len(who) - NAMED))


def _worst(run: RunFacts, link: Callable[[str], str]) -> list[Face]:
    """The videos with the highest loss, confident mistakes first."""
    found = []
    for row in run.videos.nlargest(WORST, "loss").to_dict("records"):
        name, label = str(row["filename"]), "fake" if row["label"] else "real"
        records = (store.named(name.removeprefix(PREFIX)) for store in run.stores)
        record = next((record for record in records if record), None)
        verdict = words(VideoScore(name, row["probability"], row["status"]))
        lines = [f"{label}, scored {row['probability']:.2f}", f"{verdict}; loss {row['loss']:.2f}"]
        lines += [f"fold {row['fold']}"] if row["fold"] >= 0 else []
        lines += [row["reason"]] if row["reason"] else []
        found.append(Face(name, face_picture(record), tuple(lines), link(name)))
    return found


def _distortions(found: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "distortion": name,
            "balanced log loss": result["balanced_log_loss"],
            "95 % interval": between(result.get("balanced_log_loss_interval")),
            "worse by": result.get("against", {}).get("balanced_log_loss"),
            "AUC": result["auc"],
            "what happened": result.get("means", ""),
        }
        for name, result in found.items()
    ]


def _start(run: RunFacts) -> list[Row]:
    """Compare the starting weights with the trained model."""
    both = (("the starting weights as they are", run.start), ("trained on the other folds", run.score))
    return [{"model": name, **_brief(score)} for name, score in both] if run.start and run.score else []


def _brief(score: Mapping[str, Any]) -> Row:
    loss, interval = score.get("balanced_log_loss"), between(score.get("balanced_log_loss_interval"))
    return {"balanced log loss": loss, "95 % interval": interval, "AUC": score.get("auc")}


def _both(runs: Sequence[RunFacts]) -> dict[str, Any]:
    """What a page of two runs shows of both: which is better on shared videos, and how their settings differ."""
    a, b = runs
    names = (f"A, {a.name}", f"B, {b.name}")
    rows = [
        {"measure": one["measure"], names[0]: one["value"], names[1]: two["value"]}
        for one, two in zip(_measures(a.score), _measures(b.score), strict=False)
    ]
    scored = [run for run in runs if not run.videos.empty]
    return {
        "sentence": _compared(a, b) if len(scored) == 2 else "One of them has no score to compare.",
        "rows": rows,
        "roc": plots.roc_plot(scored) if len(scored) == 2 else "",
        "settings": [
            {"setting": key, names[0]: one, names[1]: two}
            for key, one, two in _differences(a.config.get("recipe", {}), b.config.get("recipe", {}))
        ],
    }


def _compared(a: RunFacts, b: RunFacts) -> str:
    """Compare two runs on the videos that both have scored."""
    shared = a.videos.merge(b.videos[["filename", "probability"]], on="filename", suffixes=("_a", "_b"))
    if shared.empty:
        return "They share no video, so their scores cannot be compared."
    found = compare(shared["label"], shared["probability_a"], shared["probability_b"], shared["group"].tolist())
    return f"On the {len(shared):,} videos that both have scored: {found['sentence']}"


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], at: str = "") -> list[tuple[str, str, str]]:
    """Settings that differ, with both values.

    >>> _differences({"train": {"lr": 0.1, "seed": 0}}, {"train": {"lr": 0.2, "seed": 0}})
    [('train.lr', '0.1', '0.2')]
    """
    found = []
    for key in dict.fromkeys([*a, *b]):
        one, two = a.get(key), b.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            found += _differences(one, two, f"{at}{key}.")
        elif one != two:
            found.append((f"{at}{key}", str(one), str(two)))
    return found
