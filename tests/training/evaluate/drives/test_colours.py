"""Drift of colours over a drive, against values by hand."""

import math

import numpy as np
import pytest

from realmaster_live.training.evaluate.drives.colours import colour_drift, drift_rate

FPS = 10.0


def palettes(seconds, per_second=(0.0, 0.0, 0.0)):
    """A palette that moves evenly; its spreads, which are not judged here, jump."""
    times = np.arange(round(seconds * FPS)) / FPS
    spread = np.random.default_rng(0).normal(5, 1, (len(times), 3))
    return np.concatenate([50 + times[:, None] * np.array(per_second), spread], 1), times


def test_the_rate_is_the_slope_a_minute():
    render, times = palettes(90, (0.01, 0, 0))  # the sun comes out in both
    film, _ = palettes(90, (0.01 + 0.03, 0.04, 0))
    film[:, :3] += (7, -3, 2)  # the film's own look is no drift
    assert drift_rate(render, film, times) == pytest.approx(60 * 0.05)
    film[100:140] = np.nan  # frames that the film lacks
    assert drift_rate(render, film, times) == pytest.approx(60 * 0.05)
    assert math.isnan(drift_rate(render[:300], film[:300], times[:300])), "of half a minute"


def test_the_curve_is_the_distance_from_the_first_two_seconds():
    render, times = palettes(20)
    film, _ = palettes(20, (0, 0.3, 0.4))
    film[:, :3] += (7, -3, 2)
    curve = colour_drift(render, film, FPS)
    inner = slice(10, -10)  # where a second's mean is whole
    # half a step less, as an even number of frames has its middle between two of them
    np.testing.assert_allclose(
        curve[inner], np.abs(0.5 * (times[inner] - 0.05) - 0.5 * 0.95), atol=1e-9
    )
    assert np.isnan(colour_drift(render, np.full_like(film, np.nan), FPS)).all()
