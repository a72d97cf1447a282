"""The page of a dataset, for checking its contents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

import dfd
from dfd.report import dataset_facts as about
from dfd.report.dataset_facts import COUNTS, FACES, LABELS, SIDES, DatasetFacts
from dfd.report.dataset_samples import Compared, compare, contact_sheet, first_frames
from dfd.report.page import render, write_page
from dfd.report.plots import Axis, Bars, bar_plot

SHARPNESS = (10, 30, 100, 300, 1000, 3000)
"""Bin edges for sharpness."""


def write_dataset_page(folder: Path, out: Path, videos: Path | None = None) -> int:
    """Write the page of the dataset in `folder` to `out`. Returns its size in bytes.

    videos: the folder it was built from, needed for first frames; by default the recorded one. Raises StoreError if
    the folder is not a dataset or has no tables, ConfigError if `out` cannot be written.
    """
    facts = about.read_dataset(folder)
    compared = compare(facts)
    shared = {"version": dfd.__version__, "folder": folder, "name": folder.resolve().name}
    return write_page(
        out,
        render(
            "dataset.html",
            overview=about.overview(facts),
            balance=about.balance(facts),
            plots=_plots(facts, compared),
            sheet=contact_sheet(facts),
            compared=compared,
            reasons=about.reasons(facts),
            frames=first_frames(facts, videos),
            faceless=len(facts.faceless),
            disk=_disk(facts),
            settings=[{"setting": k, "value": str(v)} for k, v in facts.store.config.model_dump().items()],
            **shared,
        ),
    )


def _plots(facts: DatasetFacts, compared: Compared) -> dict[str, Markup]:
    """Plots of the distributions over the videos of each class."""
    videos = facts.videos
    return {
        "sides": _spread_plot(videos, "side", SIDES, "side of the faces, pixels"),
        "sharpness": _spread_plot(compared.sharpness, "sharpness", SHARPNESS, "sharpness of a face"),
        "tracklets": _spread_plot(videos, "tracklets", COUNTS, "tracklets a video"),
        "faces": _spread_plot(videos, "most", FACES, "most faces in one segment"),
    }


def _spread_plot(rows: pd.DataFrame, column: str, edges: Sequence[int], what: str) -> Markup:
    """Histogram per class: the share of its videos in each bin."""
    bars, most, names = [], 1.0, _between(edges)
    for tone, kind in enumerate(LABELS, 1):
        counts = about.spread(rows.loc[rows["kind"] == kind, column], edges)
        if not sum(counts):
            continue
        shares = [100 * count / sum(counts) for count in counts]
        tips = [
            f"{count:,} {kind} videos ({part:.1f} %): {what} {name}"
            for count, part, name in zip(counts, shares, names, strict=True)
        ]
        bars.append(Bars(kind, shares, tips, tone if kind != LABELS[2] else 5))
        most = max(most, *shares)
    said, scale = f"Histogram: {what}, by class.", Axis("% of the class", 0, float(np.ceil(most)))
    return bar_plot([str(edge) for edge in (0, *edges)], bars, scale, said, f"{what}, from")


def _between(edges: Sequence[int]) -> list[str]:
    """Labels of the bins between integer edges.

    >>> _between((1, 2, 3, 5))
    ['0', '1', '2', '3–4', '5+']
    """
    pairs = zip((0, *edges[:-1]), edges, strict=True)
    return [*(f"{low}" if high - low == 1 else f"{low}–{high - 1}" for low, high in pairs), f"{edges[-1]}+"]


def _disk(facts: DatasetFacts) -> list[dict[str, Any]]:
    """One row per kind of file, and one for the total."""
    sizes = {**facts.disk, "all": sum(facts.disk.values())}
    each = max(1, len(facts.videos))
    return [
        {"files": what, "MB": f"{size / 1e6:,.1f}", "KB a video": f"{size / 1e3 / each:,.1f}"}
        for what, size in sizes.items()
    ]
