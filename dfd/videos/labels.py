"""Read files of labels for all commands: a metadata.json, a CSV, or Celeb-DF's list."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dfd.errors import ManifestError
from dfd.tables import column_name, number, read_table, read_text
from dfd.types import Label
from dfd.videos.names import renamed
from dfd.videos.people import people_in

WORDS: dict[str, Label] = {
    **dict.fromkeys(("real", "original", "pristine", "genuine", "authentic", "false"), 0),
    **dict.fromkeys(("fake", "deepfake", "manipulated", "altered", "synthetic", "true"), 1),
}
"""Labels as words, in lower case; True means fake."""
WRITTEN: tuple[str, str] = ("REAL", "FAKE")
NAME = (
    "filename", "file", "file_name", "video", "video_name", "name", "file_path", "filepath", "video_path", "path",
    "clip", "image", "id",
)  # fmt: skip
"""Possible headers of the column of names."""
FAKE = ("label", "is_fake", "fake", "target", "class", "labels", "ground_truth", "y")
"""Possible headers of the column of labels, in order of preference; 1 means fake."""
REAL = ("is_real", "real")
"""The same for columns where 1 means real."""
LABEL = (*FAKE, *REAL)
TEST_LIST = "List_of_testing_videos.txt"
"""Celeb-DF's list: one line per video, with its label (1 for real) before its name."""
_TESTED = re.compile(r"\s*([01])\s+(\S.*?)\s*")

Row = Mapping[str, Any]


class Known(NamedTuple):
    """What a file of labels says about one video.

    label: 1 fake, 0 real, None unknown. originals: the videos it was made from. people: who is in it.
    """

    label: Label | None = None
    originals: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


def read_known(path: Path | str) -> dict[str, Known]:
    """Read a metadata.json, a CSV or Celeb-DF's list, by file name as written there.

    The keys of a JSON object are names, and its values have the keys that a CSV has as columns: a name (NAME), a label
    (FAKE, REAL), source or original, person or people. Labels are words in any case (WORDS), or numbers. Raises
    ManifestError naming the file and the value: no such file, a missing column, a repeated name, an unknown label.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return {name: _known(entry, name, path) for name, entry in read_metadata(path).items()}
    if suffix == ".txt":
        return dict(_tested(path))
    return {name: _known(row, name, path) for name, row in rows(path, NAME, LABEL)}


def read_labels(path: Path | str) -> dict[str, Label]:
    """Label (1 fake, 0 real) by file name, without unlabelled videos.

    Raises ManifestError like read_known, and if there is no label at all.
    """
    labels = {name: known.label for name, known in read_known(path).items() if known.label is not None}
    if not labels:
        raise ManifestError(f"{path} has no labels")
    return labels


def read_sources(path: Path | str) -> dict[str, str]:
    """The source of each video by file name: its first original, or itself. Raises like read_known."""
    return {name: known.originals[0] if known.originals else name for name, known in read_known(path).items()}


def read_truth(path: Path, names: Iterable[str]) -> tuple[dict[str, Label], dict[str, str]]:
    """read_labels and read_sources, matched to `names` of the same files. Raises like these."""
    labels, sources = read_labels(path), read_sources(path)
    called = renamed(sources, names, path)
    return (
        {called[name]: label for name, label in labels.items()},
        {called[name]: called.get(source, source) for name, source in sources.items()},
    )


def read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    """Read a metadata.json, an object of objects, by file name, with their keys in lower case."""
    text, _ = read_text(path, ManifestError)
    try:
        entries = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise ManifestError(f'{path} is not a JSON object like {{"a.mp4": {{"label": "FAKE"}}}}')
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise ManifestError(f'{path}: {name} is {entry!r}, not an object like {{"label": "FAKE"}}')
    return {name: {column_name(key): value for key, value in entry.items()} for name, entry in entries.items()}


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """Build a JSON object and reject repeated names, of which Python would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(f"{path} names {twice} twice: give each file one entry")
    return found


def rows(path: Path, *columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Read (file name, row) from a CSV. The first of `columns` has the names, each once.

    columns: the possible headers of each column, as normalised by tables.column_name. Raises ManifestError.
    """
    table = read_table(path, columns, ManifestError)
    if not table.rows:
        raise ManifestError(f"{path} has no rows")
    key = next(name for name in columns[0] if name in table.columns)
    return [(row[key], row) for _, row in table.rows]


def _known(row: Row, name: str, where: Path) -> Known:
    """Parse an entry or a row. DFDC's preview set has two numbers of people."""
    originals = _names(row, "original", name, where) or _names(row, "source", name, where)
    people = [*_names(row, "person", name, where), *_names(row, "people", name, where)]
    if where.suffix.lower() != ".json":
        people = [person for one in people for person in one.split()]
    numbers = [f"preview/{row[key]}" for key in ("target_id", "swapped_id") if row.get(key)]
    return Known(_label_in(row, name, where), tuple(originals), tuple(dict.fromkeys([*people, *numbers])))


def _names(row: Row, key: str, name: str, where: Path) -> list[str]:
    """The names under `key` of an entry: one, several, or none."""
    value = row.get(key)
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ManifestError(f"{where}: {key} of {name} is {value!r}: give a name, a list of names or null")
    return [one for one in names if one]


def _label_in(row: Row, name: str, where: Path) -> Label | None:
    given = (column for column in LABEL if row.get(column) is not None and str(row[column]).strip())
    column = next(given, None)
    if column is None:
        return None
    value = row[column]
    label = read_label(value)
    if label is None:
        raise ManifestError(f"{where}: {column} of {name} is {value!r}: give 1 (fake) or 0 (real), or FAKE or REAL")
    turned = column in REAL and str(value).strip().lower() not in ("real", "fake")
    return (1, 0)[label] if turned else label


def read_label(value: object) -> Label | None:
    """Parse a label: 1 fake, 0 real, None if invalid.

    >>> [read_label(value) for value in ("Fake", " real ", True, 0, "1.0", "1", 0.5, "", None, ["FAKE"])]
    [1, 0, 1, 0, 1, 1, None, None, None, None]
    """
    text = str(value).strip().lower()
    found = number(text)
    return WORDS.get(text) if found is None else {0.0: WORDS["real"], 1.0: WORDS["fake"]}.get(found)


def _tested(path: Path) -> Iterator[tuple[str, Known]]:
    """Parse each line of Celeb-DF's list into (name, Known), with its labels inverted: 1 is fake here."""
    text, _ = read_text(path, ManifestError)
    for line in filter(str.strip, text.splitlines()):
        found = _TESTED.fullmatch(line)
        if found is None:
            raise ManifestError(f"{path}: {line[:80]!r} is no line of Celeb-DF's list, as 1 Celeb-real/id0_0000.mp4 is")
        name, fake = found[2], found[1] == "0"
        if fake != ("synthesis" in name.lower()):
            said = "a fake" if fake else "real"
            raise ManifestError(f"{path} says that {name} is {said}: in this list 1 is real, and 0 Celeb-synthesis/…")
        yield name, Known(1 if fake else 0, people=people_in(name))
