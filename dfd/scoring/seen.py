"""Which videos a model has seen in training. Names are compared only in this module.

The names are those of videos and images on which the model or its starting weights were trained, of the sources of
these, and of the people in them where the dataset names them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dfd.errors import first_of

SEEN = "seen_by_weights"
"""Key in the measures of held-out videos: how many of them the models' starting weights had seen."""


class Seen:
    """An index of the names that a model has seen. Leading folders are compared as in among()."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._ends = {end for name in self._names for end in _ends(name)}

    def __contains__(self, name: str) -> bool:
        return name in self._ends or not self._names.isdisjoint(_ends(name))


def among(names: Iterable[str], seen: Iterable[str]) -> list[str]:
    """Those of `names` that are in `seen`, where either may have more leading folders than the other.

    >>> among(["dfdc_train_part_0/a.mp4", "b.mp4", "real/1.mp4"], ["a.mp4", "x/b.mp4", "fake/1.mp4"])
    ['dfdc_train_part_0/a.mp4', 'b.mp4']
    """
    known = Seen(seen)
    return [name for name in names if name in known]


def seen_before(
    names: Sequence[str],
    sources: Sequence[str],
    groups: Sequence[str],
    seen: Iterable[str],
    people: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Those of `names` in whose group a video, its source, or a person in it is among `seen`.

    sources, groups: of each name, as in a frame of folds. people: by name, where known.

    >>> seen_before(["a.mp4", "b.mp4", "c.mp4"], ["r.mp4", "b.mp4", "c.mp4"], ["g", "g", "c.mp4"], ["r.mp4"])
    ['a.mp4', 'b.mp4']
    >>> seen_before(["d.mp4"], ["d.mp4"], ["d.mp4"], ["e.mp4", "Ada"], {"d.mp4": ["Ada"]})
    ['d.mp4']
    """
    seen = set(seen)
    met = {name for name, persons in (people or {}).items() if not seen.isdisjoint(persons)}
    known = met | set(among({*names, *sources}, seen))
    rows = list(zip(names, sources, groups, strict=True))
    touched = {group for name, source, group in rows if name in known or source in known}
    return [name for name, _, group in rows if group in touched]


def shown(names: Sequence[str]) -> str:
    """Abbreviate a list of names: the first ones, and how many more there are.

    >>> shown(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    return first_of([repr(name) for name in names])


def _ends(name: str) -> Iterator[str]:
    """The name, then without its first folder, without its first two, and so on."""
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
