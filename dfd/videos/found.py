"""What a folder holds, and how it was understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dfd.types import Video
from dfd.videos.files import Tree


@dataclass(frozen=True)
class Found:
    """The videos of a folder, sorted by name.

    layout: how they lie there, in words. by: what their labels are from; "" where they have none. methods: folders of
    fakes, of a set that has one for each way of making them; else 0. left_out: what lies there and is not among
    `videos`; why: in words that go on "3 videos are". notes: sentences on what else is there.
    """

    videos: tuple[Video, ...]
    layout: str = "one file"
    by: str = ""
    methods: int = 0
    left_out: tuple[Video, ...] = ()
    why: str = ""
    notes: tuple[str, ...] = ()

    def with_unlisted(self) -> "Found":
        """The same, with what is left out as videos without a label."""
        return replace(self, videos=by_name((*self.videos, *self.left_out)), left_out=())


def of_listed(
    tree: Tree,
    videos: Sequence[Video],
    layout: str,
    by: str,
    why: str,
    films: Mapping[str, Path] | None = None,
) -> Found:
    """Some of a folder's videos, of which `by` has the labels. The others are left out.

    films: all of them by name; if not given the folder's videos, and its pictures where some are among `videos`.
    """
    if films is None:
        films = {**tree.videos, **(tree.stills if any(video.still for video in videos) else {})}
    taken = {video.path for video in videos}
    left_out = unlabelled({name: path for name, path in films.items() if path not in taken})
    known = any(video.label is not None for video in videos)
    return Found(by_name(videos), layout, by if known else "", left_out=left_out, why=why)


def of_anything(tree: Tree) -> Found:
    """All videos below a folder, without labels; where there are none, the pictures."""
    left_out = unlabelled(tree.stills) if tree.videos else ()
    kind = "videos" if tree.videos else "pictures"
    return Found(by_name(unlabelled(tree.films)), f"a folder of {kind}", left_out=left_out, why="beside videos")


def unlabelled(films: Mapping[str, Path]) -> tuple[Video, ...]:
    """Videos by name and path, of which nothing else is known."""
    return tuple(Video(path, name) for name, path in films.items())


def by_name(videos: Sequence[Video]) -> tuple[Video, ...]:
    """The same, sorted."""
    return tuple(sorted(videos, key=lambda video: video.name))
