"""submission.csv: written whole, read strictly, checked against the sample, scored.

Two columns, `filename,label`; label is the probability of being fake, with every digit that a float64 has.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfd.errors import SubmissionError
from dfd.files import write_text
from dfd.scoring.metrics import compare, evaluate, log_loss

HEADER = ["filename", "label"]
SHOWN = 3
"""Offending rows that an error names before it only counts."""


def write_submission(path: Path, probabilities: Mapping[str, float]) -> None:
    """Write a row for each name, in their order: whole or not at all, durable, and read back bit for bit.

    Raises SubmissionError for a probability outside [0, 1], a name that is not text, or a place that cannot be
    written.
    """
    bad = [f"{value} for {name!r}" for name, value in probabilities.items() if not 0 <= value <= 1]
    _refuse(f"{path} cannot hold", bad, "a label is a number from 0 to 1")
    rows = [f"{_quoted(name)},{float(value)!r}" for name, value in probabilities.items()]
    try:
        write_text(path, "\n".join([",".join(HEADER), *rows, ""]), durable=True)
    except UnicodeEncodeError as error:
        raise SubmissionError(f"{path} cannot hold a filename that is not text: {error}") from None
    except OSError as error:
        raise SubmissionError(f"{path} cannot be written: {error.strerror}") from None


def read_submission(path: Path) -> dict[str, float]:
    """Probability by file name, in the file's order.

    Raises SubmissionError, naming the first rows that are wrong: another header, a filename twice, a label that is
    not a number from 0 to 1, not UTF-8.
    """
    rows = _rows(path)
    bad = [f"line {line} has {text!r} for {name!r}" for line, name, text in rows if not _is_probability(text)]
    _refuse(f"{path}:", bad, "a label is a number from 0 to 1")
    return {name: float(text) for _, name, text in rows}


def validate_submission(path: Path, sample: Path) -> list[str]:
    """Warnings about a submission that Kaggle would take, but that says little or too much.

    sample: a CSV of the same form, whose labels do not matter. Raises SubmissionError, naming the first offending
    rows, for a file that Kaggle would not take: whatever read_submission() refuses, rows missing from it or not in
    the sample, no newline at the end.
    """
    probabilities = read_submission(path)
    wanted = dict.fromkeys(name for _, name, _ in _rows(sample))
    _refuse(f"{path} has no row for", [repr(n) for n in wanted if n not in probabilities], f"{sample} has one for each")
    _refuse(f"{path} has rows for", [repr(n) for n in probabilities if n not in wanted], f"{sample} has none for them")
    if not path.read_bytes().endswith(b"\n"):
        raise SubmissionError(f"{path} does not end in a newline: has it been cut off? Write it anew")
    return _warnings(list(probabilities.values()))


def score_submission(
    path: Path, labels: Mapping[str, int], groups: Mapping[str, str] | None = None, rounds: int = 1000
) -> dict[str, Any]:
    """The measures of evaluate() over the rows that have a label; `unlabelled` rows and `missing` ones are counted.

    labels: 1 fake, 0 real, by file name. groups: what is resampled together, by file name. Raises SubmissionError
    when the file cannot be read, no row has a label, or a row with a label has no group.
    """
    probabilities = read_submission(path)
    names = [name for name in probabilities if name in labels]
    if not names:
        counts = f"{len(probabilities)} rows and {len(labels)} labels"
        raise SubmissionError(f"{path} has no row with a label: {counts} share no filename; are these its labels?")
    chosen = None
    if groups is not None:
        _refuse("no group for", [repr(name) for name in names if name not in groups], "each labelled row takes one")
        chosen = [groups[name] for name in names]
    result = evaluate([labels[name] for name in names], [probabilities[name] for name in names], chosen, rounds)
    return {**result, "unlabelled": len(probabilities) - len(names), "missing": len(labels) - len(names)}


def loss_by_status(path: Path, labels: Mapping[str, int], statuses: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """For each status that a row with a label ended in ("ok" where none is given): videos and their mean log loss.

    Tells what the videos without a face, or unreadable ones, cost. Raises SubmissionError as score_submission.
    """
    probabilities = read_submission(path)
    found: dict[str, list[str]] = {}
    for name in probabilities:
        if name in labels:
            found.setdefault(statuses.get(name, "ok"), []).append(name)
    return {
        status: {"videos": len(of), "log_loss": log_loss([labels[n] for n in of], [probabilities[n] for n in of])}
        for status, of in sorted(found.items())
    }


def compare_submissions(
    a: Path, b: Path, labels: Mapping[str, int], groups: Mapping[str, str], rounds: int = 1000
) -> dict[str, Any]:
    """compare() of the submissions `a` and `b` on the videos that both have and `labels` knows.

    Raises SubmissionError as score_submission.
    """
    first, second = read_submission(a), read_submission(b)
    names = [name for name in first if name in second and name in labels]
    if not names:
        raise SubmissionError(f"{a} and {b} share no row with a label: are both of the same videos?")
    sides = ([first[name] for name in names], [second[name] for name in names])
    return compare([labels[name] for name in names], *sides, [groups[name] for name in names], rounds)


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """(line, filename, label as text) of each row. Raises SubmissionError unless the form is right."""
    try:
        reader = csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SubmissionError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except csv.Error as error:
        raise SubmissionError(f"{path} is not CSV at line {reader.line_num}: {error}") from None
    header = lines[0][1] if lines else []
    if header != HEADER:
        raise SubmissionError(f"{path} begins with {','.join(header)[:80]!r}, not with {','.join(HEADER)!r}")
    ragged = [f"line {line} has {len(row)}" for line, row in lines[1:] if len(row) != len(HEADER)]
    _refuse(f"{path}:", ragged, "a row has 2 columns, a filename with a comma is quoted")
    rows = [(line, row[0], row[1]) for line, row in lines[1:]]
    first: dict[str, int] = {}
    twice = [f"{name!r} on lines {first[name]} and {n}" for n, name, _ in rows if first.setdefault(name, n) != n]
    _refuse(f"{path} has twice", twice, "a filename has one row")
    return rows


def _is_probability(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return 0 <= value <= 1 and text.isascii() and "_" not in text  # float() takes 0_1, which no other reader does


def _refuse(what: str, bad: Sequence[str], rule: str) -> None:
    """Raise SubmissionError naming the first of `bad`, if there is one, and what would be right."""
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise SubmissionError(f"{what} {', '.join(bad[:SHOWN])}{more}; {rule}")


def _quoted(name: str) -> str:
    """A field of CSV; csv.writer would leave a lone carriage return unquoted, before Python 3.13."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\r\n') else name


def _warnings(values: Sequence[float]) -> list[str]:
    if not values:
        return ["there is not a single row"]
    if min(values) == max(values):
        return [f"every label is {values[0]}: a constant tells no video from another"]
    found = []
    halves, certain = values.count(0.5), sum(value in (0, 1) for value in values)
    if 2 * halves > len(values):
        found.append(f"{halves} of {len(values)} labels are exactly 0.5, as for videos that could not be scored")
    if max(values) <= 0.5 or min(values) >= 0.5:
        side = "above" if max(values) <= 0.5 else "below"
        found.append(f"no label is {side} 0.5, though about half of the videos should be fakes")
    if certain:
        found.append(f"{certain} labels are exactly 0 or 1: each costs 34.5 of log loss if wrong, where 0.01 costs 4.6")
    return found
