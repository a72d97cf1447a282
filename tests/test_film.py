import io
from itertools import pairwise

import numpy as np
import pytest

from dfd.errors import StoreError
from dfd.faces.film import read_crops, write_crop
from tests.conftest import moving_face


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return moving_face(4)[:, :200, 60:260]


@pytest.fixture(scope="module")
def film(crops) -> tuple[bytes, list[tuple[int, int]]]:
    """A film of four crops, and each crop's byte range."""
    to = io.BytesIO()
    edges = np.cumsum([0, *(write_crop(to, crop) for crop in crops)]).tolist()
    return to.getvalue(), list(pairwise(edges))


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_crops_are_read_in_any_order_with_little_loss(film, crops):
    data, places = film
    read = read_crops(data, [places[2], places[0], places[2]], 200)
    assert (read.shape, read.dtype) == ((3, 200, 200, 3), np.uint8)
    assert np.array_equal(read[0], read[2])
    assert decibels(read[0], crops[2]) > 33 < decibels(read[1], crops[0])
    assert decibels(read[0], crops[0]) < 30


def test_a_crop_does_not_depend_on_earlier_crops(film, crops):
    data, places = film
    alone = io.BytesIO()
    write_crop(alone, crops[3])
    assert alone.getvalue() == data[slice(*places[3])]


def test_a_file_equals_its_in_memory_film_and_plays(film, tmp_path):
    import av

    data, places = film
    path = tmp_path / "a.mjpeg"
    path.write_bytes(data)
    assert np.array_equal(read_crops(path, places, 200), read_crops(data, places, 200))
    with av.open(str(path)) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(200, 200)] * 4


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: b"", lambda d: b"no film" * 1000, lambda d: b"\0" + d, lambda d: d[1:]]
)
def test_a_truncated_crop_is_refused_naming_its_film(film, tmp_path, damage):
    data, places = film
    path = tmp_path / "a.mjpeg"
    path.write_bytes(damage(data))
    with pytest.raises(StoreError, match=r"a\.mjpeg: \d of 4 frames cannot be read: build that video again"):
        read_crops(path, places, 200)
    with pytest.raises(StoreError, match="a film in memory"):
        read_crops(damage(data), places, 200)


def test_a_missing_or_resized_film_is_refused(film, tmp_path):
    with pytest.raises(StoreError, match=r"gone\.mjpeg cannot be read \(No such file"):
        read_crops(tmp_path / "gone.mjpeg", [(0, 10)], 200)
    with pytest.raises(StoreError, match="1 of 1"):
        read_crops(film[0], film[1][:1], 64)
