"""The report of a run, rehearsed or fetched from Kaggle."""

import json
from pathlib import Path
from typing import Any

from dfd.errors import DfdError, SubmissionError
from dfd.report import terminal as show
from dfd.scoring.board import Exposure, compare_with_board, made_by, public_test_labels
from dfd.scoring.folds import group_of
from dfd.scoring.submission import read_submission, score_submission, told_missing, validate_submission
from dfd.videos.labels import read_truth
from kernels import KernelError, inputs, places
from kernels.image import differences, pinned, seen
from kernels.session import REPORT, SUBMISSION

PUBLIC_TEST = 4000
"""Videos to score within nine hours in the competition."""


def report(folder: Path, labels: Path | None = None) -> str:
    """Print how the kernel with its output in `folder` ended, validate and score a submission; return its status.

    labels: of the scored videos. Raises KernelError when the kernel failed or left no report, SubmissionError when
    Kaggle would refuse its submission.csv.
    """
    about = read_report(folder)
    show.say(
        f"Kernel {about['kernel']}, commit {about['commit']}, content {about['sha256'][:12]}: "
        f"{about['status']} after {about['seconds']:.0f} s on Python {about['python']}."
    )
    if about.get("image"):  # on Kaggle, that is
        for row in differences(pinned(), seen(str(about["image"]), about)):
            show.say(f"Not as pinned: {row['what']} is {row['there']}, pinned is {row['pinned']}.", "yellow")
    if about["status"] == "failed":
        raise KernelError(f"kernel {about['kernel']} failed: {about['reason']}")
    if about["status"] == "cut off":
        again = "with a smaller hours" if about["kernel"] == "predict" else "with RESUME=1"
        raise KernelError(f"kernel {about['kernel']} was cut off: push it again {again}")
    if about["status"] == "unfinished":
        show.say(f"Unfinished: {about['reason']}. Push it again with RESUME=1.")
    if "statuses" in about:
        show.statuses(about["statuses"], ok="shows a face")
    if "score" in about:
        show.score(about["score"])
    if "prediction" in about:
        _judge_submission(folder, about["prediction"], labels)
    return str(about["status"])


def read_report(folder: Path) -> dict[str, Any]:
    """kernel.json. Raises KernelError when there is none."""
    path = folder / REPORT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = about["kernel"], about["status"], about["sha256"], about["seconds"]
    except (OSError, ValueError, TypeError, LookupError):
        raise KernelError(f"{path} is not a kernel's report: did the kernel end? See its log beside it") from None
    return about


def _judge_submission(folder: Path, prediction: dict[str, Any], labels: Path | None) -> None:
    show.statuses(prediction["statuses"], prediction["fell_back"])
    pace = prediction["seconds_a_video"]
    show.say(
        f"{pace:.2f} s a video: {PUBLIC_TEST} videos in {pace * PUBLIC_TEST / 3600:.1f} hours, of the 9 there were."
    )
    submission = folder / SUBMISSION
    shown = places.shown(submission)
    if submission.is_file() and submission.read_bytes()[:1] == b"{":
        raise KernelError(f"{shown} is an error of Kaggle's, not a submission: fetch it again")
    try:
        warnings = validate_submission(submission, folder / inputs.SAMPLE)
    except SubmissionError as error:
        raise SubmissionError(f"not a valid submission: {error}") from None
    for warning in warnings:
        show.say(f"Warning: {warning}", "yellow")
    show.say(f"{shown} is a valid submission.")
    _score(submission, labels, made_by(prediction)[1])


def _score(submission: Path, labels: Path | None, seen: Exposure) -> None:
    """By `labels`, or by the known ones of the public test where these are its videos.

    seen: the part of that test that the bundle was trained on.
    """
    known = public_test_labels()
    public = labels is None and set(read_submission(submission)) == set(known)
    if labels is None and not public:
        show.say("Not scored: no labels are given, and these are not the videos of the competition's public test.")
        return
    try:
        sources: dict[str, str] = {}
        if labels:
            known, sources = read_truth(labels, read_submission(submission))
        groups = group_of(list(known), sources)
        score = score_submission(submission, known, groups)
    except DfdError as error:
        raise KernelError(f"{submission} is valid, but cannot be scored: {error}") from None
    show.score(score)
    if missing := told_missing(submission, known):
        show.say(f"Warning: {missing}.", "yellow")
    if public:
        show.say("Scored on the competition's public test, whose labels are known.")
        show.table(compare_with_board(score["balanced_log_loss"]))
        if warning := seen.warning():
            show.say(f"Warning: {warning}.", "yellow")
