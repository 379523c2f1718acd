import dataclasses

import numpy as np
import pytest

from realmaster_live.minitown.raster.look import LOOK_A, LOOK_B
from realmaster_live.minitown.raster.rasteriser import Rasteriser, finer
from realmaster_live.minitown.scene import Weather

CAR, HOUSE, SKY = 14, 3, 11
NOON = Weather(sun_altitude_angle=60.0, sun_azimuth_angle=90.0, cloudiness=0.0)


@pytest.fixture(scope="module")
def rasteriser(street):
    return Rasteriser(street, shadow_size=256)


def test_every_pixel_has_its_labels(rasteriser, frame, car, camera):
    seen = rasteriser.render(frame(car()), camera())
    sky = seen.semantic == SKY
    assert seen.rgb.shape == (54, 96, 3)
    assert np.array_equal(np.isinf(seen.depth), sky)
    assert not seen.instance[sky].any()
    assert np.all(seen.instance[seen.semantic == CAR] == 7)
    assert set(np.unique(seen.instance[seen.semantic == HOUSE])) <= set(range(100, 108))
    assert (seen.semantic == CAR).sum() > 20


def test_depth_is_along_the_optical_axis(rasteriser, frame, camera):
    view = camera()
    seen = rasteriser.render(frame(), view)
    focal = 48 / np.tan(np.radians(40))
    rows = np.arange(40, 54)
    expected = 1.7 * focal / (rows + 0.5 - 27)
    assert seen.depth[40:, 48] == pytest.approx(expected, rel=1e-4)


def test_the_ground_under_the_camera_is_cut_at_the_near_plane(rasteriser, frame, camera):
    view = camera(z=0.4)
    seen = rasteriser.render(frame(), view)
    assert np.all(np.isfinite(seen.depth[-10:]))
    assert seen.depth[-1].max() < 1.0


def test_right_is_where_y_grows(rasteriser, frame, car, camera):
    columns = np.nonzero(rasteriser.render(frame(car(y=4.0)), camera()).semantic == CAR)[1]
    assert columns.min() > 48


def test_the_same_state_gives_the_same_bytes(street, rasteriser, frame, car, camera):
    first = rasteriser.render(frame(car()), camera())
    rasteriser.render(frame(car(x=30.0)), camera(width=64, height=36))
    again = Rasteriser(street, shadow_size=256).render(frame(car()), camera())
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.depth, again.depth)


def test_flow_follows_a_moving_camera(rasteriser, frame, camera):
    now, before = camera(x=1.0), camera()
    seen = rasteriser.render(frame(), now, flow_from=(frame(), before))
    focal, y, x = 48 / np.tan(np.radians(40)), 50, 70
    ahead = seen.depth[y, x]
    right = (x + 0.5 - 48) / focal * ahead
    was = 48 + focal * right / (ahead + 1.0)
    assert seen.flow[y, x, 0] == pytest.approx(x + 0.5 - was, abs=1e-3)
    assert seen.flow[y, x].min() > 0  # a drive forwards moves the right lower corner outwards


def test_flow_follows_a_moving_car(rasteriser, frame, car, camera):
    view = camera()
    seen = rasteriser.render(frame(car(y=1.5)), view, flow_from=(frame(car(y=1.0)), view))
    on_car = seen.semantic == CAR
    focal = 48 / np.tan(np.radians(40))
    assert seen.flow[on_car][:, 0] == pytest.approx(focal * 0.5 / seen.depth[on_car], rel=1e-3)
    still = ~on_car & np.isfinite(seen.depth)
    assert np.abs(seen.flow[still]).max() < 1e-3


def test_a_turning_wheel_flows(rasteriser, frame, car, camera):
    view = camera(x=11.0, y=-3.0, z=0.6, yaw_deg=60.0)
    still = rasteriser.render(frame(car()), view, flow_from=(frame(car()), view))
    rolled = rasteriser.render(frame(car(wheel_spin=0.3)), view, flow_from=(frame(car()), view))
    assert np.nanmax(np.abs(still.flow)) < 1e-3
    assert np.nanmax(np.abs(rolled.flow)) > 0.5


def test_the_car_throws_a_shadow_only_in_the_sun(street, frame, car, camera):
    def dark(weather, size):
        crisp = dataclasses.replace(LOOK_A, samples=1)
        drawn = Rasteriser(street, look=crisp, shadow_size=size)
        view = camera(width=192, height=108)
        ground = drawn.render(frame(weather=weather), view)
        with_car = drawn.render(frame(car(), weather=weather), view)
        same = with_car.semantic == ground.semantic
        darker = ground.rgb.astype(int).sum(-1) - with_car.rgb.astype(int).sum(-1)
        return int((same & (ground.semantic == 1) & (darker > 40)).sum())

    assert dark(NOON, 512) > 20
    assert dark(NOON, 0) == 0
    assert dark(dataclasses.replace(NOON, cloudiness=100.0), 512) == 0


def test_switched_lamps_glow(rasteriser, frame, car, camera):
    off = rasteriser.render(frame(car(x=8.0)), camera())
    on = rasteriser.render(frame(car(x=8.0, lit=frozenset({"brake_light"}))), camera())
    brighter = on.rgb[..., 0].astype(int) - off.rgb[..., 0]
    assert brighter.max() > 60
    assert np.array_equal(on.semantic, off.semantic)


def test_weather_shows(rasteriser, frame, car, camera):
    def picture(**kwargs):
        weather = dataclasses.replace(NOON, **kwargs)
        return rasteriser.render(frame(car(), weather=weather), camera()).rgb

    noon, night = picture(), picture(sun_altitude_angle=-30.0)
    overcast = picture(cloudiness=100.0)
    assert night.mean() < 0.5 * noon.mean()
    assert np.ptp(overcast[8, 48]) < 6 < np.ptp(noon[8, 48])  # the sky is grey, and was blue
    far = rasteriser.render(
        frame(weather=dataclasses.replace(NOON, fog_density=80.0)), camera()
    ).rgb[20:27, 40:56]
    assert far.std(axis=(0, 1)).max() < 6.0


def test_rain_falls_anew_in_every_frame(rasteriser, frame, camera):
    rain = dataclasses.replace(NOON, precipitation=80.0)
    first = rasteriser.render(frame(weather=rain, frame=1), camera()).rgb
    assert np.array_equal(first, rasteriser.render(frame(weather=rain, frame=1), camera()).rgb)
    assert not np.array_equal(first, rasteriser.render(frame(weather=rain, frame=2), camera()).rgb)


def test_the_two_looks_share_every_label(street, rasteriser, frame, car, camera):
    a = rasteriser.render(frame(car()), camera())
    b = Rasteriser(street, look=LOOK_B, shadow_size=256).render(frame(car()), camera())
    assert np.array_equal(a.depth, b.depth)
    assert np.array_equal(a.instance, b.instance)
    assert np.abs(a.rgb.astype(int) - b.rgb).mean() > 5


def test_guides_average_what_is_seen(rasteriser, frame, car, camera):
    albedo, normals, depth = rasteriser.guides(frame(car()), camera(), times=2)
    seen = rasteriser.render(frame(car()), camera())
    assert albedo.shape == normals.shape == (54, 96, 3)
    road = (seen.semantic == 1) & (depth < 8)
    assert normals[road] == pytest.approx(np.tile([0.0, 0.0, 1.0], (road.sum(), 1)), abs=1e-4)
    assert np.median(np.abs(depth[road] / seen.depth[road] - 1)) < 0.03


def test_antialiasing_leaves_the_labels_and_averages_samples_at_edges(street, frame, car, camera):
    smooth_look = dataclasses.replace(LOOK_A, texture_contrast=0.0)  # textures differ with the size
    sharp_look = dataclasses.replace(smooth_look, samples=1)
    state = frame(car())
    smooth = Rasteriser(street, look=smooth_look, shadow_size=0).render(state, camera())
    sharp = Rasteriser(street, look=sharp_look, shadow_size=0)
    once, double = sharp.render(state, camera()), sharp.render(state, finer(camera(), 2))
    for label in ("depth", "semantic", "instance"):
        assert np.array_equal(getattr(smooth, label), getattr(once, label))
    mean = double.rgb.reshape(54, 2, 96, 2, 3).mean(axis=(1, 3))
    changed = (smooth.rgb != once.rgb).any(-1)
    assert 0.01 < changed.mean() < 0.5
    # each triangle's colour is taken once, in the middle of its samples
    apart = np.abs(smooth.rgb - mean)[changed]
    assert apart.mean() < 0.6 and apart.max() < 8.0
    assert np.abs(once.rgb - mean)[changed].max() > 30.0


def test_textures_along_a_slope_are_near_the_mean_of_many_samples(street, frame, camera):
    view, strong = camera(), dataclasses.replace(LOOK_A, texture_contrast=2.0)
    fine = Rasteriser(street, look=strong, shadow_size=256).render(frame(), finer(view, 8))
    height, width = view.height, view.width
    mean = fine.rgb.reshape(height, 8, width, 8, 3).astype(np.float32).mean((1, 3))

    def error(places: int) -> float:
        look = dataclasses.replace(strong, anisotropy=places)
        seen = Rasteriser(street, look=look, shadow_size=256).render(frame(), view)
        wall = seen.semantic == HOUSE  # bricks, seen along the street
        return float(np.abs(seen.rgb[wall] - mean[wall]).mean())

    assert error(4) < 0.9 * error(1)
