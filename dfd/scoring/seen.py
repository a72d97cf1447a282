"""Which videos a model has seen in training: names are compared here and nowhere else.

What a model has seen are names: of the videos and pictures that it, or the weights it began from, were trained on, of
what those were made from, and of people, where the data says who is in them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dfd.errors import first_of

SEEN = "seen_by_weights"
"""In the measures of what was held out: how many of it the weights had seen that its models began from."""


class Seen:
    """The names that a model has seen, indexed: a name is found with more or fewer folders before it, as in among()."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._ends = {end for name in self._names for end in _ends(name)}

    def __contains__(self, name: str) -> bool:
        return name in self._ends or not self._names.isdisjoint(_ends(name))


def among(names: Iterable[str], seen: Iterable[str]) -> list[str]:
    """Those of `names` that are in `seen`, there with more or fewer folders before the file.

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
    """Those of `names` in whose group a video, the source of one, or a person in one is among what was `seen`.

    sources, groups: of each name, as a frame of folds has them. people: by name, where they are known.

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
    """The first of `names`, and how many more there are.

    >>> shown(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    return first_of([repr(name) for name in names])


def _ends(name: str) -> Iterator[str]:
    """The name, and what is left of it without its first folder, its first two, and so on."""
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
