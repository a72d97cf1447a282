"""Report on a run, rehearsed or fetched from Kaggle."""

import json
from pathlib import Path
from typing import Any

from dfd.cli.scoring import score, validate
from dfd.errors import DfdError, SubmissionError
from dfd.files import write_json
from dfd.report import terminal as show
from dfd.scoring.board import public_test_labels
from dfd.scoring.submission import read_submission
from kernels import KernelError, inputs, places
from kernels.image import differences, pinned, seen
from kernels.session import REPORT, SUBMISSION

PUBLIC_TEST = 4000
"""Number of videos to score within nine hours in the competition."""


def report(folder: Path, labels: Path | None = None) -> str:
    """Print how the kernel with its output in `folder` ended; validate and score a submission. Returns the status.

    labels: of the scored videos. Raises KernelError when the kernel failed or left no report, SubmissionError when
    Kaggle would reject its submission.csv.
    """
    about = read_report(folder)
    name, status = about["kernel"], about["status"]
    show.say(
        f"Kernel {name}, commit {about['commit']}, content {about['sha256'][:12]}: "
        f"{status} after {about['seconds']:.0f} s on Python {about['python']}."
    )
    if about.get("image"):  # the run was on Kaggle
        for row in differences(pinned(), seen(str(about["image"]), about)):
            show.say(f"Not as pinned: {row['what']} is {row['there']}, pinned is {row['pinned']}.", "yellow")
    if status == "failed":
        raise KernelError(f"kernel {name} failed: {about['reason']}")
    if status == "cut off":
        again = "with a smaller hours" if name == "predict" else "with RESUME=1"
        raise KernelError(f"kernel {name} was cut off: push it again {again}")
    if status == "unfinished":
        show.say(f"Unfinished: {about['reason']}. Push it again with RESUME=1.")
    if "statuses" in about:
        show.statuses(about["statuses"], ok="shows a face")
    if "score" in about:
        show.score(about["score"])
    if "prediction" in about:
        _judge_submission(folder, about["prediction"], labels)
    for page in sorted(folder.glob("*.html")):
        show.say(f"Page: {places.shown(page)}")
    return str(status)


def read_report(folder: Path) -> dict[str, Any]:
    """Read kernel.json. Raises KernelError when there is none."""
    path = folder / REPORT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = about["kernel"], about["status"], about["sha256"], about["seconds"]
    except (OSError, ValueError, TypeError, LookupError):
        raise KernelError(f"{path} is not a kernel's report: has the kernel ended? Read its log") from None
    return about


def _judge_submission(folder: Path, prediction: dict[str, Any], labels: Path | None) -> None:
    """Validate submission.csv in `folder`, and score it with `labels` or the known ones of the public test set."""
    show.statuses(prediction["statuses"], prediction["fell_back"])
    pace = prediction["seconds_a_video"]
    show.say(
        f"{pace:.2f} s a video: {PUBLIC_TEST} videos in {pace * PUBLIC_TEST / 3600:.1f} hours, of the 9 there were."
    )
    submission, how = Path(places.shown(folder / SUBMISSION)), folder / "report.json"
    write_json(how, prediction)  # in the form of dfd predict --report
    try:
        validate(submission, sample=folder / inputs.SAMPLE)
    except SubmissionError as error:
        raise SubmissionError(f"not a valid submission: {error}") from None
    if labels is None and set(read_submission(submission)) != set(public_test_labels()):
        show.say("Not scored: no labels are given, and these are not the videos of the competition's public test.")
        return
    try:
        score(submission, labels=labels, report=how, partial=True)
    except DfdError as error:
        raise KernelError(f"{submission} is valid, but cannot be scored: {error}") from None
