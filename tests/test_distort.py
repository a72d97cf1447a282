import cv2
import numpy as np
import pytest

from dfd.clips.dataset import scored_clips
from dfd.clips.distort import DISTORTIONS, UNCHANGED, Distortion
from dfd.clips.sampling import ClipConfig
from dfd.faces.recorder import in_memory
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video

CONFIG = ClipConfig(length=6, size=48, clips=2, fps=7.5)


@pytest.fixture(scope="module")
def video(face_video):
    """A video of three seconds: two segments with a face in each."""
    made = in_memory(Video(face_video, "face.mp4"), FacesConfig(size=64, detect_side=320, segment=1.3))
    assert made.faced == [0, 1]
    return made


def clips(video, distortion, config=CONFIG):
    return scored_clips(video, config, distortion=distortion)[1].numpy()


def test_without_distortion_clips_equal_the_scored_clips(video):
    assert np.array_equal(clips(video, Distortion("nothing", UNCHANGED)), clips(video, None))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions_are_deterministic_and_keep_the_shape(video, name):
    once, again = (clips(video, DISTORTIONS[name]) for _ in range(2))
    assert np.array_equal(once, again)
    assert (once.shape[2:], once.dtype) == (clips(video, None).shape[2:], np.uint8)


def test_flip_mirrors(video):
    assert np.array_equal(clips(video, DISTORTIONS["flip"]), clips(video, None)[..., ::-1])


def test_noise_has_its_stated_strength_and_differs_per_clip(video):
    whole = CONFIG.replace(size=64, margin=video.tracklets[0].margin)  # as stored: nothing is cut or averaged
    clean = clips(video, None, whole).astype(float)
    grain = clips(video, DISTORTIONS["noise"], whole) - clean
    inside = grain[(clean > 50) & (clean < 205)]
    assert inside.std() == pytest.approx(10, rel=0.05)
    assert inside.mean() == pytest.approx(0, abs=0.1)
    assert not np.array_equal(grain[0], grain[1])


def test_downscaling_to_a_quarter_removes_fine_detail(video):
    whole = CONFIG.replace(size=64, margin=video.tracklets[0].margin)

    def detail(pictures):
        return np.mean([cv2.Laplacian(p[0, 0], cv2.CV_64F).var() for p in pictures])

    assert detail(clips(video, DISTORTIONS["quarter"], whole)) < 0.25 * detail(clips(video, None, whole))


def test_h264_changes_pictures_only_slightly(video):
    clean, coded = (clips(video, d).astype(float) for d in (None, DISTORTIONS["h264"]))
    assert 0.5 < np.abs(clean - coded).mean() < 12
    assert np.corrcoef(clean.ravel(), coded.ravel())[0, 1] > 0.97
