import numpy as np
import pytest

from dfd.clips.sampling import ClipConfig
from dfd.errors import CheckpointError
from dfd.faces.detect import Detector
from dfd.faces.tracklets import FacesConfig, video_tracklets
from dfd.inference.golden import SIDE, drawn_face, golden_clip, golden_face, skin_colour, write_golden_video
from dfd.inference.info import GoldenFace
from dfd.models import ModelConfig
from dfd.models.checkpoint import Header
from dfd.types import Video

GOLDEN = [[74, 95, 65], [77, 57, 70], [80, 66, 105]]
"""The first three pixels of a golden clip, per channel."""


def test_the_golden_clip_is_reproducible_and_spans_the_range():
    header = Header(
        model=ModelConfig(name="journal_conv3d"),
        clip=ClipConfig(length=4, size=32),
        faces=FacesConfig(size=64),
        prior=0.5,
    )
    clip = golden_clip(header)
    assert clip.shape == (1, 3, 4, 32, 32)
    assert clip[0, :, 0, 0, :3].tolist() == GOLDEN
    assert clip.min() < 60
    assert clip.max() > 195
    assert (clip[:, :, 1:] != clip[:, :, :-1]).float().mean() > 0.9


@pytest.mark.parametrize("side", [100, 200, 320])
def test_the_drawn_face_is_detected(side):
    (found,) = Detector().detect([drawn_face(side)])
    assert len(found) == 1
    assert found.confidences[0] > 0.98
    left, top, right, bottom = found.boxes[0] / side
    eyes = found.landmarks[0, :2] / side
    assert np.abs(eyes - [[0.41, 0.44], [0.59, 0.44]]).max() < 0.03  # where the eyes were drawn
    assert left < 0.35 < 0.65 < right
    assert top < 0.35 < 0.7 < bottom


@pytest.fixture
def video(tmp_path):
    write_golden_video(tmp_path / "golden.mp4")
    return tmp_path / "golden.mp4"


def test_the_golden_video_is_reproducible_and_its_face_is_found(video, tmp_path):
    write_golden_video(tmp_path / "again.mp4")
    assert video.read_bytes() == (tmp_path / "again.mp4").read_bytes()
    assert len(video.read_bytes()) < 30_000
    found = golden_face(video, FacesConfig(), "0")
    assert found.box is not None
    assert found.colour is not None
    left, top, right, bottom = found.box
    assert right - left == pytest.approx(bottom - top, abs=0.1)
    assert 85 < (left + right) / 2 < 115
    assert found.colour == pytest.approx((195, 153, 130), abs=2)


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


def recoloured(crops, matrix, full_range):
    """Recode crops with another colour matrix or range, as another decoder would."""
    (red, blue), (other_red, other_blue) = BT601, matrix
    luma = crops @ [red, 1 - red - blue, blue]
    u, v = (crops[..., 2] - luma) / (2 - 2 * blue), (crops[..., 0] - luma) / (2 - 2 * red)
    if full_range:
        luma, u, v = luma * 219 / 255 + 16, u * 224 / 255, v * 224 / 255
    r, b = luma + (2 - 2 * other_red) * v, luma + (2 - 2 * other_blue) * u
    g = (luma - other_red * r - other_blue * b) / (1 - other_red - other_blue)
    return np.stack([r, g, b], axis=-1)


@pytest.mark.parametrize(
    ("matrix", "full_range", "agrees"), [(BT601, False, True), (BT709, False, False), (BT601, True, False)]
)
def test_another_colour_matrix_or_range_is_detected(video, matrix, full_range, agrees):
    (looked,) = video_tracklets(Video(video, "golden"), FacesConfig())
    (tracklet,) = looked.tracklets
    golden = golden_face(video, FacesConfig(), "0")
    colour = tuple(skin_colour(recoloured(tracklet.images.astype(float), matrix, full_range)))
    assert golden.agrees(golden.replace(colour=colour)) == agrees


def test_no_golden_face_agrees_only_with_no_golden_face(video):
    blind = golden_face(video, FacesConfig(min_face=SIDE + 1), "0")
    assert blind.box is None
    assert str(blind) == "no face"
    seeing = golden_face(video, FacesConfig(), "0")
    assert blind.agrees(blind)
    assert not blind.agrees(seeing)
    assert not seeing.agrees(blind)


@pytest.mark.parametrize(
    ("box", "colour", "agrees"),
    [
        ((1.9, -1.9, 101.9, 98.1), (0, 0, 0), True),
        ((2.1, 0, 100, 100), (0, 0, 0), False),
        ((0, 0, 100, 97.9), (0, 0, 0), False),
        ((0, 0, 100, 100), (1.9, -1.9, 0), True),
        ((0, 0, 100, 100), (0, 0, 2.1), False),
    ],
)
def test_golden_faces_agree_within_a_tolerance(box, colour, agrees):
    golden = GoldenFace(sha256="0", box=(0, 0, 100, 100), colour=(50, 60, 70))
    shade = tuple(np.add((50, 60, 70), colour).tolist())
    assert golden.agrees(GoldenFace(sha256="0", box=box, colour=shade)) == agrees


def test_an_unreadable_video_gives_a_clear_error(tmp_path):
    (tmp_path / "golden.mp4").write_bytes(b"not a video")
    with pytest.raises(CheckpointError, match=r"golden\.mp4 cannot be read .* copy the bundle again"):
        golden_face(tmp_path / "golden.mp4", FacesConfig(), "0")
