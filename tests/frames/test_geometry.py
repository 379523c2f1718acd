"""Axes: how far from a rotation."""

import numpy as np
import pytest

from realmaster_live.frames.geometry import skew_of


def test_rotations_have_no_skew_and_everything_else_has_some():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))[:, None, None]
    assert skew_of(turn).shape == (9,) and skew_of(turn).max() < 1e-12
    assert skew_of(2 * turn).min() > 0.5
    assert np.isinf(skew_of(-turn)).all()


@pytest.mark.parametrize("number", [1e308, -1e308, np.inf, np.nan])
def test_no_number_overflows(number):
    axes = np.eye(3)
    axes[0, 2] = number
    assert skew_of(axes) > 0.5
