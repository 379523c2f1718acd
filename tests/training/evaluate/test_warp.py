import cv2
import numpy as np
import pytest

from realmaster_live.training.evaluate.warp import Motion, motion_of, remap, warp_error


def sliding(frames=3, step=3):
    """A soft pattern that moves left by `step` pixels a frame."""
    rng = np.random.default_rng(0)
    big = cv2.resize(
        rng.integers(0, 256, (12, 24, 3), np.uint8), (192, 96), interpolation=cv2.INTER_CUBIC
    )
    return np.stack([big[:, t * step : t * step + 128] for t in range(frames)])


def test_motion_is_found_where_it_can_be_seen():
    motion = motion_of(sliding())
    x = np.arange(128)
    moved = motion.before[:, 20:-20, 20:-20, 0] - x[20:-20]
    assert np.median(moved) == pytest.approx(3.0, abs=0.1)
    assert motion.valid[:, 20:-20, 20:-20].mean() > 0.95
    assert not motion.valid[:, :, -2:].any()  # what came into the picture was nowhere before


def test_what_moves_as_it_should_costs_nothing_and_blinking_does():
    video = sliding()
    motion = motion_of(video)
    smooth = np.mean(warp_error(video, motion))
    blinking = video // 2
    blinking[1] += 51  # a fifth of the range
    assert smooth < 2e-4
    assert np.mean(warp_error(blinking, motion)) == pytest.approx(3 * 0.2**2, rel=0.1)


def test_only_valid_pixels_count():
    y, x = np.indices((4, 6)).astype(np.float32)
    still = np.stack([x, y], axis=-1)[None]
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    frames[1, :, 3:] = 255
    left = (x < 3)[None]
    assert warp_error(frames, Motion(before=still, valid=left)) == [0.0]
    assert warp_error(frames, Motion(before=still, valid=~left)) == [3.0]
    assert warp_error(frames, Motion(before=still, valid=left & ~left)) == [0.0]


def test_places_that_are_far_out_or_unknown_are_read_at_once():
    """OpenCV mirrors a coordinate of 2^31 a hundred million times, at each pixel of a sky."""
    image = np.arange(24, dtype=np.float32).reshape(4, 6, 1)
    at = np.full((4, 6, 2), 3e9, np.float32)
    at[0, :3] = np.array([np.nan, -np.inf, np.inf])[:, None]
    at[1] = [[-1, 0], [0, -1], [6, 0], [0, 4], [2.5, 1], [5, 3]]
    found = remap(image, at)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], [1, 6, 4, 12, 8.5, 23])
