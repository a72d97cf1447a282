import cv2
import numpy as np
import pytest

from dfd.clips.dataset import scored_clips
from dfd.clips.distort import DISTORTIONS, UNCHANGED, Distortion
from dfd.clips.sampling import ClipConfig

CONFIG = ClipConfig(length=6, size=48, clips=2, fps=7.5)


@pytest.fixture
def track(small_store):
    return next(record.tracks[0] for record in small_store.records() if record.tracks)


def clips(track, distortion, config=CONFIG):
    return scored_clips(track, config, distortion=distortion).numpy()


def test_without_a_change_they_are_the_clips_that_are_scored(track):
    assert np.array_equal(clips(track, Distortion("nothing", UNCHANGED)), clips(track, None))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_same_every_time_and_of_the_same_form(track, name):
    once, again = (clips(track, DISTORTIONS[name]) for _ in range(2))
    assert np.array_equal(once, again)
    assert (once.shape[2:], once.dtype) == (clips(track, None).shape[2:], np.uint8)


def test_flip_mirrors(track):
    assert np.array_equal(clips(track, DISTORTIONS["flip"]), clips(track, None)[..., ::-1])


def test_noise_is_as_strong_as_it_says_and_other_in_every_clip(track):
    whole = CONFIG.replace(size=64, margin=track.margin)  # as stored: nothing is cut or averaged
    clean = clips(track, None, whole).astype(float)
    grain = clips(track, DISTORTIONS["noise"], whole) - clean
    inside = grain[(clean > 50) & (clean < 205)]
    assert inside.std() == pytest.approx(10, rel=0.05)
    assert inside.mean() == pytest.approx(0, abs=0.1)
    assert not np.array_equal(grain[0], grain[1])


def test_a_quarter_has_lost_its_fine_detail(track):
    whole = CONFIG.replace(size=64, margin=track.margin)

    def detail(pictures):
        return np.mean([cv2.Laplacian(p[0, 0], cv2.CV_64F).var() for p in pictures])

    assert detail(clips(track, DISTORTIONS["quarter"], whole)) < 0.25 * detail(clips(track, None, whole))


def test_h264_changes_the_pictures_and_leaves_them_alike(track):
    clean, coded = (clips(track, d).astype(float) for d in (None, DISTORTIONS["h264"]))
    assert 0.5 < np.abs(clean - coded).mean() < 12
    assert np.corrcoef(clean.ravel(), coded.ravel())[0, 1] > 0.97


def test_frames_are_dropped_from_what_is_faster_than_15_a_second(small_store, track):
    """A track of 15 a second is left alone; told that it is one of 30, it loses every other frame."""
    assert track.fps == 15
    assert np.array_equal(clips(track, DISTORTIONS["15fps"]), clips(track, None))
    fast = type(track)(**{**vars(track), "fps": 30.0})
    config = ClipConfig(length=20, size=48, clips=1, fps=30)
    plain = clips(fast, None, config)[0].transpose(1, 2, 3, 0)
    thin = clips(fast, DISTORTIONS["15fps"], config)[0].transpose(1, 2, 3, 0)
    assert np.array_equal(thin[:10], plain[::2])
    assert np.array_equal(thin[10:], np.repeat(thin[9:10], 10, axis=0))  # too few are left: the last is repeated
