import dataclasses

import numpy as np
import pytest

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.truth import daylight, film

CLEAR = Weather(cloudiness=0.0, sun_altitude_angle=50.0, sun_azimuth_angle=30.0)


def test_the_sun_stands_where_carla_says():
    assert sky.sun_direction(Weather(sun_altitude_angle=90.0)) == pytest.approx([0, 0, 1])
    low = Weather(sun_altitude_angle=0.0, sun_azimuth_angle=90.0)
    assert sky.sun_direction(low) == pytest.approx([0, -1, 0])  # opposite to the azimuth


def test_clouds_cover_as_much_as_the_weather_says():
    rng = np.random.default_rng(0)
    up = rng.standard_normal((4000, 3))
    up /= np.linalg.norm(up, axis=1)[:, None]
    up = up[up[:, 2] > 0.25]
    covers = [
        sky.cloud_cover(up, dataclasses.replace(CLEAR, cloudiness=c)).mean() for c in (0, 50, 100)
    ]
    assert covers[0] < 0.05
    assert 0.3 < covers[1] < 0.8
    assert covers[2] > 0.9


def test_a_clear_sky_is_blue_away_from_the_sun_and_brighter_towards_it():
    sun = sky.sun_direction(CLEAR)
    away = np.array([-sun[0], -sun[1], sun[2]])
    opposite, near = daylight.preetham(np.stack([away, sun]), sun)
    assert opposite[2] > 1.3 * opposite[0]
    assert near.sum() > opposite.sum()


def test_the_environment_map_has_the_sun_side_where_the_sun_is():
    height = 64
    picture = daylight.environment(dataclasses.replace(CLEAR, sun_altitude_angle=20.0), height)
    assert picture.shape == (height, 2 * height, 3)
    brightest = picture[: height // 2].sum(-1).sum(0).argmax()
    # column u looks to (sin 2 pi u, -cos 2 pi u) in CARLA's axes
    angle = (brightest + 0.5) / (2 * height) * 2 * np.pi
    sun = sky.sun_direction(CLEAR)[:2] / np.linalg.norm(sky.sun_direction(CLEAR)[:2])
    assert np.array([np.sin(angle), -np.cos(angle)]) @ sun > 0.95


def test_the_exposure_opens_when_it_gets_dark():
    night = dataclasses.replace(CLEAR, sun_altitude_angle=-20.0)
    overcast = dataclasses.replace(CLEAR, cloudiness=100.0)
    assert film.exposure(CLEAR) < film.exposure(overcast) < film.exposure(night)


def test_fog_hides_what_is_far():
    weather = dataclasses.replace(CLEAR, fog_density=60.0)
    light = np.zeros((1, 2, 3), np.float32)
    seen = film.through_air(light, np.array([[2.0, 200.0]], np.float32), weather)
    assert seen[0, 1].min() > 3 * seen[0, 0].max()


def test_development_keeps_order_and_range():
    ramp = np.repeat(np.geomspace(1e-3, 30.0, 64, dtype=np.float32)[None, :, None], 3, axis=2)
    picture = film.develop(np.repeat(ramp, 8, axis=0), CLEAR)
    assert picture.dtype == np.uint8
    middle = picture[4, :, 1].astype(int)
    assert np.all(np.diff(middle) >= 0)
    assert middle[-1] > 235
