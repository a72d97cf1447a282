from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.augment import AugmentConfig
from dfd.clips.balance import DrawConfig
from dfd.clips.dataset import ClipRecipe, EpochSampler, TrainingClips
from dfd.clips.joined import JoinedClips
from dfd.clips.pairs import PairDataset
from dfd.clips.sampling import ClipConfig


class Items(TrainingClips):
    """A dataset of `count` items that return their own (name, epoch, number)."""

    clips = 2

    def __init__(self, name, count):
        self.name, self.count = name, count

    def __len__(self):
        return self.count

    def __getitem__(self, item):
        assert 0 <= item[1] < self.count
        return self.name, *item


def epochs(data, count):
    """All items of `count` epochs, one list per epoch."""
    return [[data[epoch, number] for number in range(len(data))] for epoch in range(count)]


def test_a_half_share_takes_half_of_the_items_and_then_the_rest():
    first, second, third = epochs(JoinedClips([Items("a", 3), Items("b", 4)], [1, 0.5], seed=0), 3)
    assert Counter(name for name, *_ in first) == {"a": 3, "b": 2}
    of_b = [{item[2] for item in epoch if item[0] == "b"} for epoch in (first, second)]
    assert of_b[0] | of_b[1] == {0, 1, 2, 3}
    assert {item for item in (*first, *second) if item[0] == "b"} == {("b", 0, number) for number in range(4)}
    assert {item[1] for item in third if item[0] == "b"} == {1}  # the second pass of b
    for epoch, items in enumerate((first, second, third)):
        assert {item for item in items if item[0] == "a"} == {("a", epoch, number) for number in range(3)}


def test_the_drawn_half_depends_on_the_seed():
    halves = [{item[2] for item in epochs(JoinedClips([Items("a", 100)], [0.5], seed), 1)[0]} for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]
    assert any(number >= 50 for number in halves[0])


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.05, 3)), min_size=1, max_size=3), st.integers(1, 6))
def test_no_item_repeats_before_all_were_drawn(parts, count):
    data = JoinedClips([Items(n, size) for n, (size, _) in enumerate(parts)], [share for _, share in parts], seed=3)
    items = [item for epoch in epochs(data, count) for item in epoch]
    assert len(set(items)) == len(items)
    for name, (size, share) in enumerate(parts):
        times = Counter(number for part, _, number in items if part == name)
        assert max(times.values()) - min([times[number] for number in range(size)]) <= 1
        assert sum(times.values()) == count * max(1, round(share * size))


def test_items_do_not_depend_on_processes_or_resuming(small_store, other_store):
    """Two stores with different margins and sizes: clips have one size and depend only on (seed, epoch, number)."""
    config = ClipConfig(length=3, size=32, margin=1.3)
    draw, augment = DrawConfig(per_load=1, self_blend=0.3), AugmentConfig(codec=0)
    parts = [
        PairDataset([r for r in store.records() if r.tracklets], ClipRecipe(config, draw.replace(seed=n), augment))
        for n, store in enumerate((small_store, other_store))
    ]
    data = JoinedClips(parts, [1, 0.5], seed=0)
    alone = list(EpochSampler(len(data), 0))
    shared = [list(EpochSampler(len(data), 0, part, 2)) for part in range(2)]
    assert [item for both in zip(*shared, strict=True) for item in both] == alone[: 2 * len(shared[0])]
    item = next(item for item in alone if data.where(*item)[0] == 1)
    once, again = data[item], JoinedClips(parts, [1, 0.5], seed=0)[item]
    assert once.images.shape == (2, 3, 3, 32, 32)
    assert torch.equal(once.images, again.images)
    assert all(name.startswith("b/") for name in once.names)


def test_there_is_one_share_per_dataset():
    with pytest.raises(ValueError, match="zip"):
        JoinedClips([Items("a", 3)], np.ones(2).tolist(), seed=0)
