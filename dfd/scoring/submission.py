"""submission.csv: write, read, validate against the sample, and score.

Two columns, `filename,label`; label is the probability of being fake, with the full precision of a float64.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dfd.errors import SubmissionError, first_of
from dfd.files import write_text
from dfd.scoring.metrics import compare, evaluate, log_loss
from dfd.tables import Table, number, quoted, read_table

HEADER = ["filename", "label"]


def write_submission(path: Path, probabilities: Mapping[str, float]) -> None:
    """Write one row per name, in their order. The write is atomic and durable, and reads back bit for bit.

    Raises SubmissionError for a probability outside [0, 1], a name that is not text, or a path that cannot be
    written.
    """
    bad = [f"{value} for {name!r}" for name, value in probabilities.items() if not 0 <= value <= 1]
    _refuse(f"{path} cannot hold", bad, "a label is a number from 0 to 1")
    rows = [f"{quoted(name)},{float(value)!r}" for name, value in probabilities.items()]
    try:
        write_text(path, "\n".join([",".join(HEADER), *rows, ""]), durable=True)
    except UnicodeEncodeError as error:
        raise SubmissionError(f"{path} cannot hold a filename that is not text: {error}") from None
    except OSError as error:
        raise SubmissionError(f"{path} cannot be written: {error.strerror}") from None


def read_submission(path: Path) -> dict[str, float]:
    """Read probabilities by file name, in the file's order. Accepts what spreadsheets save, see dfd/tables.py.

    Raises SubmissionError, naming the first bad rows: other columns, a filename twice, a label that is not a number
    from 0 to 1, not UTF-8.
    """
    return _probabilities(path, _table(path))


def validate_submission(path: Path, sample: Path, fix: Path | None = None) -> list[str]:
    """Validate a submission, and warn if Kaggle would accept it but it looks wrong.

    sample: a CSV of the same form, whose labels do not matter. fix: path for a repaired file with the rows in the
    sample's order; a warning then lists the repairs. Raises SubmissionError, naming the first bad rows, for a file that
    Kaggle would reject: whatever read_submission() rejects, rows missing from it or not in the sample; and, without
    fix, changes of format by a spreadsheet, or no newline at the end.
    """
    table = _table(path)
    probabilities = _probabilities(path, table)
    wanted = [row[HEADER[0]] for _, row in _table(sample).rows]
    _refuse(f"{path} has no row for", missing_rows(wanted, probabilities), f"{sample} has one for each")
    _refuse(f"{path} has rows for", missing_rows(probabilities, wanted), f"{sample} has none for them")
    odd = _odd(table)
    if fix is not None:
        write_submission(fix, {name: probabilities[name] for name in wanted})
    elif odd:
        raise SubmissionError(f"{path} has {', '.join(odd)}: Kaggle wants plain CSV, and --fix OUT writes it")
    mended = [f"{path} has {what}; {fix} has not" for what in odd]
    return mended + _warnings(list(probabilities.values()))


def missing_rows(wanted: Iterable[str], rows: Iterable[str]) -> list[str]:
    """The names of `wanted` that are missing from `rows`, in quotes.

    >>> missing_rows(["a.mp4", "b.mp4"], ["b.mp4", "c.mp4"])
    ["'a.mp4'"]
    """
    found = set(rows)
    return [repr(name) for name in wanted if name not in found]


def score_submission(
    path: Path, labels: Mapping[str, int], groups: Mapping[str, str] | None = None, rounds: int = 1000
) -> dict[str, Any]:
    """Compute the measures of evaluate() over the labelled rows, and count `unlabelled` rows and `missing` ones.

    labels: 1 fake, 0 real, by file name. groups: what to resample together, by file name. Raises SubmissionError when
    the file cannot be read, no row has a label, or a row with a label has no group.
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


def describe_missing(path: Path, labels: Mapping[str, int]) -> str:
    """Describe how many labelled videos have a row in `path`, and which have none; "" if all have one."""
    lacking = missing_rows(labels, read_submission(path))
    if not lacking:
        return ""
    return f"{path} has {len(labels) - len(lacking)} of {len(labels)} labelled videos: no row for {first_of(lacking)}"


def describe_unlabelled(path: Path, labels: Mapping[str, int]) -> str:
    """Describe which rows of `path` have no label, and so are not scored; "" if all have one."""
    extra = missing_rows(read_submission(path), labels)
    return f"{len(extra)} rows of {path} have no label and are left out: {first_of(extra)}" if extra else ""


def loss_by_status(path: Path, labels: Mapping[str, int], statuses: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Mean log loss and number of videos by status of the labelled rows. A row without a status counts as "ok".

    Shows how much videos without a face, or unreadable ones, cost. Raises SubmissionError like score_submission.
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
    """compare() of the submissions `a` and `b` on the videos that both have and that are in `labels`.

    Raises SubmissionError like score_submission.
    """
    first, second = read_submission(a), read_submission(b)
    names = [name for name in first if name in second and name in labels]
    if not names:
        raise SubmissionError(f"{a} and {b} share no row with a label: are both of the same videos?")
    sides = ([first[name] for name in names], [second[name] for name in names])
    return compare([labels[name] for name in names], *sides, [groups[name] for name in names], rounds)


def _table(path: Path) -> Table:
    """Read the table in `path`. Raises SubmissionError unless it has exactly the two columns."""
    table = read_table(path, HEADER, SubmissionError)
    if len(table.columns) > len(HEADER):
        begins = ",".join(table.columns)[:80]
        raise SubmissionError(f"{path} begins with {begins!r}, not with {','.join(HEADER)!r}: keep these two columns")
    return table


def _probabilities(path: Path, table: Table) -> dict[str, float]:
    """Probabilities of a table's rows. Raises SubmissionError for invalid labels."""
    read = [(line, row["filename"], row["label"], number(row["label"])) for line, row in table.rows]
    bad = [f"line {n} has {text!r} for {name!r}" for n, name, text, value in read if not _is_probability(value)]
    _refuse(f"{path}:", bad, "a label is a number from 0 to 1")
    return {name: value for _, name, _, value in read if value is not None}


def _is_probability(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1


def _odd(table: Table) -> list[str]:
    """Format problems that Kaggle would reject in a file whose rows are right."""
    odd, commas = list(table.odd), sum("," in row["label"] for _, row in table.rows)
    if commas:
        odd.append(f"{commas} labels with a decimal comma")
    return odd


def _refuse(what: str, bad: Sequence[str], rule: str) -> None:
    """Raise SubmissionError naming the first of `bad`, if any, and the rule."""
    if bad:
        raise SubmissionError(f"{what} {first_of(bad)}; {rule}")


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
