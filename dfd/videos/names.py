"""Match the names in a table with files, ignoring case, suffix, kind of slash, or leading folders."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from errno import ENAMETOOLONG
from itertools import takewhile
from pathlib import Path, PurePosixPath

from dfd.errors import ManifestError
from dfd.types import STILLS
from dfd.videos.files import SUFFIXES

ENDS = SUFFIXES | STILLS


class Names:
    """An index of file names with forward slashes, for approximate look-up."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._exact = frozenset(self._names)
        self._by_file: dict[str, list[str]] | None = None

    def find(self, name: str, where: Path) -> str | None:
        r"""The file name that `name` refers to; None if there is none.

        Tries the name itself; then another case, \\ for /, or equivalent Unicode; then with or without a suffix; then a
        file below a folder, if only one matches. Raises ManifestError when two match; it names the file `where` the
        name was read.

        >>> names = Names(["b/A.MP4", "c.d.avi", "e"])
        >>> [names.find(name, Path("x.csv")) for name in ("b/a.mp4", r".\b\a.mp4", "C.D", "e.mp4", "a", "a.avi")]
        ['b/A.MP4', 'b/A.MP4', 'c.d.avi', 'e', 'b/A.MP4', None]
        """
        if name in self._exact:
            return name
        key = _key(name)
        alike = self._files().get(_file(key), [])
        for fits in (
            lambda other: other == key,
            lambda other: _same_but_for_suffix(other, key),
            lambda other: other.endswith(f"/{key}"),
            lambda other: _same_but_for_suffix(_end(other, key), key),
        ):
            found = [other for other in alike if fits(_key(other))]
            if len(found) > 1:
                raise ManifestError(f"{where} names {name}, which may be {found[0]} or {found[1]}: give its whole name")
            if found:
                return found[0]
        return None

    def _files(self) -> dict[str, list[str]]:
        """The names by their last part, in lower case and without its suffix."""
        if self._by_file is None:
            self._by_file = defaultdict(list)
            for name in self._names:
                self._by_file[_file(_key(name))].append(name)
        return self._by_file


def renamed(listed: Iterable[str], names: Iterable[str], where: Path) -> dict[str, str]:
    """Map each name `listed` in the file `where` to one of `names`; to itself if there is no match.

    Raises ManifestError if two match the same name.

    >>> renamed(["a", "B.mp4", "c"], ["x/a.mp4", "b.mp4"], Path("labels.csv"))
    {'a': 'x/a.mp4', 'B.mp4': 'b.mp4', 'c': 'c'}
    """
    called, listed, first = Names(names), list(listed), dict[str, str]()
    before = folders_before(listed)
    found = {name: called.find(name, where) or called.find(without(before, name), where) or name for name in listed}
    for name, calls in found.items():
        if first.setdefault(calls, name) != name:
            raise ManifestError(f"{where} names {calls} twice, as {first[calls]} and as {name}: give it one row")
    return found


def folders_before(names: Sequence[str]) -> str:
    """The folders that prefix every name, for a table that was made where the files had another location.

    >>> folders_before(["C:\\\\data\\\\a.mp4", "C:/data/x/b.mp4"]), folders_before(["/a.mp4"])
    ('C:/data/', '/')
    >>> folders_before(["a/b/1.mp4", "a/c/1.mp4", "2.mp4"])
    ''
    """
    levels = zip(*(_slashed(name).split("/")[:-1] for name in names), strict=False)
    return "".join(f"{level[0]}/" for level in takewhile(lambda level: len(set(level)) == 1, levels))


def without(folders: str, name: str) -> str:
    """Remove the prefix `folders` from the name."""
    return _slashed(name).removeprefix(folders)


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _key(name: str) -> str:
    """Normalise a name for comparison. macOS and some archives write é as two characters."""
    return unicodedata.normalize("NFC", _slashed(name)).lower().removeprefix("./")


def _file(name: str) -> str:
    return _bare(name).rpartition("/")[2]


def _bare(name: str) -> str:
    """The name without the suffix of a video or image; other dots in a name are kept.

    >>> _bare("a/b.1.mp4"), _bare("b.1")
    ('a/b.1', 'b.1')
    """
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix in ENDS else name


def _same_but_for_suffix(one: str, other: str) -> bool:
    """Whether two names differ only in one of them having a suffix. a.mp4 and a.avi are two videos."""
    return _bare(one) == _bare(other) and (one == _bare(one)) != (other == _bare(other))


def _end(name: str, like: str) -> str:
    """The last folders of a name, as many as the other has."""
    return "/".join(name.split("/")[-1 - like.count("/") :])


def inside(folder: Path, name: str, where: Path) -> Path:
    """The path of `name` in `folder`. A link inside is accepted, wherever it leads, even if broken.

    Raises ManifestError if the name itself leads out of the folder, or is not valid for a file.
    """
    path, parts = folder / name, PurePosixPath(name)
    if not name or "\\" in name or parts.is_absolute() or ".." in parts.parts:
        raise ManifestError(f"{where} names {name!r}, which lies outside {folder}: give a name within the folder")
    try:
        path.lstat()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == ENAMETOOLONG:
            raise ManifestError(f"{where} names {name[:80]!r}, which no file can be called: {error}") from None
    return path
