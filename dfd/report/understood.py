"""Summarise how a folder of videos was interpreted, before an hour is spent on it."""

import os
from collections.abc import Sequence
from pathlib import Path

from dfd.scoring.folds import source_groups
from dfd.types import Video
from dfd.videos.found import Found


def understood(path: Path, found: Found, labels: bool = True) -> list[str]:
    """Lines on the layout of `path`, the source of its labels, and what is left out; none for a single file.

    labels: whether the next step needs them; if so a missing class is reported.
    """
    if not path.is_dir():
        return []
    lines = [f"{path}: {found.layout}: {_counts(found)}."]
    if labels or found.by:
        lines.append(f"Labels are from {found.by}." if found.by else NO_LABELS)
    if labels and found.by and (lacking := _lacking(found.videos)):
        lines.append(f"None is {lacking}: cross-validation needs real videos, and fakes or --train.self-blend 1.")
    if found.left_out:
        count = _number(found.left_out)
        are = "is" if len(found.left_out) == 1 else "are"
        lines.append(f"{count} {are} {found.why} and {are} left out; --unlisted includes {_them(found.left_out)}.")
    return [*lines, *found.notes]


NO_LABELS = (
    "No video has a label, and training needs them: a metadata.json, a labels.csv, or folders real and fake give them "
    "(dfd faces --help)."
)


def _them(videos: Sequence[Video]) -> str:
    return "it" if len(videos) == 1 else "them"


def _number(videos: Sequence[Video]) -> str:
    """The number of videos or images, in words.

    >>> _number([Video(Path("a.mp4"), "a.mp4")]), _number([Video(Path("a.png"), "a.png")] * 2000)
    ('1 video', '2,000 pictures')
    """
    what = "picture" if all(video.still for video in videos) else "video"
    return f"{len(videos):,} {what}{'s' * (len(videos) != 1)}"


def _counts(found: Found) -> str:
    """Number of videos by label, and number of groups linked by sources and people."""
    labels = [video.label for video in found.videos]
    absent = sum(not os.path.lexists(video.path) for video in found.videos)
    if not found.by:
        return _number(found.videos) + (f", {absent:,} of them not there" if absent else "")
    methods = f" of {found.methods} method{'s' * (found.methods != 1)}" if found.methods else ""
    counts = [f"{labels.count(0):,} real", f"{labels.count(1):,} fake{methods}"]
    unknown = [f"{labels.count(None):,} without a label"] if None in labels else []
    kind = "people" if any(video.people for video in found.videos) else "one source"
    groups = _groups(found.videos)
    return ", ".join([*counts, *unknown, f"{groups:,} group{'s' * (groups != 1)} of {kind}"])


def _groups(videos: Sequence[Video]) -> int:
    """Number of groups that folds keep whole."""
    named = [(video.name, person) for video in videos for person in video.people]
    names, sources = [video.name for video in videos], [video.source for video in videos]
    a, b = ([pair[side] for pair in named] for side in (0, 1))
    return len(set(source_groups([*names, *a], [*sources, *b])))


def _lacking(videos: Sequence[Video]) -> str:
    labels = {video.label for video in videos}
    return "real" if 0 not in labels else "fake" if 1 not in labels else ""
