import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfd.clips.augment import NOTHING, PARTS, AugmentConfig, Draw, recoded, thinned_clips
from dfd.clips.sampling import ClipConfig
from dfd.faces.crops import narrow

FACE = np.array([[44.0, 44], [64, 44], [54, 56], [46, 66], [62, 66]], np.float32)  # eyes 20 pixels apart
ALWAYS = [name for name in AugmentConfig.model_fields if name not in ("zoom", "shift", "rate", "reduce_to")]


def picture(seed=0, size=96):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(30, 220, (size // 8, size // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def still(frames=5, seed=0):
    return np.repeat(picture(seed)[None], frames, axis=0)


def face(frames=5):
    return np.repeat(FACE[None], frames, axis=0)


def draw(seed=0, **settings):
    return Draw.of(np.random.default_rng(seed), NOTHING.replace(**settings))


def applied(drawn, images=None, size=48, margin=1.3):
    images = still() if images is None else images
    return drawn(images, 1.6, margin, size, face(len(images)))


def test_without_augmentation_a_clip_equals_the_scored_clip():
    images = np.stack([picture(seed) for seed in range(3)])
    for margin, size in ((1.6, 96), (1.3, 48), (1.0, 60)):
        assert np.array_equal(applied(draw(), images, size, margin), narrow(images, 1.6, margin, size))


@pytest.mark.parametrize("seed", range(25))
def test_all_frames_of_a_constant_clip_get_the_same_draw(seed):
    strong = AugmentConfig(**dict.fromkeys(ALWAYS, 0.6), zoom=0.3, shift=0.2).replace(noise=0, codec=0)
    frames = applied(Draw.of(np.random.default_rng(seed), strong))
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


@pytest.mark.parametrize("name", ALWAYS)
def test_each_augmentation_changes_both_twins_equally(name):
    plain, drawn = applied(draw()), draw(3, **{name: 1})
    once, again = applied(drawn), applied(drawn)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, plain)
    assert not np.array_equal(applied(draw(4, **{name: 1})), once) or name in ("flip", "grey")


def test_noise_differs_per_frame_but_has_constant_strength():
    grey = np.full((4, 96, 96, 3), 128, np.uint8)
    drawn = draw(noise=1)
    noisy = applied(drawn, grey, 96, 1.6).astype(float)
    assert not np.array_equal(noisy[0], noisy[1])
    assert noisy.std(axis=(1, 2, 3)) == pytest.approx(drawn.noise, rel=0.05)


def test_recompression_loss_grows_with_crf_and_is_even_across_frames():
    images = still()
    losses = {crf: (recoded(images, crf).astype(float) - images) ** 2 for crf in (17, 40)}
    assert losses[17].mean() < losses[40].mean() / 2
    by_frame = losses[40].mean(axis=(1, 2, 3))
    assert by_frame.max() < 1.5 * by_frame.min()
    assert recoded(images[:, :47, :33], 20).shape == (5, 47, 33, 3)  # odd sides


def test_downscaling_removes_detail_and_keeps_the_size():
    rng = np.random.default_rng(0)
    fine = np.repeat(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)[None], 2, axis=0)
    drawn = draw(2, reduce=1)
    assert 0.25 <= drawn.reduction < 1
    assert applied(drawn, fine, 96, 1.6).std() < 0.8 * fine.std()


def test_the_downscaling_factor_is_drawn():
    left = [draw(seed, reduce=1, reduce_to=0.6).reduction for seed in range(60)]
    assert 0.6 <= min(left) < 0.65
    assert 0.95 < max(left) <= 1


def test_a_grey_clip_loses_colour_and_keeps_brightness():
    grey = applied(draw(grey=1), size=96, margin=1.6)
    assert np.ptp(grey, axis=3).max() == 0
    assert grey.mean() == pytest.approx(float((still() @ [0.299, 0.587, 0.114]).mean()), abs=1)
    assert draw(grey=1, colour=1).saturation == 0


def test_a_blended_crop_spans_1_to_1_5_boxes_with_a_small_shift():
    """The recipe `blend` cuts margin 1.25, zoomed by up to 0.2, out of margin 1.7; a ramp shows which part."""
    ramp = np.repeat(np.arange(250, dtype=np.uint8)[None, :, None], 250, axis=0).repeat(3, axis=2)[None]
    scales, aside = [], []
    for seed in range(300):
        row = draw(seed, zoom=0.2, shift=0.04)(ramp, 1.7, 1.25, 125, None)[0, 0, :, 0].astype(float)
        width = 125 * (row[-10] - row[9]) / (125 - 19)  # width of the cut in stored pixels; its ends are rounded
        scales.append(width * 1.7 / 250)
        aside.append((row[9] + row[-10] - 249) / 2 / width)
    assert (min(scales), max(scales)) == pytest.approx((1.0, 1.5), abs=0.03)
    assert np.mean(scales) == pytest.approx(1.25, abs=0.03)
    assert (min(aside), max(aside)) == pytest.approx((-0.04, 0.04), abs=0.01)


def test_a_mirrored_clip_is_the_clip_reversed_left_to_right():
    assert np.array_equal(applied(draw(flip=1)), applied(draw())[:, :, ::-1])


@pytest.mark.parametrize("part", PARTS)
def test_an_occlusion_covers_part_of_the_face_and_follows_it(part):
    drawn = replace(draw(), part=part, cover=(255, 0, 255))
    images = np.zeros((2, 96, 96, 3), np.uint8)
    moved = np.stack([FACE, FACE + np.array([10, 0], np.float32)])
    covered = (drawn(images, 1.6, 1.6, 96, moved) == (255, 0, 255)).all(axis=3)
    assert np.array_equal(covered[0, :, 20:75], covered[1, :, 30:85])
    assert 0.003 < covered[0].mean() < 0.3
    y, x = np.argwhere(covered[0]).mean(axis=0)
    inside = {
        "eyes": (54, 44), "nose": (54, 50), "mouth": (54, 66),
        "left": (39, 55), "right": (69, 55), "upper": (54, 38.5), "lower": (54, 71.5),
    }  # fmt: skip
    assert (x, y) == pytest.approx(inside[part], abs=2)


def test_nothing_is_covered_without_landmarks():
    drawn = draw(cutout=1)
    assert drawn.part is not None
    assert np.array_equal(drawn(still(), 1.6, 1.3, 48, None), applied(draw()))


def test_landmarks_move_with_the_cut():
    """Covering the stored crop and then cutting equals cutting and then covering."""
    drawn = replace(draw(), part="eyes", cover=(255, 255, 255), zoom=0.8, shift=(0.1, -0.05))
    images = np.zeros((1, 96, 96, 3), np.uint8)
    first = replace(draw(), part="eyes", cover=(255, 255, 255))(images, 1.6, 1.6, 96, face(1))
    a = replace(drawn, part=None)(first, 1.6, 1.2, 80, None)
    b = drawn(images, 1.6, 1.2, 80, face(1))
    assert np.abs(a.astype(float) - b).mean() < 5
    assert b.max() == 255


@given(st.integers(0, 2**32), st.floats(1.0, 1.6), st.integers(16, 80))
@settings(max_examples=40, deadline=None)
def test_augmentation_never_changes_the_clip_size(seed, margin, size):
    config = AugmentConfig(**dict.fromkeys(ALWAYS, 0.5), zoom=0.9, shift=0.9).replace(codec=0)
    clip = applied(Draw.of(np.random.default_rng(seed), config), None, size, margin)
    assert clip.shape == (5, size, size, 3)
    assert clip.dtype == np.uint8


def test_a_cut_wider_than_the_stored_crop_is_refused():
    with pytest.raises(ValueError, match="margin 1.7 is wider than the stored crops' 1.6"):
        applied(draw(), margin=1.7)


def test_augmentations_occur_at_their_configured_rate():
    rng = np.random.default_rng(0)
    config = AugmentConfig(flip=0.5, codec=0.25)
    draws = [Draw.of(rng, config) for _ in range(2000)]
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.04)
    crfs = [d.crf for d in draws if d.crf is not None]
    assert len(crfs) / 2000 == pytest.approx(0.25, abs=0.04)
    assert (min(crfs), max(crfs)) == (17, 40)


def test_enabling_another_augmentation_keeps_the_other_draws():
    a, b = draw(5, noise=1), draw(5, noise=1, jpeg=1)
    assert (a.noise, a.seed) == (b.noise, b.seed)


def test_frames_are_dropped_to_15_to_30_a_second():
    config = ClipConfig(length=8, fps=30)
    rng = np.random.default_rng(0)
    steps = set()
    for _ in range(200):
        positions = thinned_clips(300, 30.0, config, 2, rng, NOTHING.replace(rate=1))
        assert positions.shape == (2, 8)
        assert positions.min() >= 0
        assert positions.max() < 300
        steps |= {int(b - a) for row in positions for a, b in itertools.pairwise(row)}
    assert steps == {1, 2}  # 30 a second: every frame; 15: every other
    slow = thinned_clips(100, 10.0, config, 1, rng, NOTHING.replace(rate=1))[0]
    assert np.diff(slow).tolist() == [1] * 7  # nothing to drop


@given(st.integers(1, 400), st.floats(5, 60), st.integers(0, 10**6))
def test_thinned_clips_lie_in_their_track_in_order(frames, fps, seed):
    config = ClipConfig(length=6, fps=12)
    positions = thinned_clips(frames, fps, config, 3, np.random.default_rng(seed), NOTHING.replace(rate=0.5))
    assert positions.shape == (3, 6)
    assert positions.min() >= 0
    assert positions.max() < frames
    assert (np.diff(positions) >= 0).all()


def test_recompression_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recoded(still(), 30)
    assert list(Path(tmp_path).iterdir()) == []
