import numpy as np
import pytest

from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.truth import daylight, film

CLEAR = Weather(sun_altitude_angle=45.0, sun_azimuth_angle=90.0, cloudiness=0.0)


def test_the_white_balance_takes_most_of_the_blue_out_of_the_shade_and_reddens_no_sunlight_much():
    shade = daylight.sky_radiance(film.dome(), CLEAR).mean(axis=0)
    gains = film.white_balance(CLEAR)
    assert gains.mean() == pytest.approx(1.0)
    blue = shade[2] / shade[0], (shade * gains)[2] / (shade * gains)[0]
    assert blue[0] > 1.7  # a clear sky's
    assert blue[1] < 1.0 + 0.62 * (blue[0] - 1.0)
    sunlit = (shade * np.pi + daylight.sun_irradiance(CLEAR) * np.sqrt(0.5)) * gains
    assert 0.6 < sunlit[2] / sunlit[0] < 1.0


def test_the_response_rises_and_bleaches_highlights_but_keeps_the_hue_of_the_shade():
    grey = np.repeat(np.geomspace(1e-3, 20.0, 60, dtype=np.float32)[:, None], 3, 1)
    shown = film.response(grey)
    assert (np.diff(shown[:, 0]) >= 0).all() and shown[-1, 0] == 1.0
    dim, bright = (film.response(np.array([0.5, 1.0, 0.5], np.float32) * x) for x in (0.05, 8.0))
    assert dim[1] / dim[0] > 1.9
    assert bright[1] / bright[0] < 1.3


def test_the_lens_spreads_a_lamp_and_darkens_corners_but_no_middle():
    flat = film.through_lens(np.ones((36, 64, 3), np.float32))
    assert flat[18, 32] == pytest.approx(1.0, abs=1e-2)
    assert flat[0, 0] == pytest.approx(1.0 - film.VIGNETTE, abs=1e-2)
    lamp = np.zeros((36, 64, 3), np.float32)
    lamp[18, 32] = 100.0
    seen = film.through_lens(lamp)
    assert 1e-3 < seen[18, 38, 0] < 0.1  # its glare six pixels away
    assert seen.sum() == pytest.approx(lamp.sum(), rel=0.05)
