import numpy as np
import pytest

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.scene import Material, Weather
from realmaster_live.minitown.truth import daylight
from realmaster_live.minitown.truth.prompts import PROMPTS, weather_for
from realmaster_live.minitown.truth.snow import drifts, snow_flakes, snowed
from realmaster_live.model.profile import EMBEDDED

NOON = Weather(cloudiness=10.0, sun_altitude_angle=55.0, sun_azimuth_angle=40.0)


def test_the_embedded_model_knows_the_prompts_that_the_town_can_show():
    assert EMBEDDED.prompts == PROMPTS


def test_every_prompt_shows_in_the_weather():
    assert weather_for("as simulated", NOON) == NOON
    assert sky.lamps_on(weather_for("night", NOON))
    assert sky.fog_per_m(weather_for("fog", NOON)) > 10 * sky.fog_per_m(NOON)
    assert weather_for("rain", NOON).wetness > 50
    wet = weather_for("rain", NOON)
    clear = weather_for("clear", wet)
    assert clear.wetness == clear.precipitation == 0.0
    assert sky.sun_share(clear) > 0.9 > 0.1 > sky.sun_share(weather_for("overcast", NOON))
    low = Weather(sun_altitude_angle=5.0)
    assert daylight.horizontal(weather_for("clear", low)) > daylight.horizontal(low)


def test_snow_lies_on_the_ground_and_not_on_walls():
    noise = np.random.default_rng(0).integers(60, 120, (64, 64, 3), np.uint8)
    ground = Material(name="asphalt", texture=noise, roughness=0.6)
    covered = snowed(ground)
    assert covered.texture is not None
    assert covered.texture.mean() > noise.mean() + 30
    assert covered.roughness > ground.roughness
    wall = Material(name="brick_red", texture=noise)
    assert snowed(wall) is wall
    plain = snowed(Material(name="leaf_dark", base_color=(0.1, 0.2, 0.1)))
    assert plain.base_color[0] > 0.4


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_drifts_cover_about_their_share(share):
    assert drifts(128, share).mean() == pytest.approx(share, abs=0.12)


def test_flakes_are_the_same_for_a_frame_and_fall():
    grey = np.full((120, 160, 3), 90, np.uint8)
    first, again, later = (grey.copy() for _ in range(3))
    for picture, frame in ((first, 5), (again, 5), (later, 6)):
        snow_flakes(picture, 0.6, frame)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert (first > 100).any() and first.min() == 90
