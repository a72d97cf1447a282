import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfd.faces.crops import cut, narrow, resize, to_crop


def picture(height=40, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_cut_copies_pixels_when_size_equals_box():
    image = picture()
    crop, box = cut(image, np.array([20.0, 15.0]), side=10, margin=1.0, size=10)
    assert np.array_equal(crop, image[10:20, 15:25])
    assert box.tolist() == [15, 10, 25, 20]


def test_cut_repeats_the_border_beyond_the_picture():
    image = picture()
    crop, _ = cut(image, np.array([0.0, 0.0]), side=10, margin=1.0, size=10)
    assert (crop[:5, :5] == image[0, 0]).all()
    assert np.array_equal(crop[5:, 5:], image[:5, :5])


def test_cut_outside_the_picture_is_refused():
    with pytest.raises(ValueError, match="outside a picture of 60x40"):
        cut(picture(), np.array([500.0, 500.0]), side=10, margin=1.0, size=10)


@given(
    st.floats(0, 59.9), st.floats(0, 39.9), st.floats(1, 90), st.floats(1, 3), st.integers(8, 64)
)  # fmt: skip
def test_a_crop_keeps_its_size_and_centre(x, y, side, margin, size):
    crop, box = cut(picture(), np.array([x, y]), side, margin, size)
    assert crop.shape == (size, size, 3)
    assert abs((box[0] + box[2]) / 2 - x) <= 0.51  # whole pixels
    assert abs((box[1] + box[3]) / 2 - y) <= 0.51
    assert to_crop((box[:2] + box[2:]) / 2, box, margin, size) == pytest.approx(size / 2, abs=1e-2)


def test_a_landmark_maps_to_its_pixel():
    image = np.zeros((100, 100, 3), np.uint8)
    image[62, 47] = 255
    crop, box = cut(image, np.array([50.0, 60.0]), side=20, margin=1.6, size=128)
    x, y = to_crop(np.array([47.5, 62.5]), box, 1.6, 128)
    rows, columns = np.nonzero(crop[..., 0] > 100)
    assert abs(columns.mean() + 0.5 - x) < 1
    assert abs(rows.mean() + 0.5 - y) < 1


def test_narrow_keeps_the_middle():
    images = picture(64, 64)[None]
    assert np.array_equal(narrow(images, 1.6, 1.6, 64), images)
    assert np.array_equal(narrow(images, 2.0, 1.0, 32)[0], images[0, 16:48, 16:48])
    with pytest.raises(ValueError, match="margin 2.0 is wider than the stored crops' 1.6"):
        narrow(images, 1.6, 2.0, 64)


def test_resize_averages_when_shrinking():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = np.array([[200, 100], [100, 0]], np.uint8)[..., None]
    assert resize(image, 2)[0, 0].tolist() == [100, 100, 100]
