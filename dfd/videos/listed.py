"""Layouts with a file that lists the videos: a metadata.json, an index.csv, or a CSV of labels."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from dfd.errors import ManifestError
from dfd.types import Video
from dfd.videos.files import Tree
from dfd.videos.found import Found, of_anything, of_listed
from dfd.videos.labels import LABEL, NAME, Known, read_known, read_label, rows
from dfd.videos.names import Names, folders_before, inside, without
from dfd.videos.people import original_of, people_in

METADATA = "metadata.json"
PREVIEW = "dataset.json"
"""Name used by DFDC's preview set. A dataset of dfd faces has such a file too, but without names of videos."""
INDEX = "index.csv"
"""Lists face images, or videos, with the columns file, label, source, and optionally person."""


def of_index(tree: Tree) -> Found | None:
    """Read the images or videos listed in the folder's index.csv. A metadata.json in the folder takes precedence."""
    top = [name for name in tree.called(INDEX) if "/" not in name]
    if not top or any("/" not in name for name in tree.called(METADATA)):
        return None
    where = tree.root / top[0]
    list(rows(where, ("file",), ("label",), ("source",)))  # require sources: without them faces would cross folds
    videos, absent = _listed(tree, where, read_known(where))
    found = of_listed(tree, videos, "a folder with a list", INDEX, f"not in {INDEX}")
    return replace(found, notes=_absent(absent, INDEX))


def of_metadata(tree: Tree) -> Found | None:
    """Read the videos that each metadata.json, or the preview's dataset.json, lists in its own folder.

    A file below the folder of another one is ignored. A part's folder prefixes its videos' names.
    """
    files = _outermost(tree)
    if not files:
        return None
    listed = [_listed(tree, tree.root / name, read_known(tree.root / name)) for name in files]
    videos, absent = ([*chain.from_iterable(part)] for part in zip(*listed, strict=True))
    name = files[0].rpartition("/")[2]
    preview = any(person.startswith("preview/") for video in videos for person in video.people)
    parts = f", {len(files)} parts" if len(files) > 1 else ""
    layout = "DFDC's preview set" if preview else f"DFDC's form{parts}"
    found = of_listed(tree, videos, layout, f"{len(files)} files {name}" if parts else name, f"not in {name}")
    return replace(found, notes=_absent(absent, name))


def of_table(tree: Tree) -> Found | None:
    """Read a folder with CSVs of labels, in it or next to it. Counts listed files that do not exist."""
    films, labelled = Names(tree.films), dict[str, tuple[Known, Path]]()
    tables, absent = tables_of(tree), list[str]()
    for where in tables:
        for name, calls, known in _matched(tree, films, where):
            if calls is None:
                absent.append(name)
            elif labelled.setdefault(calls, (known, where))[0].label != known.label:
                raise ManifestError(f"{where} and {labelled[calls][1]} have two labels of {name}: give it one")
    names = ", ".join(where.name for where in tables)
    if not labelled:
        note = f"{names} is not read: none of the files that it names is here, as {absent[0]} is not." if absent else ""
        return replace(of_anything(tree), notes=(note,)) if note else None
    called = Names(labelled)
    videos = [
        _video(tree.films[name], name, known, (called.find(one, where) or one for one in known.originals))
        for name, (known, where) in labelled.items()
    ]
    found = of_listed(tree, videos, "a folder with a table", names, f"not in {names}")
    return replace(found, notes=_absent(absent, names))


def _matched(tree: Tree, films: Names, where: Path) -> Iterator[tuple[str, str | None, Known]]:
    """Yield (name, file, Known) for each row of a table; the file is None if it does not exist.

    A table in the folder may have been made elsewhere, with other folders before every name. A table above it may list
    the videos of other folders.
    """
    known, folder = read_known(where), tree.root.resolve().name
    before = folders_before(list(known)) if where.parent == tree.root else ""
    for name, one in known.items():
        inner = without("", name).rpartition(f"{folder}/")[2]
        yield name, films.find(inner, where) or films.find(without(before, name), where), one


def _absent(names: Sequence[str], by: str) -> tuple[str, ...]:
    """A note on listed files that do not exist."""
    files, are = ("file", "is") if len(names) == 1 else ("files", "are")
    return (f"{len(names):,} {files} that {by} names {are} not there: first {names[0]}.",) if names else ()


def tables_of(tree: Tree) -> list[Path]:
    """The CSVs of labels in a folder, or else one next to it with a matching name."""
    own = [tree.root / name for name in tree.others if "/" not in name and name.lower().endswith((".csv", ".tsv"))]
    folder = tree.root.resolve()
    nearby = (folder.parent / name for name in ("labels.csv", f"{folder.name}.csv", f"{folder.name}_labels.csv"))
    return [path for path in own if _has_labels(path)] or [p for p in nearby if p.is_file() and _has_labels(p)]


def place(names: Names, folder: Path, name: str, where: Path) -> Path:
    """The path of a file in `folder` that `where` calls `name`; names: of the files in that folder.

    For a missing file it is the path that it would have. Raises ManifestError for a name outside the folder.
    """
    path = inside(folder, name, where)
    calls = None if os.path.lexists(path) else names.find(name, where)
    return path if calls is None else folder / calls


def _listed(tree: Tree, where: Path, entries: Mapping[str, Known]) -> tuple[list[Video], list[str]]:
    """The videos that one file lists in its own folder, and the names of missing ones.

    Raises ManifestError if none exists.
    """
    prefix = "" if where.parent == tree.root else f"{where.parent.relative_to(tree.root).as_posix()}/"
    every = (*tree.videos, *tree.stills, *tree.others)
    names, called = Names(name[len(prefix) :] for name in every if name.startswith(prefix)), Names(entries)
    videos: dict[Path, Video] = {}
    for name, known in entries.items():
        path = place(names, where.parent, name, where)
        if path in videos:
            raise ManifestError(f"{where} names {path.name} twice, also as {name}: give each file one entry")
        originals = known.originals or filter(None, [original_of(name) if known.label else ""])
        videos[path] = _video(path, prefix + name, known, (prefix + (called.find(o, where) or o) for o in originals))
    there = [video for video in videos.values() if os.path.lexists(video.path)]
    absent = [video.name for video in videos.values() if not os.path.lexists(video.path)]
    if absent and not there:
        raise ManifestError(f"none of the {len(absent)} files that {where} names is there: first {absent[0]}")
    return there, absent


def _video(path: Path, name: str, known: Known, originals: Iterable[str]) -> Video:
    """Build a Video from what is known of it. A second original counts as a person in the video."""
    source, *further = [*originals] or [""]
    people = dict.fromkeys((*further, *known.people, *people_in(name)))
    return Video(path, name, known.label, source, people=tuple(people))


def _outermost(tree: Tree) -> list[str]:
    """The files in DFDC's format, by name, except those in or below the folder of another one."""
    found: list[str] = []
    files = tree.called(METADATA, PREVIEW)
    for name in sorted(files, key=lambda name: (name.count("/"), name.lower().endswith(PREVIEW), name)):
        below = any(name.startswith(other[: other.rfind("/") + 1]) for other in found)
        if not below and (not name.lower().endswith(PREVIEW) or _has_entries(tree.root / name)):
            found.append(name)
    return sorted(found)


def _has_entries(path: Path) -> bool:
    """Whether a dataset.json lists videos with labels."""
    try:
        return any(known.label is not None for known in read_known(path).values())
    except ManifestError:
        return False


def _has_labels(path: Path) -> bool:
    """Whether a CSV is one of labels: by its name, or by its columns and at least one valid label.

    A submission has the same columns, but with probabilities as labels.
    """
    if "submission" in path.name.lower():
        return False
    if "label" in path.name.lower():
        return True
    try:
        table = [row for _, row in rows(path, NAME, LABEL)]
    except ManifestError:
        return False
    column = next(column for column in LABEL if column in table[0])
    given = {row[column] for row in table}
    return any(read_label(value) is not None for value in given) and not any(map(_is_probability, given))


def _is_probability(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False
