"""The videos found in a folder, and how its layout was interpreted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dfd.types import Video
from dfd.videos.files import Tree


@dataclass(frozen=True)
class Found:
    """The videos of a folder, sorted by name.

    layout: description. by: source of the labels; "" without labels. methods: number of folders of fakes, in a dataset
    with one per method; else 0. left_out: files that are not among `videos`; why: completes "3 videos are". notes:
    sentences on other contents.
    """

    videos: tuple[Video, ...]
    layout: str = "one file"
    by: str = ""
    methods: int = 0
    left_out: tuple[Video, ...] = ()
    why: str = ""
    notes: tuple[str, ...] = ()

    def with_unlisted(self) -> "Found":
        """A copy that adds what is left out, as videos without a label."""
        return replace(self, videos=by_name((*self.videos, *self.left_out)), left_out=())


def of_listed(
    tree: Tree,
    videos: Sequence[Video],
    layout: str,
    by: str,
    why: str,
    films: Mapping[str, Path] | None = None,
) -> Found:
    """Select the labelled videos of a folder; the others are left out. by: source of the labels.

    films: all candidates by name; by default the folder's videos, plus its images if `videos` has any.
    """
    if films is None:
        films = {**tree.videos, **(tree.stills if any(video.still for video in videos) else {})}
    taken = {video.path for video in videos}
    left_out = unlabelled({name: path for name, path in films.items() if path not in taken})
    known = any(video.label is not None for video in videos)
    return Found(by_name(videos), layout, by if known else "", left_out=left_out, why=why)


def of_anything(tree: Tree) -> Found:
    """All videos below a folder, without labels; the images if there are no videos."""
    left_out = unlabelled(tree.stills) if tree.videos else ()
    kind = "videos" if tree.videos else "pictures"
    return Found(by_name(unlabelled(tree.films)), f"a folder of {kind}", left_out=left_out, why="among videos")


def unlabelled(films: Mapping[str, Path]) -> tuple[Video, ...]:
    """Videos by name and path, without further information."""
    return tuple(Video(path, name) for name, path in films.items())


def by_name(videos: Sequence[Video]) -> tuple[Video, ...]:
    """Sort videos by name."""
    return tuple(sorted(videos, key=lambda video: video.name))
