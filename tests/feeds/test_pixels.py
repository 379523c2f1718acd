"""Pixels on the way to an engine and back."""

import cv2
import numpy as np
import pytest

from realmaster_live.feeds.pixels import camera_picture, engine_frames


@pytest.mark.parametrize("size", [(64, 36), (160, 90), (129, 71), (320, 180), (400, 200), (52, 20)])
def test_scaling_keeps_what_scaling_by_area_keeps(size):
    smooth = np.random.default_rng(1).integers(0, 256, (18, 32, 4), np.uint8)
    picture = cv2.resize(smooth, (320, 180), interpolation=cv2.INTER_CUBIC)
    (frame,) = engine_frames([picture], *size)
    expected = cv2.cvtColor(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGRA2RGB
    )
    assert frame.shape == (size[1], size[0], 3)
    assert np.abs(frame.astype(int) - expected).mean() < 4.0


def test_a_picture_of_the_engines_size_is_copied_exactly_and_comes_back_opaque():
    picture = np.random.default_rng(2).integers(0, 256, (36, 64, 4), np.uint8)
    frames = engine_frames([picture, picture], 64, 36)
    np.testing.assert_array_equal(frames[1], picture[..., 2::-1])
    back = camera_picture(frames[0], 64, 36)
    np.testing.assert_array_equal(back[..., :3], picture[..., :3])
    assert (back[..., 3] == 255).all() and back.flags.c_contiguous
    assert camera_picture(frames[0], 128, 90).shape == (90, 128, 4)
