"""Read CSV tables as saved by hand, by pandas or by a spreadsheet. All such files are read by this module.

Unambiguous variations are accepted: a byte order mark, UTF-16, `;` or tabs as separators, any line ends, an index
column without a name, headers in another case, spaces around a cell, empty rows and columns. `odd` lists them for
callers that must report them (Kaggle accepts none). Ambiguous files are rejected.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfd.errors import DfdError, first_of

SEPARATORS = (",", ";", "\t")
EXCEL = "sep="
"""Start of the line that Excel puts before the header, to declare the separator."""
ENCODINGS = {
    b"\xef\xbb\xbf": ("utf-8-sig", "a byte order mark at its beginning"),
    b"\xff\xfe": ("utf-16", "UTF-16 for its text"),
    b"\xfe\xff": ("utf-16", "UTF-16 for its text"),
}
"""Encoding by a file's first bytes, and its description; UTF-8 if there is no byte order mark."""


@dataclass(frozen=True)
class Table:
    """columns: their names in lower case, without unnamed ones. rows: line in the file, and cells by column.

    odd: deviations from plain CSV, each completing a sentence that begins with "it has".
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    odd: tuple[str, ...]


def read_table(path: Path, columns: Sequence[str | Sequence[str]], error: type[DfdError]) -> Table:
    """Read the table in `path`, which has at least `columns`; the first of these holds unique names.

    columns: their names as normalised by column_name; of several names for one column, the first that exists counts.

    Raises `error`, which names the line: no such file, not CSV, a missing or repeated column, a row longer than the
    header, a missing or repeated name.
    """
    text, odd = read_text(path, error)
    wanted = [(names,) if isinstance(names, str) else tuple(names) for names in columns]
    separator, lines = _separated(path, text, wanted, error)
    header = _header(lines)
    full = [(line, cells) for line, cells in lines if any(cells) and cells[0] != EXCEL]
    long = [f"line {line} has {len(cells)}" for line, cells in full if any(cells[len(header) :])]
    if long:
        raise error(f"{path}: {first_of(long)} columns; the header has {len(header)}, a name with a comma is quoted")
    named = tuple(column for column in header if column)
    rows = []
    for line, cells in full[1:]:
        row = dict(zip(header, [*cells, *[""] * len(header)], strict=False))
        rows.append((line, {column: row[column] for column in named}))
    key = next(name for name in wanted[0] if name in named)
    _refuse_names(path, [(line, row[key]) for line, row in rows], error)
    return Table(named, tuple(rows), (*odd, *_odd_form(text, separator, [names[0] for names in wanted], lines)))


def quoted(cell: str) -> str:
    """Quote a cell for CSV. Before Python 3.13 csv.writer does not quote a lone carriage return.

    >>> quoted("a,b"), quoted(" a"), quoted("a")
    ('"a,b"', '" a"', 'a')
    """
    special = cell != cell.strip() or any(mark in cell for mark in ',"\r\n')
    return _in_quotes(cell) if special else cell


def number(text: str) -> float | None:
    """Parse a cell's number, also with a decimal comma; None if it is not a number.

    >>> number("0.5"), number("0,5"), number("5,0E-1"), number("1,000.5"), number("1_0")
    (0.5, 0.5, 0.5, None, None)
    """
    if not text.isascii() or "_" in text:  # float() accepts these, but other readers do not
        return None
    try:
        return float(text if "." in text else text.replace(",", ".", 1))
    except ValueError:
        return None


def read_text(path: Path, error: type[DfdError]) -> tuple[str, list[str]]:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark. Also describe its encoding. Raises `error`."""
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise error(f"{path} cannot be read: {fault.strerror}") from None
    encoding, odd = next((known for mark, known in ENCODINGS.items() if data.startswith(mark)), ("utf-8", ""))
    try:
        return data.decode(encoding), [odd] if odd else []
    except UnicodeDecodeError as fault:
        form = encoding.upper().removesuffix("-SIG")
        raise error(f"{path} is not {form} at byte {fault.start}: save it as UTF-8") from None


def _separated(
    path: Path, text: str, columns: Sequence[Sequence[str]], error: type[DfdError]
) -> tuple[str, list[tuple[int, list[str]]]]:
    """Find the separator with which the header has `columns`, and split the rows by it."""
    faults = []
    for separator in SEPARATORS:
        try:
            lines = _lines(text, separator)
        except csv.Error as wrong:
            faults.append(f"is not CSV at {wrong}")
            continue
        header = _header(lines)
        counts = {names[0]: header.count(next((n for n in names if n in header), names[0])) for names in columns}
        if set(counts.values()) == {1}:
            return separator, lines
        column = next(column for column, count in counts.items() if count != 1)
        begins = text.partition("\n")[0].strip()[:80]
        fault = f"has {counts[column] or 'no'} column {column}"
        faults.append(f"{fault}: it begins with {begins!r}, not with {','.join(counts)!r}")
    raise error(f"{path} {faults[0]}")


def _lines(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row, without spaces around unquoted cells. Raises csv.Error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return [(reader.line_num, [_trimmed(cell, text) for cell in cells]) for cells in reader]
    except csv.Error as fault:
        raise csv.Error(f"line {reader.line_num}: {fault}") from None


def _header(lines: Sequence[tuple[int, list[str]]]) -> list[str]:
    """Column names in lower case; pandas names a column without one "Unnamed: 0"."""
    first = next((cells for _, cells in lines if any(cells) and cells[0] != EXCEL), [])
    names = [column_name(cell) for cell in first]
    return ["" if name.startswith("unnamed:_") else name for name in names]


def column_name(name: str) -> str:
    """Normalise a column's name: lower case, words joined by underscores.

    >>> column_name(" File Path"), column_name("is-fake")
    ('file_path', 'is_fake')
    """
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _trimmed(cell: str, text: str) -> str:
    return cell if cell == cell.strip() or _in_quotes(cell) in text else cell.strip()


def _in_quotes(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _refuse_names(path: Path, names: Sequence[tuple[int, str]], error: type[DfdError]) -> None:
    """Raise `error` if a row has no name, or the name of another row."""
    none = [f"line {line}" for line, name in names if not name]
    if none:
        raise error(f"{path}, {first_of(none)}: no file name; give each file one row")
    first: dict[str, int] = {}
    twice = [f"{name!r} on lines {first[name]} and {n}" for n, name in names if first.setdefault(name, n) != n]
    if twice:
        raise error(f"{path} has twice {first_of(twice)}; give each file one row")


def _odd_form(text: str, separator: str, columns: Sequence[str], lines: Sequence[tuple[int, list[str]]]) -> list[str]:
    """Deviations from plain CSV of `columns`: the first line, line ends, spaces, empty rows and cells."""
    begins = text.splitlines()[0]
    plain = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    spaced = sum(cells != bare for (_, cells), bare in zip(lines, plain, strict=False))
    empty = sum(not any(cells) for _, cells in lines)
    uneven = sum(len(cells) != len(columns) for _, cells in lines if any(cells))
    odd = {
        f"{begins[:80]!r} for its first line": begins.replace('"', "") != ",".join(columns),
        "the line ends of old Macs": "\r" in text and "\n" not in text,
        f"spaces round the cells of {spaced} rows": spaced,
        f"{empty} empty rows": empty,
        f"{uneven} rows of other than {len(columns)} cells": uneven,
        "no newline at its end, as if it had been cut off": not text.endswith(("\n", "\r")),
    }
    return [words for words, holds in odd.items() if holds]
