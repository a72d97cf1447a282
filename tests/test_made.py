from dataclasses import replace

import numpy as np
import pytest

from dfd.clips.blend import BlendConfig, self_blend
from dfd.clips.dataset import scored_clips
from dfd.clips.distort import DISTORTIONS
from dfd.clips.made import MadeFake, made_fakes
from dfd.clips.sampling import ClipConfig

CONFIG = ClipConfig(length=4, size=64, margin=1.6, clips=1)  # as stored: nothing is cut or averaged


@pytest.fixture
def real(small_store):
    return next(record for record in small_store.records() if record.video == "real0.mp4")


def clip(record, distortion=None, config=CONFIG):
    return scored_clips(record, config, distortion=distortion)[1].numpy().astype(int)


def test_each_real_video_with_a_face_gets_a_fake(small_store, real):
    made = made_fakes([*small_store.records(), replace(real, video="faceless.mp4", tracklets=())], BlendConfig())
    assert [(m.video, m.label, m.source) for m in made] == [
        (f"blend of real{n}.mp4", 1, f"real{n}.mp4") for n in range(4)
    ]
    named = made_fakes([replace(real, people=("Ada",), dataset="here")], BlendConfig())[0]
    assert (named.people, named.dataset) == (("Ada",), "here")


def test_the_face_is_changed_and_its_surroundings_are_not(real):
    (made,) = made_fakes([real], BlendConfig(ratios=(1.0,)))
    changed = np.abs(clip(made) - clip(real))[0].max(axis=(0, 1))
    assert changed[16:48, 16:48].max() > 5
    edge = np.ones_like(changed, bool)
    edge[4:-4, 4:-4] = False
    assert changed[edge].max() == 0


def test_self_blends_depend_only_on_the_name(real):
    (made,) = made_fakes([real], BlendConfig(ratios=(1.0,)))
    assert np.array_equal(clip(made), clip(made))
    assert not np.array_equal(clip(made), clip(replace(made, video="blend of another")))
    whole = BlendConfig(ratios=(0.0,))
    assert np.array_equal(clip(made_fakes([real], whole)[0]), clip(real))  # a ratio of 0 changes nothing


def test_a_made_fake_equals_self_blending_of_the_stored_crops(real):
    (made,) = made_fakes([real], BlendConfig())
    assert isinstance(made, MadeFake)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    points = np.array([[[24, 24], [40, 24], [32, 32], [26, 42], [38, 42]]], np.float32)
    fakes = [made.blended(images, points, name) for name in ("a", "a", "b")]
    assert np.array_equal(fakes[0], fakes[1])
    assert not np.array_equal(fakes[0], fakes[2])
    twin = self_blend(images, points, np.random.default_rng(1), made.blend)[0]
    assert np.array_equal(twin, images)  # its real twin is the stored clip, not one in other colours


def test_a_made_fake_is_distorted_like_a_video(real):
    (made,) = made_fakes([real], BlendConfig(ratios=(1.0,)))
    assert np.array_equal(clip(made, DISTORTIONS["flip"]), clip(made)[..., ::-1])
