import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.augment import NOTHING, AugmentConfig
from dfd.clips.balance import DrawConfig
from dfd.clips.blend import BlendConfig
from dfd.clips.dataset import ClipRecipe, scored_clips
from dfd.clips.pairs import PairDataset, Turns, same_frames, turn
from dfd.clips.sampling import ClipConfig
from dfd.errors import ConfigError, StoreError
from dfd.faces.link import Trajectory
from dfd.faces.recorder import in_memory
from dfd.faces.store import FaceStore
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video

CONFIG = ClipConfig(length=6, size=48, margin=1.3, clips=2)
STRONG = AugmentConfig(flip=0.5, zoom=0.2, shift=0.1, colour=1, reduce=0.5, jpeg=0.5, codec=0.2, rate=0.5, cutout=0.5)


@pytest.fixture
def videos(small_store):
    return [record for record in small_store.records() if record.tracklets]


def dataset(videos, augment=NOTHING, blend=None, **draw):
    recipe = ClipRecipe(CONFIG, DrawConfig(**{"per_load": 2, **draw}), augment, blend or BlendConfig())
    return PairDataset(videos, recipe)


def items(data, epoch=0):
    return [data[epoch, number] for number in range(len(data))]


def test_items_are_balanced_and_an_epoch_covers_every_video(videos):
    batches = items(dataset(videos, slices=1))
    assert len(batches) == 4
    for batch in batches:
        assert batch.images.shape == (4, 3, 6, 48, 48)
        assert batch.images.dtype == torch.uint8
        assert batch.labels.tolist() == [0, 0, 1, 1]
        assert ["fake" in name for name in batch.names] == [False, False, True, True]
    assert {name for batch in batches for name in batch.names} >= {video.video for video in videos if video.label}


def test_the_rarer_class_is_sampled_as_often_as_the_other(videos):
    reals = [video for video in videos if video.label == 0]
    few = [*reals[:1], *(video for video in videos if video.label == 1)]
    batches = items(dataset(few, slices=2, aligned=0))
    assert len(batches) == 8
    assert {name for batch in batches for name in batch.names[2:]} == {f"fake{n}.mp4" for n in range(4)}


@pytest.mark.parametrize("settings", [{}, {"per_load": 3}, {"slices": 2}, {"self_blend": 0.4}, {"aligned": 1}])
@pytest.mark.parametrize("rarer", [0, 1])
def test_an_epoch_opens_each_majority_video_slices_times(videos, monkeypatch, settings, rarer):
    """For any per_load, self_blend and aligned; self-blended fakes do not count."""
    opened = Counter()
    monkeypatch.setattr("dfd.clips.pairs.load_raw", lambda t, at: opened.update([t.video]) or [None] * len(at))
    monkeypatch.setattr(PairDataset, "_blended", lambda _, faces, *__: opened.update([faces[0].video]))
    some = [v for v in videos if v.label != rarer or v.video in ("real1.mp4", "fake1.mp4", "fake2.mp4")]
    data = dataset(some, **settings)
    for number in range(len(data)):
        data.pairs(3, number, np.random.default_rng(number))
    commoner = [video.video for video in some if video.label != rarer]
    assert [opened[name] for name in commoner] == [settings.get("slices", 1)] * len(commoner)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 5), st.floats(0, 0.9))
def test_self_blends_have_their_share_of_an_epoch(reals, fakes, slices, made):
    turns = Turns(reals, fakes, slices, made, seed=0)
    count = sum(turns.makes(number) for number in range(len(turns)))
    assert count == pytest.approx(made * len(turns), abs=1)


def test_a_fake_is_paired_with_its_source(videos):
    for batch in items(dataset(videos, aligned=1)):
        assert [name.replace("real", "fake") for name in batch.names[:2]] == list(batch.names[2:])
        # The fakes are their sources with every other line darkened, at the same time and place.
        real, fake = batch.images[0].float(), batch.images[2].float()
        assert np.corrcoef(real.mean(dim=(0, 1)).flatten(), fake.mean(dim=(0, 1)).flatten())[0, 1] > 0.7


def test_aligned_frames_are_found_by_number(videos):
    by_name = {video.video: video for video in videos}
    fake, real = by_name["fake1.mp4"], by_name["real1.mp4"]
    positions = np.array([[0, 3, 5], [2, 2, 7]])
    found = same_frames(fake.tracklets[0], positions, real)
    assert found is not None
    assert found[0].video == "real1.mp4"
    assert np.array_equal(found[1], positions)


def test_aligned_frames_have_the_same_segment_and_face_position(small_dataset):
    faces = FacesConfig(size=64, detect_side=320, segment=0.4)
    fake, real = (in_memory(Video(small_dataset / f"{name}1.mp4", f"{name}1.mp4"), faces) for name in ("fake", "real"))
    assert [tracklet.segment for tracklet in real.tracklets] == [0, 1, 2]
    middle, positions = fake.tracklets[1], np.array([[1, 2, 4]])
    (one,) = real.of(1)
    path = replace(one.path, seen=tuple(replace(s, landmarks=s.landmarks + 500) for s in one.path.seen))
    elsewhere, short = replace(one, path=path), replace(one, indices=one.indices[:3])
    for others, wanted in (((one,), one), ((elsewhere, one), one), ((elsewhere,), None), ((short,), None), ((), None)):
        found = same_frames(middle, positions, replace(real, tracklets=(real.tracklets[0], *others)))
        assert (found and found[0]) is wanted
        assert found is None or np.array_equal(found[0].indices[found[1]], middle.indices[positions])


def test_pure_self_blending_needs_no_fake(videos):
    reals = [video for video in videos if video.label == 0]
    batches = items(dataset(reals, slices=1, self_blend=1))
    assert len(batches) == 4
    for batch in batches:
        assert batch.labels.tolist() == [0, 0, 1, 1]
        assert batch.names[:2] == batch.names[2:]
    different = [not torch.equal(batch.images[:2], batch.images[2:]) for batch in batches]
    assert all(different)
    with pytest.raises(ConfigError, match=r"4 real and 0 fake.*--train.self-blend 1 makes the fakes"):
        dataset(reals, self_blend=0.5)
    with pytest.raises(ConfigError, match="0 real and 4 fake"):
        dataset([video for video in videos if video.label == 1], self_blend=1)


def test_dataset_fakes_are_unused_with_pure_self_blending(videos):
    batches = items(dataset(videos, self_blend=1))
    assert not any("fake" in name for batch in batches for name in batch.names)


def test_half_of_the_fakes_can_be_self_blended(videos, monkeypatch):
    monkeypatch.setattr(PairDataset, "_blended", lambda *_: ["made"])
    monkeypatch.setattr(PairDataset, "_real_fakes", lambda *_: ["found"])
    data = dataset(videos, self_blend=0.5)
    rng = np.random.default_rng(0)
    drawn = [data.pairs(0, number, rng)[0] for number in range(len(data))]
    assert (drawn.count("made"), drawn.count("found")) == (4, 4)


def test_at_ratio_zero_a_fake_equals_its_twin_after_all_augmentations(videos):
    """At a ratio of 0 twin and fake are equal: any difference would be a shortcut to learn."""
    nothing = BlendConfig(ratios=(0.0,))
    for batch in items(dataset(videos, STRONG, nothing, self_blend=1)):
        assert torch.equal(batch.images[:2], batch.images[2:])


def test_the_blended_face_lies_within_its_twins_picture(videos):
    batch = dataset(videos, self_blend=1, blend=BlendConfig(ratios=(1.0,)))[0, 0]
    difference = (batch.images[0].int() - batch.images[2].int()).abs().amax(dim=(0, 1))
    assert difference[10:40, 10:40].max() > 3
    assert difference[0].max() <= 3


def test_an_item_depends_only_on_seed_epoch_and_number(videos):
    a, b = (dataset(videos, STRONG, self_blend=0.5, mixup=0.5, cutmix=0.5, seed=7) for _ in range(2))
    list(map(a.__getitem__, [(0, 0), (1, 2)]))  # what was drawn before does not matter
    assert torch.equal(a[3, 1].images, b[3, 1].images)
    assert torch.equal(a[3, 1].labels, b[3, 1].labels)
    assert not torch.equal(a[3, 1].images, a[4, 1].images)
    assert not torch.equal(a[3, 1].images, dataset(videos, STRONG, self_blend=0.5, seed=8)[3, 1].images)


def test_mixed_pairs_have_soft_labels_that_sum_to_one(videos):
    for settings in ({"mixup": 1, "self_blend": 1}, {"mixup": 1, "aligned": 1}, {"cutmix": 1, "aligned": 0}):
        labels = torch.stack([batch.labels for batch in items(dataset(videos, **settings))])
        assert torch.allclose(labels[:, :2] + labels[:, 2:], torch.ones(4, 2))
        assert ((labels > 0) & (labels < 1)).any()
        assert (labels[:, :2] <= 0.5).all()


def test_unaligned_faces_are_not_mixed(videos):
    unrelated = [v for v in videos if v.video in ("real0.mp4", "fake1.mp4")]
    assert dataset(unrelated, mixup=1, aligned=1)[0, 0].labels.tolist() == [0, 0, 1, 1]
    at_other_times = [v for v in videos if v.video in ("real0.mp4", "fake0.mp4")]
    assert dataset(at_other_times, mixup=1, aligned=0)[0, 0].labels.tolist() == [0, 0, 1, 1]


def test_without_augmentation_training_clips_equal_scored_clips(videos):
    still = [video for video in videos if video.video in ("real0.mp4", "fake0.mp4")]
    whole = ClipConfig(length=still[1].tracklets[0].frames, size=48, margin=1.3)
    data = PairDataset(still, ClipRecipe(whole, DrawConfig(per_load=1, aligned=0), NOTHING))
    assert torch.equal(data[0, 0].images[:1], scored_clips(still[1], whole)[1])


def test_an_unreadable_film_stops_training_and_is_named(small_store, tmp_path):
    folder = tmp_path / "store"
    shutil.copytree(small_store.folder, folder)
    for path in folder.glob("tracklets/*/real*.mjpeg"):
        path.write_bytes(b"damaged")
    videos = [record for record in FaceStore.open(folder).records() if record.tracklets]
    with pytest.raises(StoreError, match=r"real\d\.mp4\.\w+\.mjpeg: \d+ of \d+ frames cannot"):
        items(dataset(videos))


def test_every_video_is_drawn_before_any_repeats():
    for lap in range(3):
        assert sorted(turn(1, 0, 1, 5, 5 * lap + n) for n in range(5)) == list(range(5))
    orders = {tuple(turn(1, epoch, label, 5, n) for n in range(5)) for epoch in range(5) for label in (0, 1)}
    assert len(orders) > 5


def without_landmarks(video):
    """Remove landmarks, as in the record of a picture without a detected face."""
    tracklets = []
    for face in video.tracklets:
        seen = tuple(replace(sighting, landmarks=np.full((5, 2), np.nan)) for sighting in face.path.seen)
        tracklets.append(replace(face, path=Trajectory.of(seen)))
    return replace(video, tracklets=tuple(tracklets))


def test_a_real_picture_without_landmarks_is_paired_but_not_blended(videos):
    blank = [without_landmarks(video) if video.label == 0 else video for video in videos]
    for item in items(dataset(blank, AugmentConfig(cutout=1), self_blend=0.5)):
        assert all(real.startswith("real") and fake.startswith("fake") for real, fake in pairwise_of(item))
    blank = [without_landmarks(video) if video.video == "real1.mp4" else video for video in videos]
    names = {name for item in items(dataset(blank, self_blend=1)) for name in item.names}
    assert names == {video.video for video in videos if video.label == 0} - {"real1.mp4"}
    with pytest.raises(ConfigError, match="no real video has a face with landmarks: there is nothing to make fakes of"):
        dataset([without_landmarks(video) for video in videos], self_blend=1)


def pairwise_of(item):
    half = len(item.names) // 2
    return zip(item.names[:half], item.names[half:], strict=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Crops of three people, two real and one fake each: the fake is a real one with a bright square."""
    folder, rng, found = tmp_path_factory.mktemp("crops"), np.random.default_rng(0), []
    for person in range(3):
        real = np.kron(rng.integers(20, 180, (8, 8, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        fake = real.copy()
        fake[16:32, 16:32] = 255
        for name, image in (("a", real), ("b", real // 2), ("f", fake)):
            path = folder / f"{name}{person}.png"
            cv2.imwrite(str(path), image[:, :, ::-1])
            video = Video(path, path.name, int(name == "f"), f"{person}.mp4")
            found.append(in_memory(video, FacesConfig(margin=1.0, size=48), cut=True))
    return found


def test_a_fake_picture_is_paired_with_any_real_one_of_its_source(pictures):
    """Pairs match by source, the video that a picture was taken from, as picture names differ."""
    recipe = ClipRecipe(ClipConfig(length=1, size=32, margin=1.0), DrawConfig(per_load=1, aligned=1), NOTHING)
    data = PairDataset(pictures, recipe)
    batches = [batch for epoch in range(4) for batch in items(data, epoch)]
    assert len(batches) == 4 * 6
    assert all(batch.names[0][1:] == batch.names[1][1:] for batch in batches)
    fakes_lead = PairDataset(
        [p for p in pictures if p.video != "b0.png"] + [replace(p, video=f"2{p.video}") for p in pictures if p.label],
        recipe,
    )
    assert fakes_lead.turns.fakes_lead
    pairs = {batch.names for epoch in range(8) for batch in items(fakes_lead, epoch)}
    assert {real for real, fake in pairs if fake == "f1.png"} == {"a1.png", "b1.png"}


def test_paired_pictures_get_the_same_augmentation(pictures):
    config = ClipConfig(length=1, size=48, margin=1.0)
    strong = AugmentConfig(flip=0.5, zoom=0.2, colour=1, noise=1, jpeg=0, reduce=0, codec=0)
    some = [picture for picture in pictures if not picture.video.startswith("b")]
    data = PairDataset(some, ClipRecipe(config, DrawConfig(per_load=1, aligned=1), strong))
    for batch in items(data, 2):
        assert batch.images.shape == (2, 3, 1, 48, 48)
        real, fake = batch.images[:, :, 0].int()
        outside = torch.cat([(real - fake)[:, :5].flatten(), (real - fake)[:, -5:].flatten()])
        assert outside.abs().max() <= 12  # loss of the stored JPEGs; augmentation would change far more
        assert (real - fake)[:, 18:30, 18:30].abs().max() > 60
