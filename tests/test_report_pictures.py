from base64 import b64decode

import cv2
import numpy as np

from dfd.report.pictures import data_uri


def opened(uri):
    head, code = uri.split(",")
    assert head == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(b64decode(code), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def test_a_picture_keeps_its_colours_and_is_downscaled():
    image = np.zeros((80, 120, 3), np.uint8)
    image[:, :60] = (250, 20, 20)
    image[:, 60:] = (20, 20, 250)
    assert opened(data_uri(image)).shape == (80, 120, 3)
    small = opened(data_uri(image, side=60)).astype(int)
    assert small.shape == (40, 60, 3)
    assert np.abs(small[20, 10] - (250, 20, 20)).max() < 12
    assert np.abs(small[20, 50] - (20, 20, 250)).max() < 12
    assert opened(data_uri(image, side=500)).shape == (80, 120, 3)  # never enlarged
    assert len(data_uri(image, quality=30)) < len(data_uri(image, quality=95))
