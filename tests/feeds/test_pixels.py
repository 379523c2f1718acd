"""Pixels on the way to an engine and back."""

import cv2
import numpy as np
import pytest

from realmaster_live.feeds.buffers import BufferPool
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


def test_a_picture_is_written_into_memory_that_is_given():
    frame = np.random.default_rng(3).integers(0, 256, (36, 64, 3), np.uint8)
    for width, height in ((64, 36), (128, 90), (40, 20), (32, 18)):
        out = BufferPool().take(height, width, 4)
        made = camera_picture(frame, width, height, out=out)
        assert np.shares_memory(made, out)
        np.testing.assert_array_equal(made, camera_picture(frame, width, height))


def test_memory_is_reused_only_when_nobody_has_it():
    pool = BufferPool(most=12)
    first = pool.take(100)
    view = first[10:].reshape(9, 10)
    second = pool.take(100)
    assert not np.shares_memory(first, second)
    del first
    assert not np.shares_memory(view, pool.take(100))  # a view of it is enough
    address = view.ctypes.data - 10
    del view
    assert pool.take(100).ctypes.data == address
    assert len(pool.take(50)) == 50
    assert len({pool.take(n).size for n in range(200, 260)}) == 60
    assert len(pool._buffers) == 12
