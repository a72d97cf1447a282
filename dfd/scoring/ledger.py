"""The ledger of submissions: date, code version, bundle, and out-of-fold score of each."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dfd.errors import SubmissionError
from dfd.files import read_object, sha256, whole
from dfd.scoring.seen import SEEN
from dfd.versions import git

COLUMNS = ("date", "commit", "submission_sha256", "bundle_sha256", "balanced_log_loss", "interval_low", "interval_high")


def record_submission(ledger: Path, submission: Path, bundle: Path) -> dict[str, str]:
    """Append a row to `ledger` for `submission`, made with the bundle in the folder `bundle`. Returns the row.

    The score is the bundle's out-of-fold score; empty if it has none, or if its starting weights had seen those videos.
    Raises SubmissionError when the bundle cannot be read or the ledger has other columns.
    """
    about, identity = read_bundle(bundle)
    score = about.get("score") or {}
    score = {} if score.get(SEEN) else score
    low, high = score.get("balanced_log_loss_interval") or ("", "")
    values = (datetime.now(UTC).isoformat(timespec="seconds"), _commit(), sha256(submission), identity)
    row = dict(zip(COLUMNS, map(str, (*values, score.get("balanced_log_loss", ""), low, high)), strict=True))
    rows = [*_read(ledger), row]
    with whole(ledger) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return row


def read_bundle(folder: Path) -> tuple[dict[str, Any], str]:
    """Read bundle.json in `folder`: its contents and sha256. Loads no network. Raises SubmissionError."""
    path = folder / "bundle.json"
    return read_object(path, SubmissionError, f"make one with `dfd bundle RUN --out {folder}`"), sha256(path)


def _read(ledger: Path) -> list[dict[str, str]]:
    if not ledger.exists():
        return []
    with ledger.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise SubmissionError(f"{ledger} is not a ledger: its first line should be {','.join(COLUMNS)}")
    return rows


def _commit() -> str:
    """The commit of the working directory, with a + if there are local changes; empty outside a repository."""
    head = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return "" if head is None else head.strip() + ("+" if changed else "")
