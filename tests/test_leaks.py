import numpy as np

from dfd.scoring.leaks import near_duplicates


def test_a_brighter_copy_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    pictures = rng.random((6, 400))
    pictures[4] = pictures[1] * 0.5 + 0.2 + rng.normal(0, 0.002, 400)
    assert [pair[:2] for pair in near_duplicates(pictures, list("abcdef"))] == [(1, 4)]
    assert near_duplicates(pictures, ["a", "b", "c", "d", "b", "f"]) == []  # one group


def test_black_pictures_are_no_duplicates():
    assert near_duplicates(np.zeros((3, 16)), list("abc")) == []
