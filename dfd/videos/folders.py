"""Layouts recognised by folder names: FaceForensics++, its mirrors, DeepFakeDetection, Celeb-DF, real and fake."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dfd.types import Label, Video
from dfd.videos.files import Tree
from dfd.videos.found import Found, of_listed
from dfd.videos.labels import TEST_LIST, read_known
from dfd.videos.listed import tables_of
from dfd.videos.names import Names
from dfd.videos.people import CELEB, METHODS, original_of, people_in

REAL_WORDS = frozenset({"real", "reals", "original", "originals", "pristine", "genuine", "authentic"})
FAKE_WORDS = frozenset(
    {"fake", "fakes", "deepfake", "deepfakes", "manipulated", "altered", "forged", "synthetic", "synthesis"}
)
"""Words in the name of a folder of real videos, or of fakes, in lower case."""
PLAIN = frozenset({"real", "reals", "fake", "fakes"})
"""Folder names that suffice alone. Of the other words both kinds must occur."""
MASKS = "masks"
"""FaceForensics++'s mask videos of changed pixels, which show nobody."""
COMPRESSION = re.compile(r"(?<![a-z0-9])(raw|c0|c23|c40)(?![a-z0-9])", re.I)
"""FaceForensics++'s compressions."""

Folder = tuple[str, Label]
"""A folder whose name labels the videos below it."""


def of_folders(tree: Tree) -> Found | None:
    """Read videos from folders of real videos and of fakes. Their names may say who is in them."""
    films = {name: path for name, path in tree.films.items() if MASKS not in name.lower().split("/")}
    folders_of = {name: folder for name in films if (folder := folder_of(name)) is not None}
    layout = _released(folders_of) or _by_label(folders_of)
    if layout is None:
        return None
    called, videos = Names(folders_of), []
    for name, (_, label) in folders_of.items():
        original = original_of(name) if label else ""
        source = called.find(original, tree.root) or original if original else ""
        videos.append(Video(films[name], name, label, source, people=people_in(name)))
    named = layout in ("FaceForensics++", "DeepFakeDetection")
    counts = Counter(folders_of.values())
    by = ", ".join(f"{name} ({count:,} {'fake' if label else 'real'})" for (name, label), count in counts.items())
    found = of_listed(tree, videos, layout, f"the folders {by}", "in no folder of real videos or of fakes", films)
    return replace(
        found,
        layout=" ".join([layout, *_compressions(tree.root.name, *folders_of)]) if named else layout,
        methods=sum(label for _, label in counts) if named else 0,
        notes=(*_tested(tree, videos), *_not_read(tree)),
    )


def folder_of(name: str) -> Folder | None:
    """The innermost folder in a video's name that says whether it is real, and the label.

    >>> folder_of("train/0_real/a.mp4"), folder_of("Celeb-synthesis/id0_id1_0000.mp4"), folder_of("real_and_fake/a.mp4")
    (('0_real', 0), ('Celeb-synthesis', 1), None)
    """
    for folder in reversed(name.split("/")[:-1]):
        words = set(re.split(r"[\W_\d]+", folder.lower()))
        fake = bool(words & FAKE_WORDS) or folder.lower() in METHODS
        if fake != bool(words & REAL_WORDS):
            return folder, 1 if fake else 0
    return None


def _released(folders_of: Mapping[str, Folder]) -> str | None:
    """The public dataset with these folders."""
    folders = {folder.lower() for folder, _ in folders_of.values()}
    above = {part.lower() for name in folders_of for part in name.split("/")[:-1]}
    casts = {person.partition("/")[0] for name in folders_of for person in people_in(name)}
    if folders & CELEB:
        return "Celeb-DF"
    if casts == {"actors"}:
        return "DeepFakeDetection"
    if above & {"manipulated_sequences", "original_sequences"} or (folders & METHODS and casts):
        return "FaceForensics++"
    return None


def _by_label(folders_of: Mapping[str, Folder]) -> str | None:
    both = len({label for _, label in folders_of.values()}) == 2
    alone = any(re.sub(r"[\W_\d]+", "", folder.lower()) in PLAIN for folder, _ in folders_of.values())
    return "folders by label" if both or alone else None


def _compressions(*names: str) -> list[str]:
    """The compressions in names of folders.

    >>> _compressions("FaceForensics++_C23"), _compressions("ff", "a/c40/1.mp4", "a/raw/1.mp4")
    (['c23'], ['c40', 'raw'])
    """
    return sorted({found.lower() for name in names for found in COMPRESSION.findall(name.replace("_", " "))})


def _tested(tree: Tree, videos: Sequence[Video]) -> list[str]:
    """Notes on Celeb-DF's list of test videos, if there is one."""
    called, notes = Names(video.name for video in videos), []
    for name in tree.called(TEST_LIST.lower()):
        where = tree.root / name
        listed = read_known(where)
        here = sum(called.find(one, where) is not None for one in listed)
        count = f"{here:,} of the {len(listed):,} in {TEST_LIST} are among them"
        notes.append(f"{count}: dfd predict --sample {where} scores these alone.")
    return notes


def _not_read(tree: Tree) -> list[str]:
    tables = [path.name for path in tables_of(tree) if path.parent == tree.root]
    return [f"{', '.join(tables)} is not read: the folders say what is real."] if tables else []
