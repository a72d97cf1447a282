"""Pictures as datasets (dfd/faces/stills.py)."""

import cv2
import numpy as np
import pytest
import skimage.data

from dfd.errors import VideoReadError
from dfd.faces.recorder import in_memory
from dfd.faces.records import load_crops, load_geometry, load_tracklet
from dfd.faces.stills import landmarks_in
from dfd.faces.tracklets import FacesConfig
from dfd.types import Video

PHOTO = skimage.data.astronaut()
FACE = PHOTO[60:172, 168:280]
"""Cut tightly around the face: 112 pixels from (168, 60) on."""
CUT = FacesConfig(margin=1.0, size=112)


def save(path, image, *options):
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return Video(path, path.name, 0, people=("Eileen",))


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
def test_a_photographs_face_is_cropped_at_the_datasets_margin(tmp_path, name):
    record = in_memory(save(tmp_path / name, PHOTO[:300, 60:460]), FacesConfig(margin=1.5, size=128))
    assert (record.status, record.reason, record.frames, record.segments, record.looks) == ("ok", "", 1, 1, 1)
    (face,) = record.tracklets
    assert (face.segment, face.face, face.fps, face.bounds, face.label) == (0, 0, 1.0, (0, 1), 0)
    assert record.people == ("Eileen",)
    tracklet = load_tracklet(face)
    assert (tracklet.images.shape, tracklet.indices.tolist()) == ((1, 128, 128, 3), [0])
    left, top, right, bottom = tracklet.boxes[0]
    assert 80 < right - left < 140
    assert abs((right - left) - (bottom - top)) < 0.01
    centre = (tracklet.boxes[0, :2] + tracklet.boxes[0, 2:]) / 2
    assert np.abs(centre - (224 - 60, 112)).max() < 12  # where the astronaut's face is
    eyes, mouth = tracklet.landmarks[0, :2], tracklet.landmarks[0, 3:]
    assert eyes[:, 1].max() < 64 < mouth[:, 1].min()  # the crop's centre lies between


def test_the_central_face_of_several_is_taken(tmp_path):
    """A passer-by at the edge is larger, but the face over the centre is taken and has number 0."""
    small = cv2.resize(PHOTO[40:200, 140:300], (100, 100), interpolation=cv2.INTER_AREA)
    image = np.full((300, 500, 3), 90, np.uint8)
    image[100:200, 200:300] = small
    image[60:220, 330:490] = PHOTO[40:200, 140:300]
    record = in_memory(save(tmp_path / "two.png", image), FacesConfig(size=64))
    assert record.faces == 2
    (face,) = record.tracklets
    left, top, right, bottom = load_geometry(face)[1][0]
    assert 200 < left < right < 300
    assert 100 < top < bottom < 200
    assert face.face == 0


def test_a_picture_without_a_face_says_so(tmp_path):
    record = in_memory(save(tmp_path / "grey.png", np.full((120, 90, 3), 128, np.uint8)), FacesConfig())
    assert (record.status, record.reason, record.tracklets) == ("no_face", "no face found", ())


def test_a_cut_picture_is_its_own_crop(tmp_path):
    """The crop is the centred square, 112 of 112 by 132; the box is its middle 1 / margin."""
    wide = np.concatenate([FACE[:, :10], FACE, FACE[:, -10:]], axis=1)
    record = in_memory(save(tmp_path / "cut.png", wide), CUT.replace(margin=1.4), cut=True)
    (face,) = record.tracklets
    _, boxes, landmarks = load_geometry(face)
    assert np.abs(boxes[0] - (26, 16, 106, 96)).max() < 0.01  # 112 / 1.4 is 80, about (66, 56)
    assert np.abs(load_crops(face, [0])[0].astype(int) - FACE).mean() < 3
    expected, sure = landmarks_in(FACE)
    assert np.abs(landmarks[0] - expected).max() < 0.01
    assert face.confidence == round(sure, 6) > 0.9


def test_a_cut_picture_without_a_detected_face_is_recorded_without_landmarks(tmp_path):
    record = in_memory(save(tmp_path / "flat.png", np.full((112, 112, 3), 128, np.uint8)), CUT, cut=True)
    assert (record.status, record.reason, record.faces) == ("ok", "landmarks not found", 0)
    (face,) = record.tracklets
    assert not face.path.located
    assert face.confidence == 0
    _, boxes, landmarks = load_geometry(face)
    assert boxes.tolist() == [[0, 0, 112, 112]]
    assert np.isnan(landmarks).all()
    assert landmarks.shape == (1, 5, 2)
    assert (load_crops(face, [0]) == 128).all()


def test_a_jpeg_of_the_stored_size_keeps_its_bytes(tmp_path):
    same = save(tmp_path / "same.jpg", FACE)
    own = same.path.read_bytes()
    assert in_memory(same, CUT, cut=True).tracklets[0].film == own
    assert in_memory(same, CUT.replace(size=96), cut=True).tracklets[0].film != own
    progressive = save(tmp_path / "progressive.jpg", FACE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert in_memory(progressive, CUT, cut=True).tracklets[0].film != progressive.path.read_bytes()
    cv2.imwrite(str(tmp_path / "grey.jpg"), FACE[:, :, 0])
    grey = Video(tmp_path / "grey.jpg", "grey.jpg")
    assert load_crops(in_memory(grey, CUT, cut=True).tracklets[0], [0]).shape == (1, 112, 112, 3)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.jpg", b"", "an empty file"),
        ("text.png", b"not a picture", "no picture that can be read"),
        ("gone.webp", None, "No such file"),
    ],
)
def test_files_that_are_not_pictures_are_reported(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoReadError, match=reason):
        in_memory(Video(tmp_path / name, name), FacesConfig())


def test_a_truncated_jpeg_is_not_filled_with_grey(tmp_path):
    video = save(tmp_path / "short.jpg", FACE)
    video.path.write_bytes(video.path.read_bytes()[:-200])
    with pytest.raises(VideoReadError, match="a JPEG that is cut short"):
        in_memory(video, CUT, cut=True)
