import numpy as np
import pytest
import torch

from dfd.clips.augment import NOTHING, AugmentConfig
from dfd.clips.balance import Balance, DrawConfig
from dfd.clips.dataset import EpochSampler, SliceDataset, collate, load_clips, scored_clips
from dfd.clips.sampling import ClipConfig
from dfd.faces.store import load_crops

CONFIG = ClipConfig(length=6, size=48, margin=1.3, clips=2)
SHARE = Balance(real=5, fake=2, prior=2 / 7)


def slices(videos, seed=0, augment=NOTHING):
    return SliceDataset(videos, CONFIG, SHARE, DrawConfig(per_load=2, seed=seed), augment)


@pytest.fixture
def videos(small_store):
    return [record for record in small_store.records() if record.tracks]


def test_a_clip_is_the_stored_crops_cut_to_its_margin(videos):
    (record,) = videos[0].tracks
    clips = load_clips(record, np.array([[3, 5, 7], [0, 0, 1]]), ClipConfig(length=3, size=52, margin=1.3))
    assert clips.shape == (2, 3, 3, 52, 52)
    assert clips.dtype == torch.uint8
    stored = load_crops(record, [5])[0]
    assert np.array_equal(clips[0, :, 1].permute(1, 2, 0).numpy(), stored[6:58, 6:58])  # 52 of 64 pixels: no resizing


def test_scored_clips_are_the_same_every_time(videos):
    (record,) = videos[0].tracks
    assert torch.equal(scored_clips(record, CONFIG), scored_clips(record, CONFIG))


def test_each_class_gives_its_slices(videos):
    dataset = slices(videos)
    items = [dataset[0, i] for i in range(len(dataset))]
    counts = {record.video: 0 for record in videos}
    for item in items:
        assert len(set(item.names)) == 1
        counts[item.names[0]] += len(item.names)
    assert counts == {record.video: 2 if record.label else 5 for record in videos}
    assert all(set(item.labels.tolist()) == {float("fake" in item.names[0])} for item in items)


def test_clips_are_drawn_anew_each_epoch_and_the_same_on_each_run(videos):
    a, b = (slices(videos, 7, AugmentConfig(codec=0.5)) for _ in range(2))
    assert torch.equal(a[3, 1].images, b[3, 1].images)
    assert not torch.equal(a[3, 1].images, a[4, 1].images)


def test_the_order_changes_with_the_epoch_and_covers_everything():
    sampler = EpochSampler(20, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {i for _, i in first} == {i for _, i in second} == set(range(20))
    assert [i for _, i in first] != [i for _, i in second]
    assert {epoch for epoch, _ in second} == {1}


def test_a_batch_is_its_items_one_after_another(videos):
    dataset = slices(videos)
    batch = collate([dataset[0, 0], dataset[0, 1]])
    assert batch.images.shape[0] == len(batch.labels) == len(batch.names)
    assert torch.equal(batch.images[:2], dataset[0, 0].images)


def test_a_margin_wider_than_stored_is_refused(videos):
    with pytest.raises(ValueError, match="wider than the stored"):
        scored_clips(videos[0].tracks[0], ClipConfig(margin=1.7))
