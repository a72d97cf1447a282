"""Commands that make pages."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dfd.cli.options import FOLDER, NEW_FILE
from dfd.errors import ConfigError
from dfd.faces.store import is_store
from dfd.report import terminal as show
from dfd.report.dataset_page import write_dataset_page
from dfd.report.page import check_name
from dfd.report.run_facts import is_run
from dfd.report.run_page import write_run_page


def report(
    folders: Annotated[list[Path], Parameter(negative=()), FOLDER],
    /,
    *,
    out: Annotated[Path, NEW_FILE],
    faces: Annotated[list[Path] | None, Parameter(negative=()), FOLDER] = None,
    videos: Annotated[Path | None, FOLDER] = None,
    pages: Annotated[Path | None, FOLDER] = None,
) -> None:
    """Make a page, one file, of a run, of two runs side by side, or of a dataset of faces.

    A run's page shows the score with its interval, the leaderboard, calibration, curves, folds, scores by kind of
    video, and the worst videos. A dataset's page shows balance, sizes, doubtful labels, videos without a face, and a
    contact sheet.

    Args:
        folders: A run of dfd crossval or train, two of them, or one dataset of dfd faces.
        out: The page to write, .html. It opens without a network.
        faces: For a run: its datasets, for images of faces; by default where they were when it was trained.
        videos: For a dataset: the folder that it was built from, for first frames; by default where it was then.
        pages: For a run: a folder of pages of dfd explain, to which the worst videos link.
    """
    datasets = [folder for folder in folders if is_store(folder)]
    strange = [folder for folder in folders if folder not in datasets and not is_run(folder)]
    if strange:
        raise ConfigError(
            f"{strange[0]} is neither a run of dfd crossval or train nor a dataset of dfd faces: name one of these"
        )
    if datasets and len(folders) > 1:
        raise ConfigError(f"{len(folders)} folders are named: a page shows one dataset, one run or two runs")
    check_name(out)
    _check_options(bool(datasets), faces, videos, pages)
    size = write_dataset_page(folders[0], out, videos) if datasets else write_run_page(folders, out, faces or (), pages)
    show.page(out, size)


def _check_options(dataset: bool, faces: list[Path] | None, videos: Path | None, pages: Path | None) -> None:
    """Raise ConfigError for an option of the other kind of page."""
    if dataset and (faces or pages):
        raise ConfigError(
            f"{'--faces' if faces else '--pages'} is for the page of a run, not of a dataset: leave it out"
        )
    if not dataset and videos:
        raise ConfigError("--videos is for the page of a dataset, not of a run: give --faces, the run's datasets")
