"""The supported folder layouts, in the order in which they are tried."""

from collections.abc import Callable
from typing import NamedTuple

from dfd.videos.files import Tree
from dfd.videos.folders import of_folders
from dfd.videos.found import Found, of_anything
from dfd.videos.labels import TEST_LIST
from dfd.videos.listed import INDEX, METADATA, PREVIEW, of_index, of_metadata, of_table


class Layout(NamedTuple):
    """described: the names that identify it, for help texts. read: reads a folder; None if its layout is another."""

    name: str
    described: str
    read: Callable[[Tree], Found | None]


LAYOUTS = (
    Layout("DFDC, its test set, its preview", f"{METADATA} or {PREVIEW}, in the folder or in each part's", of_metadata),
    Layout("pictures or videos with a list", f"{INDEX}, with the columns file,label,source and person", of_index),
    Layout(
        "FaceForensics++ and its mirrors, DeepFakeDetection",
        "original_sequences/, manipulated_sequences/; original/, Deepfakes/, Face2Face/, FaceSwap/, FaceShifter/, "
        "NeuralTextures/, DeepFakeDetection/",
        of_folders,
    ),
    Layout("Celeb-DF", f"Celeb-real/, YouTube-real/, Celeb-synthesis/, {TEST_LIST}", of_folders),
    Layout("folders by label", "real/ and fake/, in any case, also as in train/0_real/", of_folders),
    Layout("a table of labels", "a CSV with the columns filename,label in the folder; labels.csv beside it", of_table),
    Layout("any other folder", "its videos, or its pictures if it has none; no labels", of_anything),
)


def understood(tree: Tree) -> Found:
    """Read a folder with the first layout that fits. Raises ManifestError if it fits but is malformed."""
    readers = dict.fromkeys(layout.read for layout in LAYOUTS)
    return next(found for read in readers if (found := read(tree)) is not None)


def described() -> str:
    """Describe each layout in a line, with the names that identify it, for help texts."""
    return "\n".join(f"- {layout.name}: {layout.described}" for layout in LAYOUTS)
