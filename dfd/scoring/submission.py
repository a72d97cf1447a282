"""submission.csv: written whole, read strictly, checked against the sample, scored.

Two columns, `filename,label`; label is the probability of being fake, with every digit that a float64 has.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfd.errors import SubmissionError
from dfd.scoring.metrics import evaluate

HEADER = ["filename", "label"]
SHOWN = 3
"""Offending rows that an error names before it only counts."""


def write_submission(path: Path, probabilities: Mapping[str, float]) -> None:
    """Write a row for each name, in their order: whole or not at all, and read back bit for bit.

    Raises SubmissionError for a probability outside [0, 1], a name that is not text in UTF-8, or a place that cannot
    be written.
    """
    bad = [f"{name!r} has {value!r}" for name, value in probabilities.items() if not 0 <= value <= 1]
    _refuse(path, bad, "a probability is a number from 0 to 1")
    rows = [f"{_quoted(name)},{float(value)!r}\n" for name, value in probabilities.items()]
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes("".join([",".join(HEADER) + "\n", *rows]).encode("utf-8"))
        os.replace(partial, path)
    except UnicodeEncodeError as error:
        raise SubmissionError(f"{path}: a file name is not text: {error.object[error.start : error.end]!r}") from None
    except OSError as error:
        raise SubmissionError(f"{path} cannot be written: {error.strerror}") from None


def read_submission(path: Path) -> dict[str, float]:
    """Probability by file name, in the file's order. Raises SubmissionError naming the first rows that are wrong."""
    rows = _rows(path)
    bad = [f"line {line} ({name!r}) has {text!r}" for line, name, text in rows if _probability(text) is None]
    _refuse(path, bad, "a label is a number from 0 to 1")
    return {name: float(text) for _, name, text in rows}


def validate_submission(path: Path, sample: Path) -> list[str]:
    """Warnings about a submission that Kaggle would take: one that says little, or too much.

    sample: a CSV of the same form, whose labels do not matter. Raises SubmissionError, naming the first offending
    rows, for a file that Kaggle would not take: another header, rows missing, extra or twice, a label that is not a
    number from 0 to 1, not UTF-8, no newline at the end.
    """
    probabilities = read_submission(path)
    wanted = dict.fromkeys(name for _, name, _ in _rows(sample))
    _refuse(
        path,
        [repr(name) for name in wanted if name not in probabilities],
        f"missing: each row of {sample.name} takes one",
    )
    _refuse(path, [repr(name) for name in probabilities if name not in wanted], f"not in {sample.name}: leave them out")
    if not path.read_bytes().endswith(b"\n"):
        raise SubmissionError(f"{path}: the last line does not end in a newline: is the file cut off?")
    return _warnings(list(probabilities.values()))


def score_submission(
    path: Path, labels: Mapping[str, int], groups: Mapping[str, str] | None = None, rounds: int = 1000
) -> dict[str, Any]:
    """evaluate() of the rows that have a label, with the counts of those that have none (`unlabelled`) and of labels
    that have no row (`missing`).

    labels: 1 fake, 0 real, by file name. groups: what hangs together, by file name. Raises SubmissionError when the
    file cannot be read, no row has a label, or a row with a label has no group.
    """
    probabilities = read_submission(path)
    names = [name for name in probabilities if name in labels]
    if not names:
        raise SubmissionError(
            f"{path}: none of its {len(probabilities)} rows has a label among {len(labels)}: are the file names the same?"
        )
    if groups is not None:
        _refuse(
            path, [repr(name) for name in names if name not in groups], "without a group: give each labelled video one"
        )
    chosen = None if groups is None else [groups[name] for name in names]
    result = evaluate([labels[name] for name in names], [probabilities[name] for name in names], chosen, rounds)
    return {**result, "unlabelled": len(probabilities) - len(names), "missing": len(labels) - len(names)}


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """(line, filename, label as text) of each row. Raises SubmissionError unless the form is right."""
    try:
        text = path.read_bytes().decode("utf-8")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SubmissionError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except csv.Error as error:
        raise SubmissionError(f"{path} is not CSV at line {reader.line_num}: {error}") from None
    header = ",".join(lines[0][1]) if lines else ""
    if not lines or lines[0][1] != HEADER:
        raise SubmissionError(f"{path} begins with {header[:80]!r}, not with {','.join(HEADER)!r}")
    ragged = [f"line {line} has {len(row)}" for line, row in lines[1:] if len(row) != 2]
    _refuse(path, ragged, "a row has 2 columns, a filename with a comma stands in quotes")
    rows = [(line, row[0], row[1]) for line, row in lines[1:]]
    seen: dict[str, int] = {}
    twice = [
        f"{name!r} on lines {seen[name]} and {line}" for line, name, _ in rows if seen.setdefault(name, line) != line
    ]
    _refuse(path, twice, "a filename stands once")
    return rows


def _probability(text: str) -> float | None:
    """`text` as a number from 0 to 1; None when it is none. Underscores and other scripts' digits are Python's alone."""
    try:
        value = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _refuse(path: Path, bad: Sequence[str], rule: str) -> None:
    """Raise SubmissionError naming the first of `bad`, if there is one, and what would be right."""
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise SubmissionError(f"{path}: {', '.join(bad[:SHOWN])}{more}: {rule}")


def _quoted(name: str) -> str:
    """A field of CSV. Not csv.writer's, which before Python 3.13 leaves a bare carriage return unquoted."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\r\n') else name


def _warnings(values: Sequence[float]) -> list[str]:
    if not values:
        return ["there is not a single row"]
    if min(values) == max(values):
        return [f"every label is {values[0]}: a constant tells no video from another"]
    found = []
    halves, certain = values.count(0.5), sum(value in (0, 1) for value in values)
    if halves * 2 > len(values):
        found.append(f"{halves} of {len(values)} labels are exactly 0.5: most videos could not be scored")
    if min(values) >= 0.5 or max(values) <= 0.5:
        side = "above" if max(values) > 0.5 else "below"
        found.append(
            f"no label is {'below' if side == 'above' else 'above'} 0.5, though about half of the test are fakes"
        )
    if certain:
        found.append(
            f"{certain} labels are exactly 0 or 1: each costs 34.5 in log loss where it is wrong; 0.01 costs 4.6"
        )
    return found
