"""The light of a picture: directions, angles between them, and what is unknown."""

from dataclasses import asdict

import numpy as np
import pytest

from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.weather import sun_direction
from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.scene import Weather
from realmaster_live.model.light_guide import (
    AXES,
    LIGHTS,
    MIRRORED,
    PERCENTAGES,
    level_axes,
    light_of,
)
from realmaster_live.training.data import looking

SIZE, STRIDE = (96, 128), 16
CAMERA = pinhole(SIZE[1], SIZE[0], 90.0)
NOON = {"sun_azimuth_angle": 270.0, "sun_altitude_angle": 30.0}  # the sun stands at +y of CARLA


def channel(light, name):
    return light[LIGHTS.index(name)]


def ahead_of(yaw_deg, altitude_deg=0.0, **more):
    """The light of a camera that looks towards the sun."""
    weather = {"sun_azimuth_angle": yaw_deg + 180.0, "sun_altitude_angle": altitude_deg, **more}
    return light_of(weather, looking(yaw_deg, 0.0), CAMERA, SIZE, STRIDE)


@pytest.mark.parametrize("yaw_deg", [0.0, 75.0, -160.0])
def test_a_sun_ahead_is_forward_and_brightest_in_the_middle(yaw_deg):
    light = ahead_of(yaw_deg)
    assert channel(light, "sun forward") == pytest.approx(1.0, abs=1e-6)
    assert channel(light, "sun right") == pytest.approx(0.0, abs=1e-6)
    towards = channel(light, "towards the sun")
    assert np.unravel_index(towards.argmax(), towards.shape) in [(2, 3), (2, 4), (3, 3), (3, 4)]
    assert (channel(light, "glare") <= channel(light, "glow")).all()
    rays = np.stack([channel(light, f"ray {axis}") for axis in AXES])
    np.testing.assert_allclose(np.linalg.norm(rays, axis=0), 1.0, atol=1e-6)
    assert (rays[1, :, 0] < 0).all() and (rays[1, :, -1] > 0).all()
    assert (rays[2, 0] > 0).all() and (rays[2, -1] < 0).all()


def test_the_sun_stands_opposite_to_carlas_azimuth_which_grows_to_the_right():
    pose = looking(0.0, 0.0)
    light = light_of({**NOON, "sun_altitude_angle": 0.0}, pose, CAMERA, SIZE, STRIDE)
    assert channel(light, "sun right") == pytest.approx(1.0, abs=1e-6)
    assert pose[:3, 0] @ sun_direction({**NOON, "sun_altitude_angle": 0.0}) == pytest.approx(1.0)


def test_the_camera_of_the_bridge_is_that_of_the_clips():
    """A clip's yaw and pitch make the pose that the bridge computes from CARLA's own matrix."""
    carla = pytest.importorskip("carla")
    from realmaster_live.bridges.carla.geometry import cam_to_world

    turned = carla.Transform(carla.Location(), carla.Rotation(yaw=35.0, pitch=-7.0))
    np.testing.assert_allclose(looking(35.0, -7.0), cam_to_world(turned.get_matrix()), atol=1e-6)


def test_only_the_angle_between_camera_and_sun_counts():
    light, turned = (
        light_of(
            {**NOON, "sun_azimuth_angle": 270.0 + turn},
            looking(10.0 + turn, -3.0),
            CAMERA,
            SIZE,
            STRIDE,
        )
        for turn in (0.0, 123.0)
    )
    np.testing.assert_allclose(light, turned, atol=1e-6)


def test_a_mirrored_picture_has_the_mirrored_light():
    weather = {**NOON, "wetness": 40.0}
    light = light_of(weather, looking(60.0, -2.0), CAMERA, SIZE, STRIDE)
    other = light_of(weather, looking(120.0, -2.0), CAMERA, SIZE, STRIDE)
    mirrored = light[..., ::-1].copy()
    mirrored[list(MIRRORED)] *= -1
    np.testing.assert_allclose(mirrored, other, atol=1e-6)


def test_percentages_are_shares():
    light = ahead_of(0.0, 10.0, wetness=25.0, cloudiness=250.0, precipitation=-3.0)
    found = {name: set(channel(light, name).ravel().tolist()) for name in PERCENTAGES}
    assert found == {
        "cloudiness": {1.0},
        "wetness": {0.25},
        "precipitation_deposits": {0.0},
        "precipitation": {0.0},
        "fog_density": {0.0},
    }


@pytest.mark.parametrize(
    "weather",
    [
        {},
        {"sun_altitude_angle": 30.0},
        {"sun_azimuth_angle": 30.0, "cloudiness": 10.0},
        {**NOON, "sun_altitude_angle": float("nan")},
        {**NOON, "cloudiness": float("nan")},
        {**NOON, "wetness": float("inf")},
        {**NOON, "wetness": None},
        {**NOON, "sun_altitude_angle": None},
        {**NOON, "sun_azimuth_angle": "south"},
        {"sun_azimuth_angle": -1.0, "sun_altitude_angle": -1.0, "cloudiness": -1.0},
    ],
)
def test_what_is_unknown_is_zero(weather):
    light = light_of(weather, looking(0.0, 0.0), CAMERA, SIZE, STRIDE)
    assert light.shape == (len(LIGHTS), 6, 8) and not light.any()
    assert sun_direction("a clear noon") is None


@pytest.mark.parametrize(
    ("pose", "camera"), [(np.zeros((4, 4)), CAMERA), (looking(0.0, 0.0), np.zeros((3, 3)))]
)
def test_a_camera_without_axes_or_optics_has_no_light(pose, camera):
    assert not light_of(NOON, pose, camera, SIZE, STRIDE).any()


def test_minitown_draws_the_sun_where_its_weather_says():
    weather = Weather(sun_azimuth_angle=70.0, sun_altitude_angle=25.0)
    ours = sky.sun_direction(weather) * (1, -1, 1)  # its world is CARLA's
    np.testing.assert_allclose(sun_direction(asdict(weather)), ours, atol=1e-12)


@pytest.mark.parametrize("pitch_deg", [-90.0, 90.0])
def test_a_camera_that_looks_straight_down_or_up_has_axes(pitch_deg):
    """Its picture's upper edge, or the lower one, points forward, as if it had tilted there."""
    axes = level_axes(looking(25.0, pitch_deg)[:3, :3])
    np.testing.assert_allclose(axes, level_axes(looking(25.0, 0.0)[:3, :3]), atol=1e-9)
