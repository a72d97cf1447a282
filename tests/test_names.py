"""Match names as people write them with those on disk."""

from pathlib import Path

import pytest

from dfd.errors import ManifestError
from dfd.videos.names import Names

WHERE = Path("labels.csv")


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        (["a.mp4", "A.mp4"], "a.mp4", "a.mp4"),  # an exact match precedes another case
        (["a.MP4"], "a.mp4", "a.MP4"),
        (["Videos/A.mp4"], "videos/a.MP4", "Videos/A.mp4"),
        (["a.mp4"], "a", "a.mp4"),
        (["a"], "a.mp4", "a"),
        (["a.1.mp4", "a.2.mp4"], "a.1", "a.1.mp4"),
        (["a", "a.mp4"], "a", "a"),
        (["x/y/a.mp4"], "y/a.mp4", "x/y/a.mp4"),
        (["x/a.mp4"], "a", "x/a.mp4"),
        (["a.mp4"], "x/a.mp4", None),  # a file in another folder
        (["a.mkv"], "a.mp4", None),
        (["ba.mp4"], "a.mp4", None),
    ],
)
def test_a_name_matches_its_file(there, name, found):
    assert Names(there).find(name, WHERE) == found


@pytest.mark.parametrize(
    ("there", "name"), [(["a.mp4", "a.avi"], "a"), (["A.mp4", "a.MP4"], "a.mp4"), (["x/a", "y/a"], "a")]
)
def test_an_ambiguous_name_lists_both_matches(there, name):
    with pytest.raises(ManifestError, match=rf"labels\.csv names {name}, which may be {there[0]} or {there[1]}"):
        Names(there).find(name, WHERE)
