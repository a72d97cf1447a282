import pytest

from dfd.scoring.seen import among, seen_before, shown


@pytest.mark.parametrize(
    ("name", "seen", "same"),
    [
        ("a.mp4", "a.mp4", True),
        ("dfdc_train_part_0/a.mp4", "a.mp4", True),
        ("a.mp4", "data/dfdc_train_part_0/a.mp4", True),
        ("dfdc_train_part_0/a.mp4", "dfdc_train_part_1/a.mp4", False),  # another file
        ("Deepfakes/c23/videos/000_003.mp4", "Face2Face/c23/videos/000_003.mp4", False),
        ("c23/videos/000_003.mp4", "Face2Face/c23/videos/000_003.mp4", True),
        ("ba.mp4", "a.mp4", False),
        ("a.mp4/b", "a.mp4", False),
    ],
)
def test_names_match_with_more_or_fewer_folders(name, seen, same):
    assert among([name, "z"], [seen, "y"]) == [name] * same
    assert among([seen], [name]) == [seen] * same


def test_a_group_counts_as_seen_as_a_whole():
    """A fake, its source and another real video of that person form one group; the last video is unrelated."""
    names, sources = ["fake", "real", "again", "stranger"], ["real", "real", "again", "stranger"]
    groups = ["g", "g", "g", "stranger"]
    for seen in ("part/fake", "real", "again"):
        assert seen_before(names, sources, groups, [seen]) == ["fake", "real", "again"]
    assert seen_before(["fake2"], ["real"], ["fake2"], ["real"]) == ["fake2"]  # the source is not among the videos
    assert seen_before(names, sources, groups, ["elsewhere"]) == []


def test_the_first_names_and_the_number_of_others_are_given():
    assert shown(["a", "b"]) == "'a', 'b'"
    assert shown(list("abcde")) == "'a', 'b', 'c' and 2 more"
