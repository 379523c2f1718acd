"""PNG files that OpenCV reads as they were."""

import cv2
import numpy as np
import pytest

pytest.importorskip("isal")
from realmaster_live.system.png import encode_png

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("size", [(24, 32), (1, 5), (7, 1), (1, 1)])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_pictures_come_back_as_they_were(size, channels):
    shape = (*size, channels) if channels else size
    picture = RANDOM.integers(0, 256, shape, np.uint8)
    found = cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), cv2.IMREAD_UNCHANGED)
    order = {0: slice(None), 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    np.testing.assert_array_equal(found, picture[..., order] if channels else picture)


def test_maps_of_sixteen_bits_and_views_come_back_as_they_were():
    deep = RANDOM.integers(0, 65536, (24, 32), np.uint16)
    for picture in (deep, deep[::2, ::3], deep.T):
        found = cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, picture)
