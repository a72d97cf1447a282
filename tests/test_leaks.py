import numpy as np
import pytest

from dfd.errors import ConfigError
from dfd.scoring.leaks import near_duplicates, part_links, person_links


def test_a_brighter_copy_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    pictures = rng.random((6, 400))
    pictures[4] = pictures[1] * 0.5 + 0.2 + rng.normal(0, 0.002, 400)
    assert [pair[:2] for pair in near_duplicates(pictures, list("abcdef"))] == [(1, 4)]
    assert near_duplicates(pictures, ["a", "b", "c", "d", "b", "f"]) == []  # one group


def test_black_pictures_are_no_duplicates():
    assert near_duplicates(np.zeros((3, 16)), list("abc")) == []


def test_a_part_is_one_group_and_a_video_in_none_is_named():
    names = ["dfdc_train_part_1/b", "dfdc_train_part_10/a", "dfdc_train_part_1/a", "all/dfdc_train_part_10/c"]
    assert part_links(names) == [
        (names[0], names[0]), (names[1], names[1]), (names[2], names[0]), (names[3], names[1])
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"'loose\.mp4' is in no part of DFDC"):
        part_links([*names, "loose.mp4"])


def test_people_are_found_in_any_order_of_faces():
    """Four people, each a direction with some noise; one video shows two of them."""
    rng = np.random.default_rng(0)
    who = rng.integers(0, 4, 60)
    faces = np.eye(4)[who] @ rng.normal(0, 1, (4, 64)) + rng.normal(0, 0.2, (60, 64))
    names = [f"v{number:02d}" for number in range(60)]
    links = person_links(faces / np.linalg.norm(faces, axis=1, keepdims=True), names, distance=0.5)
    assert [name for name, _ in links] == names
    first = dict(links)
    assert all((first[a] == first[b]) == (who[i] == who[j]) for i, a in enumerate(names) for j, b in enumerate(names))


def test_the_distance_is_euclidean():
    faces = np.array([[0.0, 0.0], [0.3, 0.4], [3.0, 4.0]])
    assert person_links(faces, list("abc"), 0.51) == [("a", "a"), ("b", "a"), ("c", "c")]
    assert person_links(faces, list("abc"), 0.49) == [(name, name) for name in "abc"]


def test_a_single_face_is_one_person():
    assert person_links(np.ones((1, 4)), ["a"], 0.5) == [("a", "a")]
    assert person_links(np.ones((0, 4)), [], 0.5) == []
