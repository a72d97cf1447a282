from dataclasses import replace

import numpy as np
import pytest
import torch

from dfd.clips.augment import NOTHING, AugmentConfig
from dfd.clips.balance import Balance, DrawConfig
from dfd.clips.dataset import ClipRecipe, EpochSampler, SliceDataset, a_tracklet, collate, load_clips, scored_clips
from dfd.clips.sampling import ClipConfig, ScoredClips, middle_clip
from dfd.errors import StoreError
from dfd.faces.recorder import in_memory
from dfd.faces.records import load_crops
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video

CONFIG = ClipConfig(length=6, size=48, margin=1.3, clips=2)
SHARE = Balance(real=5, fake=2, prior=2 / 7)


def slices(videos, seed=0, augment=NOTHING):
    return SliceDataset(videos, ClipRecipe(CONFIG, DrawConfig(per_load=2, seed=seed), augment), SHARE)


@pytest.fixture
def videos(small_store):
    return [record for record in small_store.records() if record.tracklets]


FACES = FacesConfig(size=64, detect_side=320, segment=0.5)


@pytest.fixture(scope="module")
def long(face_video):
    """An in-memory video of three seconds: six segments of seven or eight frames, with a face in each."""
    return in_memory(Video(face_video, "face.mp4", 1), FACES)


def test_a_clip_is_cut_from_the_stored_crops_at_its_margin(videos):
    (record,) = videos[0].tracklets
    clips = load_clips(record, np.array([[3, 5, 7], [0, 0, 1]]), ClipConfig(length=3, size=52, margin=1.3))
    assert clips.shape == (2, 3, 3, 52, 52)
    assert clips.dtype == torch.uint8
    stored = load_crops(record, [5])[0]
    assert np.array_equal(clips[0, :, 1].permute(1, 2, 0).numpy(), stored[6:58, 6:58])  # 52 of 64 pixels: no resizing


class TestScoredClips:
    def test_are_the_middle_clips_of_each_face_in_the_scored_segments(self, long):
        tracklets, clips = scored_clips(long, CONFIG)
        assert (long.segments, long.faced) == (6, list(range(6)))
        assert [(t.segment, t.face) for t in tracklets] == [(1, 0), (4, 0)]
        assert clips.shape == (2, 3, 6, 48, 48)
        assert clips.dtype == torch.uint8
        for tracklet, clip in zip(tracklets, clips, strict=True):
            at = middle_clip(*tracklet.bounds, tracklet.fps, CONFIG) - tracklet.indices[0]
            assert torch.equal(load_clips(tracklet, at[None], CONFIG)[0], clip)

    def test_a_share_selects_segments(self, long):
        four = CONFIG.replace(clips=4)
        counts = {share: [t.segment for t in scored_clips(long, four, share)[0]] for share in (1.0, 0.5, 0.0)}
        assert counts == {1.0: [0, 2, 3, 5], 0.5: [1, 4], 0.0: [3]}

    def test_are_deterministic_whatever_else_was_read(self, long, face_video):
        wanted = ScoredClips((CONFIG, CONFIG.replace(clips=3, fps=7.5)))
        part = in_memory(Video(face_video, "face.mp4", 1), FACES, wanted)
        assert part.segments == 6
        assert part.faced == [1, 3, 4, 5]
        assert len(part.tracklets[0].film) < len(long.tracklets[0].film)
        for config in wanted.configs:
            tracklets, clips = scored_clips(long, config)
            assert torch.equal(clips, scored_clips(long, config)[1])
            others, same = scored_clips(part, config)
            assert [(t.segment, t.face, t.confidence) for t in tracklets] == [
                (t.segment, t.face, t.confidence) for t in others
            ]
            assert torch.equal(clips, same)

    def test_a_margin_wider_than_stored_is_refused(self, videos):
        with pytest.raises(ValueError, match="wider than the stored"):
            scored_clips(videos[0], ClipConfig(margin=1.7))

    def test_a_film_that_cannot_be_read_is_named(self, videos, tmp_path):
        (tracklet,) = videos[0].tracklets
        gone = replace(videos[0], tracklets=(replace(tracklet, film=tmp_path / "gone.mp4"),))
        with pytest.raises(StoreError, match=r"gone\.mp4 cannot be read .*: build that video again"):
            scored_clips(gone, CONFIG)


def test_longer_tracklets_and_larger_faces_are_sampled_more(long):
    first, second = long.tracklets[:2]
    small = replace(first, indices=first.indices[:4])
    large = replace(second, indices=second.indices[:6], path=replace(second.path, side=2 * first.path.side))
    rng = np.random.default_rng(0)
    drawn = [a_tracklet([small, large], rng) for _ in range(1000)]
    assert sum(one is large for one in drawn) / 1000 == pytest.approx(12 / 16, abs=0.05)


def test_each_class_is_sampled_according_to_its_balance(videos):
    dataset = slices(videos)
    items = [dataset[0, i] for i in range(len(dataset))]
    counts = {record.video: 0 for record in videos}
    for item in items:
        assert len(set(item.names)) == 1
        counts[item.names[0]] += len(item.names)
    assert counts == {record.video: 4 if record.label else 10 for record in videos}
    assert all(set(item.labels.tolist()) == {float("fake" in item.names[0])} for item in items)


def test_clips_differ_per_epoch_and_repeat_across_runs(videos):
    a, b = (slices(videos, 7, AugmentConfig(codec=0.5)) for _ in range(2))
    assert torch.equal(a[3, 1].images, b[3, 1].images)
    assert not torch.equal(a[3, 1].images, a[4, 1].images)


def test_the_order_changes_per_epoch_and_covers_every_item():
    sampler = EpochSampler(20, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {i for _, i in first} == {i for _, i in second} == set(range(20))
    assert [i for _, i in first] != [i for _, i in second]
    assert {epoch for epoch, _ in second} == {1}


def test_a_batch_concatenates_its_items(videos):
    dataset = slices(videos)
    batch = collate([dataset[0, 0], dataset[0, 1]])
    assert batch.images.shape[0] == len(batch.labels) == len(batch.names)
    assert torch.equal(batch.images[:2], dataset[0, 0].images)
