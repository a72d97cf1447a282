import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfd.clips.blend import BlendConfig, self_blend
from dfd.errors import ConfigError
from tests.conftest import LANDMARKS, moving_face

FACE = np.array([[40.0, 40], [60, 40], [50, 52], [42, 62], [58, 62]])  # eyes 20 pixels apart
MOVES = {"still": (1, 0, 0, 0), "drift": (0, 1, 0, 0), "flicker": (0, 0, 1, 0), "stutter": (0, 0, 0, 1)}
STILL = BlendConfig(jitter=0, ripple=0, shift=0, zoom=0, drift=0, ratios=(1.0,), motions=MOVES["still"])


def middle(weights):
    """The centre of mass of a mask: (x, y)."""
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def clip(frames=12, seed=1, size=100):
    """A still clip of smooth coloured noise, with a still face."""
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(30, 220, (size // 5, size // 5, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    return np.repeat(image[None], frames, axis=0), np.repeat(FACE[None], frames, axis=0)


def test_on_a_plain_picture_the_fake_is_the_masked_mix():
    images, landmarks = clip()
    images[:] = 100
    config = STILL.replace(change_target=0)
    twin, fake, masks = self_blend(images, landmarks, np.random.default_rng(3), config)
    assert np.array_equal(twin, images)
    t, y, x = np.unravel_index(masks.argmax(), masks.shape)
    assert masks[t, y, x] == 1
    changed = fake[t, y, x].astype(np.float64)
    assert np.abs(changed - 100).max() > 3
    mixed = masks[..., None] * changed + (1 - masks[..., None]) * 100.0
    assert np.abs(fake - mixed).max() <= 0.5 + 1e-3


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_twin_and_fake_are_equal_outside_the_mask(seed):
    images, landmarks = clip(frames=3)
    before = images.copy()
    twin, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig())
    assert np.array_equal(images, before)
    assert twin.shape == fake.shape == images.shape
    assert twin.dtype == fake.dtype == np.uint8
    assert masks.shape == images.shape[:3]
    assert np.array_equal(fake[masks == 0], twin[masks == 0])
    assert np.any(fake != twin)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_at_ratio_zero_the_fake_is_its_twin(seed):
    images, landmarks = clip(frames=2)
    twin, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig(ratios=(0.0,)))
    assert np.array_equal(fake, twin)
    assert masks.max() == 0


def test_the_mask_holds_no_more_than_the_ratio():
    images, landmarks = clip(frames=2)
    for seed in range(5):
        _, _, masks = self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig(ratios=(0.25,)))
        assert 0.2 < masks.max() <= 0.25


def test_the_side_that_is_recoloured_is_chosen():
    images, landmarks = clip()
    for seed in range(8):
        twin, _, _ = self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig(change_target=0))
        assert np.array_equal(twin, images)
        twin, _, _ = self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig(change_target=1))
        assert not np.array_equal(twin, images)


def test_parameters_are_drawn_once_per_clip():
    """A still picture of a still face gives a still fake."""
    images, landmarks = clip()
    config = BlendConfig(motions=MOVES["still"])
    for seed in range(8):
        twin, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), config)
        assert (twin == twin[0]).all()
        assert (fake == fake[0]).all()
        assert (masks == masks[0]).all()


def test_drift_is_slow_and_has_the_configured_deviation():
    images, landmarks = clip(frames=150)
    config = STILL.replace(drift=0.1, motions=MOVES["drift"])  # of 20 pixels: 2
    ways = []
    for seed in range(4):
        _, _, masks = self_blend(images, landmarks, np.random.default_rng(seed), config)
        ways.append(np.array([middle(m) for m in masks]))
    steps = np.concatenate([np.linalg.norm(np.diff(way, axis=0), axis=1) for way in ways])
    assert 0 < steps.max() < 1.5
    assert 1 < np.concatenate([way - way.mean(axis=0) for way in ways]).std() < 3


def test_a_flickering_face_varies_in_brightness_and_is_sometimes_unblended():
    images, landmarks = clip(frames=12)
    images[:] = 100
    config = STILL.replace(motions=MOVES["flicker"], change_target=0)
    own = []
    for seed in range(12):
        twin, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), config)
        assert (twin == twin[0]).all()
        shown = [float(fake[t][masks[t] == 1].mean()) for t in range(12) if masks[t].max()]
        assert 0 < np.std(shown) < 10  # 1 to 4 % of about 100
        assert max(np.abs(np.diff(shown))) < 25
        own.append(12 - len(shown))
        assert np.array_equal(fake[[m.max() == 0 for m in masks]], twin[[m.max() == 0 for m in masks]])
    assert set(own) <= {0, 1, 2, 3}
    assert max(own) > 0


def test_a_stuttering_face_repeats_or_skips_frames_while_the_head_does_not():
    """The picture brightens by 5 per frame, so the face shows which frame it was taken from."""
    images, landmarks = clip(frames=12)
    images[:] = (60 + 5 * np.arange(12, dtype=np.uint8))[:, None, None, None]
    config = STILL.replace(motions=MOVES["stutter"], change_target=1)  # the face itself keeps its colour
    kinds = set()
    for seed in range(20):
        _, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), config)
        of = np.array([(float(f[m == 1].mean()) - 60) / 5 for f, m in zip(fake, masks, strict=True)])
        lag = np.rint(of - np.arange(12)).astype(int)
        assert of == pytest.approx(np.rint(of), abs=0.01)
        assert lag[0] == 0
        if (lag < 0).any():
            kinds.add("repeats")
            assert lag.min() >= -5
            assert lag[-1] in (0, lag.min())  # in sync again, unless the clip ends before
        else:
            kinds.add("skips")
            assert lag.max() <= 5
            assert (np.diff(of) >= 0).all()
    assert kinds == {"repeats", "skips"}


def test_a_single_frame_has_no_motion():
    images, landmarks = clip(frames=1)
    for motions in MOVES.values():
        _, fake, _ = self_blend(images, landmarks, np.random.default_rng(2), STILL.replace(motions=motions))
        still = self_blend(images, landmarks, np.random.default_rng(2), STILL)[1]
        assert np.array_equal(fake, still)


def test_a_detectors_jitter_does_not_shake_the_mask():
    images, landmarks = clip(frames=60)
    shaken = landmarks + np.random.default_rng(0).normal(0, 1.5, (60, 1, 2))  # each face as a whole
    _, _, masks = self_blend(images, shaken, np.random.default_rng(0), STILL)
    way = np.array([middle(m) for m in masks])
    assert np.diff(way, axis=0).std() < 0.25 * np.diff(shaken.mean(axis=1), axis=0).std()


def test_the_fake_depends_on_the_seed():
    images, landmarks = clip()
    first, again, other = (
        self_blend(images, landmarks, np.random.default_rng(seed), BlendConfig()) for seed in (5, 5, 6)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (2, 200)])
def test_pictures_of_one_or_two_pixels_are_blended(size):
    images = np.full((2, *size, 3), 90, np.uint8)
    for seed in range(6):
        twin, fake, masks = self_blend(images, np.repeat(FACE[None], 2, 0), np.random.default_rng(seed), BlendConfig())
        assert twin.shape == fake.shape == (2, *size, 3)
        assert masks.shape == (2, *size)


def test_a_malformed_clip_is_refused():
    images, landmarks = clip(frames=3)
    rng, config = np.random.default_rng(0), BlendConfig()
    with pytest.raises(ValueError, match=r"images are \(3, 100, 100, 3\) float64"):
        self_blend(images.astype(np.float64), landmarks, rng, config)
    with pytest.raises(ValueError, match=r"landmarks are \(2, 5, 2\), not \(3, 5, 2\)"):
        self_blend(images, landmarks[:2], rng, config)
    with pytest.raises(ValueError, match="finite"):
        self_blend(images, landmarks * np.nan, rng, config)


def test_ratios_outside_zero_to_one_are_refused():
    with pytest.raises(ConfigError, match="ratios"):
        BlendConfig.read({"ratios": (0.5, 1.5)}, "blend")
    with pytest.raises(ConfigError, match="ratios"):
        BlendConfig.read({"ratios": ()}, "blend")


@pytest.mark.parametrize("motions", [(0, 0, 0, 0), (1, 0, 0, -1), (1, 0, 0)])
def test_malformed_motion_shares_are_refused(motions):
    with pytest.raises(ConfigError, match="motions"):
        BlendConfig.read({"motions": motions}, "blend")


@pytest.fixture(scope="module")
def astronaut():
    """Frames of her face, which moves right by a pixel per frame, and its landmarks."""
    images = moving_face(6)
    return images, LANDMARKS + np.arange(6)[:, None, None] * [1, 0]


@pytest.fixture(scope="module")
def hulls(mesh):
    return BlendConfig(mesh=mesh, shift=0.06, turn=1)


def test_twin_and_fake_are_equal_outside_a_hull(astronaut, hulls):
    for seed in range(10):
        twin, fake, masks = self_blend(*astronaut, np.random.default_rng(seed), hulls)
        assert twin.dtype == fake.dtype == np.uint8
        assert masks.shape == astronaut[0].shape[:3]
        assert np.array_equal(fake[masks == 0], twin[masks == 0])
        assert np.any(fake != twin)


def test_at_ratio_zero_the_fake_is_its_twin_also_with_a_mesh(astronaut, hulls):
    for seed in range(5):
        twin, fake, masks = self_blend(*astronaut, np.random.default_rng(seed), hulls.replace(ratios=(0.0,)))
        assert np.array_equal(fake, twin)
        assert masks.max() == 0


def test_one_mask_per_clip_follows_the_mesh(astronaut, hulls):
    ways = []
    for seed in range(6):
        still = hulls.replace(motions=MOVES["still"], ratios=(1.0,))
        _, _, masks = self_blend(*astronaut, np.random.default_rng(seed), still)
        ways.append(np.diff([middle(m) for m in masks], axis=0))
        assert masks.sum(axis=(1, 2)) == pytest.approx(masks[0].sum(), rel=0.05)
    assert np.mean(ways, axis=(0, 1)) == pytest.approx([0.75, 0], abs=0.2)  # smoothed: the ends are held back


def test_the_mask_uses_the_mesh_and_not_the_five_landmarks(astronaut, hulls):
    """The landmarks are shifted 8 pixels up; the face is not."""
    images, landmarks = astronaut
    plain = hulls.replace(motions=MOVES["still"], jitter=0, ripple=0, shift=0, zoom=0, turn=0)
    for seed in range(4):
        here, there = (
            self_blend(images, landmarks + up, np.random.default_rng(seed), plain)[2] for up in ([0, 0], [0, -8])
        )
        assert middle(there[0]) == pytest.approx(middle(here[0]), abs=2)


def test_without_a_mesh_face_the_mask_is_an_oval_through_five_landmarks(hulls):
    images, landmarks = clip(frames=2)
    masks = self_blend(images, landmarks, np.random.default_rng(3), hulls.replace(jitter=0, ripple=0))[2]
    assert masks.max() > 0.2
    assert middle(masks[0]) == pytest.approx(FACE.mean(axis=0), abs=12)


def test_with_a_mesh_half_of_the_clips_shift_hue(hulls):
    """In a red with equal green and blue, only a hue shift or a tint makes green and blue differ."""
    images, landmarks = clip(frames=1)
    images[:] = (200, 40, 40)
    apart = []
    for seed in range(60):
        twin = self_blend(images, landmarks, np.random.default_rng(seed), hulls.replace(change_target=1))[0]
        apart.append(abs(int(twin[0, 5, 5, 1]) - int(twin[0, 5, 5, 2])) > 0)
    assert 0.6 < np.mean(apart) < 0.9  # tinted or moved in hue: 1 - 0.5 * 0.5, but for a hue of 0


def test_rotation_is_about_the_face_and_within_its_limit():
    images, landmarks = clip(frames=1)
    images[:] = 60
    images[0, 50:54, 20:80] = 255  # a line through the face's middle, (50, 51.2)
    config = STILL.replace(turn=20, change_target=1)
    angles = []
    for seed in range(12):
        _, fake, masks = self_blend(images, landmarks, np.random.default_rng(seed), config)
        ys, xs = np.nonzero((fake[0].max(axis=2) == 255) & (masks[0] > 0.99))
        if len(xs) > 60:
            angles.append(np.degrees(np.arctan(np.polyfit(xs, ys, 1)[0])))
            assert np.abs(ys.mean() - 51.5) < 3
    assert len(angles) >= 6
    assert 8 < np.abs(angles).max() < 21
