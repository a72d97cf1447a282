from collections import Counter
from dataclasses import replace

import pytest

from dfd.clips.augment import NOTHING
from dfd.clips.pairs import PairDataset
from dfd.errors import ConfigError
from dfd.training.material import mixed, training_clips

EVEN = {"a": 1.0, "b": 1.0}


@pytest.fixture
def videos(small_store, other_store):
    """Four real videos and four fakes in a, three of each in b."""
    stores = {"a": small_store, "b": other_store}
    return [replace(r, dataset=name) for name, store in stores.items() for r in store.records() if r.tracklets]


def made_of(recipe, **train):
    return recipe.replace(train=recipe.train.replace(**train), augment=NOTHING)


def opened(clips, epoch=0):
    """Video names in an epoch's items."""
    return Counter(name for number in range(len(clips)) for name in set(clips[epoch, number].names))


def test_an_epoch_takes_its_share_of_each_dataset(videos, small_recipe):
    whole, prior = training_clips(videos, small_recipe, EVEN)
    assert (len(whole), prior) == (4 + 3, 0.5)
    half, _ = training_clips(videos, small_recipe, {"a": 1.0, "b": 1 / 3})
    assert len(half) == 4 + 1
    fakes = {name for epoch in range(3) for name in opened(half, epoch) if name.startswith("b/fake")}
    assert fakes == {f"b/fake{n}.mp4" for n in range(3)}  # a third per epoch: all in three epochs
    assert all(opened(half)[f"fake{n}.mp4"] == 1 for n in range(4))


def test_a_single_dataset_is_sampled_as_without_mixing(videos, small_recipe):
    own = [replace(video, dataset="") for video in videos if video.dataset == "a"]
    clips, _ = training_clips(own, small_recipe, {"": 1.0})
    assert isinstance(clips, PairDataset)
    assert (mixed({"": 1.0}), mixed({"": 0.5}), mixed(EVEN)) == ({}, {"mix": {"": 0.5}}, {"mix": EVEN})
    assert len(training_clips(own, small_recipe, {"": 0.5})[0]) == 2


def test_a_real_only_dataset_among_several_gets_self_blends(videos, small_recipe):
    some = [video for video in videos if video.dataset == "a" or video.label == 0]
    clips, _ = training_clips(some, made_of(small_recipe, self_blend=0.2, aligned=0), EVEN)
    pairs = [clips[0, number].names for number in range(len(clips))]
    of_b = [names for names in pairs if names[0].startswith("b/")]
    assert len(of_b) == 3
    assert all(names[:2] == names[2:] for names in of_b)
    with pytest.raises(ConfigError, match="^b: the training videos are 3 real and 0 fake: .* --train.self-blend 1"):
        training_clips(some, small_recipe, EVEN)


def test_fakes_are_paired_with_sources_in_another_dataset(videos, small_recipe):
    """b's fakes name a's real videos as sources."""
    some = [replace(v, source=v.source[2:]) for v in videos if v.dataset == "b" and v.label == 1]
    clips, _ = training_clips([v for v in videos if v.dataset == "a"] + some, made_of(small_recipe, aligned=1), EVEN)
    pairs = [clips[0, number].names for number in range(len(clips))]
    of_b = {(names[0], names[2]) for names in pairs if names[2].startswith("b/")}
    assert of_b == {(f"real{n}.mp4", f"b/fake{n}.mp4") for n in range(3)}
    with pytest.raises(ConfigError, match="^a: the training videos are 0 real and 4 fake"):
        training_clips([v for v in videos if v.label == 1], small_recipe, EVEN)
    with pytest.raises(ConfigError, match="^b: it has only fakes, and self_blend 1 makes all fakes of real videos"):
        training_clips([v for v in videos if v.dataset == "a"] + some, made_of(small_recipe, self_blend=1), EVEN)


def test_slices_work_across_datasets(videos, small_recipe):
    some = [v for v in videos if v.video not in ("real3.mp4", "real2.mp4")]
    clips, prior = training_clips(some, made_of(small_recipe, balance="slices"), {"a": 1.0, "b": 0.5})
    assert len(clips) == (4 + 2 * 2) + 3
    assert prior == 0.5
    with pytest.raises(ConfigError, match="set balance to pairs"):
        training_clips(some, made_of(small_recipe, balance="slices", mixup=0.5), EVEN)


def test_a_dataset_without_a_video_is_refused(videos, small_recipe):
    with pytest.raises(ConfigError, match="^c: none of its videos is left to learn from"):
        training_clips(videos, small_recipe, {**EVEN, "c": 1.0})
