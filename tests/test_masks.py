import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.clips.masks import CORNERS, HULLS, MaskConfig, face_mask
from dfd.errors import ConfigError
from dfd.faces.mesh import face_mesh
from tests.conftest import LANDMARKS, moving_face
from tests.test_blend import FACE, middle

PLAIN = MaskConfig(jitter=0, ripple=0)


def mask(face, config=PLAIN, seed=0, size=(100, 100)):
    return face_mask(face, *size, np.random.default_rng(seed), config)


@given(st.integers(0, 10**6), st.floats(-30, 130), st.floats(-30, 130), st.floats(0.05, 8), st.floats(0, 7))
def test_a_mask_is_soft_and_within_zero_and_one_anywhere(seed, x, y, size, angle):
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = (FACE - FACE.mean(axis=0)) @ turn.T + (x, y)
    got = mask(face, MaskConfig(), seed, (90, 110))
    assert got.shape == (90, 110)
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_moves_and_scales_with_its_face(seed):
    here = mask(FACE, seed=seed)
    there = mask(FACE + np.array([7, -3]), seed=seed)
    assert np.array_equal(there[5:-10, 12:], here[8:-7, 5:-7])
    large, twice = (mask(n * FACE, seed=seed, size=(n * 100, n * 100)) for n in (4, 8))
    assert twice.sum() / large.sum() == pytest.approx(4, rel=0.1)
    assert middle(twice) == pytest.approx(2 * middle(large), abs=2)


def test_a_mask_moves_by_subpixel_steps():
    places = [middle(mask(FACE + np.array([step / 4, 0])))[0] for step in range(5)]
    assert np.diff(places) == pytest.approx([0.25] * 4, abs=0.08)


def test_masks_lie_on_the_face_and_most_cover_its_centre():
    masks = [mask(FACE, seed=seed) for seed in range(60)]
    assert np.mean([m[52, 50] > 0.5 for m in masks]) > 0.85  # the nose; 1 in 20 masks covers only the mouth
    # 20 pixels are an eye distance: at most 1.15 to the side, 1.2 up and 1.85 down of (50, 40), plus the soft border.
    for m in masks:
        ys, xs = np.nonzero(m)
        assert xs.min() >= 50 - 20 * 1.5
        assert xs.max() <= 50 + 20 * 1.5
        assert ys.min() >= 40 - 20 * 1.55
        assert ys.max() <= 40 + 20 * 2.2


def test_masks_of_one_face_come_in_many_shapes():
    assert len({mask(FACE, seed=seed).tobytes() for seed in range(20)}) == 20
    areas = [float(mask(FACE, seed=seed).sum()) for seed in range(60)]
    assert max(areas) > 4 * min(areas)


def test_a_profile_mask_is_sized_by_face_height():
    profile = FACE.copy()
    profile[:, 0] = 50 + (FACE[:, 0] - 50) * 0.1  # eyes 2 pixels apart; eyes to mouth still 22, over 1.07 is 20.6
    assert mask(profile).sum() > 0.9 * mask(FACE).sum()


@pytest.mark.parametrize("face", [FACE + 500, FACE * 0, FACE * 0 + 50], ids=["beside", "corner", "point"])
def test_a_face_outside_the_picture_has_no_mask(face):
    assert mask(face).max() == 0


@pytest.fixture(scope="module")
def astronaut(mesh):
    """The mesh of a real face of 94 by 105 pixels centred at (125, 121), in a picture of (240, 320)."""
    return face_mesh(moving_face(1)[0], LANDMARKS, mesh).astype(np.float64)


def hull(points, seed=0, config=PLAIN):
    return mask(points, config, seed, (240, 320))


def only(part, monkeypatch):
    monkeypatch.setattr("dfd.clips.masks.HULLS", {part: 1.0})


@pytest.mark.parametrize(
    ("part", "inside", "outside"),
    [
        ("oval", ["brow", "eye", "nose", "mouth", "chin"], []),
        ("brows to jaw", ["eye", "nose", "mouth", "chin"], ["brow"]),
        ("brows to mouth", ["eye", "nose"], ["brow", "chin"]),
        ("mouth and chin", ["mouth"], ["brow", "eye", "nose"]),
        ("eyes and nose", ["nose"], ["brow", "mouth", "chin"]),
    ],
)
def test_each_hull_covers_its_part_of_a_real_face(astronaut, monkeypatch, part, inside, outside):
    only(part, monkeypatch)
    # (x, y) read off the picture: forehead, next to the bridge of the nose, tip of the nose, mouth, chin.
    places = {"brow": (127, 79), "eye": (117, 104), "nose": (124, 122), "mouth": (124, 143), "chin": (122, 165)}
    weights = np.mean([hull(astronaut, seed) for seed in range(30)], axis=0)
    shown = {place: float(weights[y, x]) for place, (x, y) in places.items()}
    assert all(shown[place] > 0.7 for place in inside), shown
    assert all(shown[place] < 0.3 for place in outside), shown
    assert weights[120, 60] == weights[120, 190] == 0  # the hair at both sides


def test_hulls_are_drawn_at_their_intended_rates():
    assert sum(HULLS.values()) == pytest.approx(1)
    assert HULLS.keys() == CORNERS.keys()
    assert all(0 <= corner < 468 for part in CORNERS.values() for corner in part)


@pytest.mark.parametrize("seed", range(12))
def test_a_hull_moves_scales_and_rotates_with_its_face(astronaut, seed):
    config = MaskConfig()
    here = hull(astronaut, seed, config)
    assert np.array_equal(hull(astronaut + np.array([7, -3]), seed, config)[:-3, 7:], here[3:, :-7])
    twice = mask(2 * astronaut, config, seed, (480, 640))
    assert twice.sum() / here.sum() == pytest.approx(4, rel=0.1)
    assert middle(twice) == pytest.approx(2 * middle(here), abs=2)
    turned = mask(np.column_stack([239 - astronaut[:, 1], astronaut[:, 0]]), config, seed, (320, 240))
    assert np.abs(turned - np.rot90(here, -1)).mean() < 0.002


def test_hulls_of_one_face_differ_in_outline_size_and_softness(astronaut, monkeypatch):
    only("oval", monkeypatch)
    masks = np.stack([hull(astronaut, seed, MaskConfig()) for seed in range(40)])
    areas, edges = (masks > 0.5).sum(axis=(1, 2)), ((masks > 0.05) & (masks < 0.95)).sum(axis=(1, 2))
    assert areas.max() > 1.2 * areas.min()
    assert edges.max() > 2.5 * edges.min()
    assert len({m.tobytes() for m in masks}) == 40
    assert (masks.max(axis=(1, 2)) == 1).all()


def test_an_invalid_mesh_is_refused(tmp_path):
    path = tmp_path / "mesh.tflite"
    with pytest.raises(ConfigError, match=r"mesh is .*mesh\.tflite: no such file: `dfd weights mesh --out .*` writes"):
        MaskConfig.read({"mesh": path}, "blend")
    path.write_bytes(b"TFL3")
    with pytest.raises(ConfigError, match=r"mesh\.tflite: not MediaPipe's face mesh"):
        MaskConfig.read({"mesh": path}, "blend")
