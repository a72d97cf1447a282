"""Commands about submissions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import FILE, FOLDER, NEW_FILE
from dfd.errors import SubmissionError
from dfd.files import read_object, sha256
from dfd.inference.info import is_shipped, read_info, read_seen, shipped
from dfd.report import terminal as show
from dfd.scoring.board import SHIFT, compare_with_board, exposure, made_by, public_test_labels
from dfd.scoring.folds import group_of
from dfd.scoring.ledger import record_submission
from dfd.scoring.seen import seen_before, shown
from dfd.scoring.submission import (
    compare_submissions,
    describe_missing,
    describe_unlabelled,
    loss_by_status,
    read_submission,
    score_submission,
    validate_submission,
)
from dfd.videos.labels import read_truth


def validate(
    submission: Annotated[Path, FILE],
    /,
    *,
    sample: Annotated[Path, FILE],
    fix: Annotated[Path | None, NEW_FILE] = None,
    record: Annotated[Path | None, NEW_FILE] = None,
    bundle: Annotated[Path | None, FOLDER] = None,
) -> None:
    """Would Kaggle take SUBMISSION? Exit status 1, with the first bad rows, if not.

    Args:
        submission: A submission.csv.
        sample: The competition's sample_submission.csv, as it is or as a spreadsheet saved it.
        fix: Where to write SUBMISSION in the form that Kaggle takes, if only its form is wrong: a byte order mark,
            semicolons, an index column, empty rows, as spreadsheets save them. Labels and rows stay as they are.
        record: Ledger to add a row to: date, commit, hashes, the bundle's score. Takes --bundle.
        bundle: The bundle that made it.
    """
    if (record is None) != (bundle is None):
        raise SubmissionError("--record and --bundle go together: the ledger says which bundle made the submission")
    for warning in validate_submission(submission, sample, fix):
        show.say(f"Warning: {warning}", "yellow")
    submission = fix or submission
    show.say(f"{submission} is a valid submission.")
    if record is not None and bundle is not None:
        record_submission(record, submission, bundle)
        show.say(f"Recorded in {record}.")


def score(
    submission: Annotated[Path, FILE],
    /,
    *,
    labels: Annotated[Path | None, FILE] = None,
    report: Annotated[Path | None, FILE] = None,
    bundle: Annotated[Path | None, FOLDER] = None,
    against: Annotated[Path | None, FILE] = None,
    partial: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Score SUBMISSION: log loss as the competition computes it, and what explains it.

    Exit status 1 where videos with a label have no row, unless --partial is given.

    Args:
        submission: A submission.csv, as it is or as a spreadsheet saved it.
        labels: A CSV with filename,label (1 or FAKE, 0 or REAL) and, if known, source; a metadata.json; or Celeb-DF's
            List_of_testing_videos.txt. Without it, the labels of the 400 videos of the competition's public test, which
            have been published.
        report: What dfd predict --report wrote: adds the loss by status, and what the bundle was trained on.
        bundle: The bundle that made it, to warn when it was trained on these videos. Not needed with a report of the
            bundle that comes with dfd.
        against: Another submission to compare with.
        partial: Accept a submission that lacks some of the labelled videos.
        json_: Print one JSON object and nothing else.
    """
    known, sources = read_truth(labels, read_submission(submission)) if labels else (public_test_labels(), {})
    groups = group_of(list(known), sources)
    about = read_object(report, SubmissionError, "give what dfd predict --report wrote") if report else {}
    maker, seen = made_by(about)
    if bundle is None and is_shipped(maker):
        bundle = shipped()
    if bundle is not None:
        warnings = _seen_before(bundle, maker, groups, sources, public=labels is None)
    else:
        warnings = [warning] if labels is None and (warning := seen.warning()) else []
    files = [submission, against] if against else [submission]
    missing = [words for file in files if (words := describe_missing(file, known))]
    warnings += [*missing, *(words for file in files if (words := describe_unlabelled(file, known)))]
    result = score_submission(submission, known, groups)
    if report:
        result["by_status"] = loss_by_status(submission, known, _statuses(report, about))
    if against:
        result["against"] = compare_submissions(against, submission, known, groups)
    if labels is None:
        result["public_test"] = True
    if json_:
        show.json({**result, "warnings": warnings})
    else:
        _show_score(result, submission, against, public=labels is None)
        for warning in warnings:
            show.say(f"Warning: {warning}.", "yellow")
    if missing and not partial:
        raise SubmissionError(f"{missing[0]}; this score leaves those out; give --partial if that is intended")


def _show_score(result: Mapping[str, Any], submission: Path, against: Path | None, public: bool) -> None:
    if public:
        show.say("No labels given: scored on the videos of the competition's public test, whose labels are known.")
    show.score(result)
    if "by_status" in result:
        show.say("")
        show.table([{"status": status, **about} for status, about in result["by_status"].items()])
    if against:
        show.say(f"a is {against}, b is {submission}: {result['against']['sentence']}")
    if public and result["balanced_log_loss"] is not None:
        _show_board(result["balanced_log_loss"])


def _show_board(loss: float) -> None:
    show.say("")
    show.table(compare_with_board(loss))
    show.say(
        f"From the public to the private board entries lost about {SHIFT}: its videos were of another kind. "
        "The public videos are parts 0, 1 and 2 of the training set: a model trained on those has seen the answers."
    )


def _seen_before(
    bundle: Path, maker: str, groups: Mapping[str, str], sources: Mapping[str, str], public: bool
) -> list[str]:
    """Warnings when the bundle, or its starting weights, were trained on the scored videos or their groups.

    maker: sha256 of the bundle that a report names. Raises SubmissionError when that is another bundle; CheckpointError
    for a bundle that cannot be read.
    """
    read_info(bundle)
    identity = sha256(bundle / "bundle.json")
    if maker not in ("", identity):
        raise SubmissionError(
            f"the report names bundle {maker[:12]}…, and {bundle} is {identity[:12]}…: name the bundle that made it"
        )
    seen, names = read_seen(bundle), list(groups)
    if not seen:
        return [f"{bundle} does not say what it was trained on: whether it knows these videos is not known"]
    if public:
        return [warning] if (warning := exposure(seen).warning()) else []
    again = seen_before(names, [sources.get(name, name) for name in names], list(groups.values()), seen)
    if not again:
        return []
    return [
        f"{len(again)} of the {len(names)} labelled videos, or their sources, were in the training of the bundle or of "
        f"the weights that it began from: {shown(again)}"
    ]


def _statuses(report: Path, about: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {row["filename"]: row["status"] for row in about["fell_back"]}
    except (KeyError, TypeError) as error:
        raise SubmissionError(f"{report} is not a report of dfd predict: {error}") from None
