"""Lidars and radars as the real client gets them: against the depth and the classes drawn there."""

import queue

import numpy as np
import pytest

from realmaster_live.errors import ActorError
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.server.scanners import Scanner
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla

EXACT = {"dropoff_general_rate": 0, "dropoff_zero_intensity": 0, "range": 60}
SIZE = 240


@pytest.fixture
def street(carla_client):
    """A synchronous world, a car in it, another one 14 m ahead, and what listens to sensors."""
    world = carla_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    point = world.get_map().get_spawn_points()[5]
    model = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(model, point)
    ahead = carla.Transform(point.transform(carla.Location(x=14.0)), point.rotation)
    other = world.spawn_actor(model, ahead)

    def listen(type_id, place=None, **attributes):
        blueprint = world.get_blueprint_library().find(type_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        sensor = world.spawn_actor(blueprint, place or HIGH, attach_to=car)
        messages = queue.Queue()
        sensor.listen(messages.put)
        messages.sensor = sensor  # which stops when nobody holds it
        return messages

    return world, car, other, listen


HIGH = carla.Transform(carla.Location(x=1.0, z=2.0))


def points_of(measurement, width=4):
    return np.frombuffer(measurement.raw_data, np.float32).reshape(-1, width).astype(float)


def in_picture(points):
    """Columns and rows of points ahead in a square picture of 90 degrees, and which are in it."""
    ahead = points[:, 0] > 0.5
    column = SIZE / 2 + SIZE / 2 * points[:, 1] / np.where(ahead, points[:, 0], 1.0)
    row = SIZE / 2 - SIZE / 2 * points[:, 2] / np.where(ahead, points[:, 0], 1.0)
    inside = ahead & (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    return column[inside].astype(int), row[inside].astype(int), inside


def test_a_lidars_points_lie_on_the_surfaces_that_the_depth_camera_sees(street):
    world, _, _, listen = street
    scans = listen(
        "sensor.lidar.ray_cast", channels=32, upper_fov=12, lower_fov=-24,
        rotation_frequency=20, points_per_second=320_000, **EXACT,
    )  # fmt: skip
    size = {"image_size_x": SIZE, "image_size_y": SIZE, "fov": 90}
    pictures = listen("sensor.camera.depth", **size)
    frame = world.tick()
    scan, picture = scans.get(timeout=30), pictures.get(timeout=30)
    assert scan.frame == picture.frame == frame
    points = points_of(scan)
    assert scan.channels == 32 and len(points) == len(scan)
    assert sum(scan.get_point_count(n) for n in range(32)) == len(scan)
    assert scan.horizontal_angle == pytest.approx(0.0, abs=1e-4)  # one whole turn
    distance = np.linalg.norm(points[:, :3], axis=1)
    assert distance.min() > 1.0 and 30.0 < distance.max() <= 60.0
    elevation = np.degrees(np.arcsin(points[:, 2] / distance))
    assert elevation.min() > -24.01 and elevation.max() < 12.01
    lasers = np.repeat(np.arange(32), [scan.get_point_count(n) for n in range(32)])
    assert np.abs(elevation - (12.0 - 36.0 / 31 * lasers)).max() < 0.02
    assert len(np.unique(np.degrees(np.arctan2(points[:, 1], points[:, 0])) // 10)) == 36
    assert np.allclose(points[:, 3], np.exp(-0.004 * distance), atol=1e-5)
    # straight down on the road there is no hole: all of the lowest laser's rays come back
    assert scan.get_point_count(31) == 500
    codes = np.frombuffer(picture.raw_data, np.uint8).reshape(SIZE, SIZE, 4).astype(float)
    depth = (codes[..., 2] + 256 * codes[..., 1] + 65536 * codes[..., 0]) / (2**24 - 1) * 1000
    column, row, inside = in_picture(points)
    assert len(column) > 1000
    # a point is up to half a pixel off the pixel's centre: the depths around it bound it
    near = np.stack([
        depth[np.clip(row + i, 0, SIZE - 1), np.clip(column + j, 0, SIZE - 1)]
        for i in (-1, 0, 1) for j in (-1, 0, 1)
    ])  # fmt: skip
    ahead = points[inside, 0]
    between = (ahead > near.min(axis=0) - 0.02) & (ahead < near.max(axis=0) + 0.02)
    assert between.mean() > 0.99
    flat = near.max(axis=0) - near.min(axis=0) < 0.1
    assert flat.sum() > 100
    assert (np.abs(ahead - near[4])[flat] < 0.1).mean() > 0.99  # thin poles are between pixels


def test_a_semantic_lidar_tells_classes_actors_and_angles(street):
    world, _, other, listen = street
    scans = listen(
        "sensor.lidar.ray_cast_semantic", channels=24, range=60, upper_fov=5, lower_fov=-20,
        rotation_frequency=20, points_per_second=240_000,
    )  # fmt: skip
    size = {"image_size_x": SIZE, "image_size_y": SIZE, "fov": 90}
    pictures = listen("sensor.camera.semantic_segmentation", **size)
    world.tick()
    scan, picture = scans.get(timeout=30), pictures.get(timeout=30)
    kind = np.dtype([("p", "<f4", 3), ("cosine", "<f4"), ("id", "<u4"), ("tag", "<u4")])
    points = np.frombuffer(scan.raw_data, kind)
    assert len(points) == len(scan) and {1, 14} <= set(points["tag"].tolist())
    mine = points[points["id"] == other.id]
    assert len(mine) > 20 and set(mine["tag"].tolist()) == {14}
    local = np.linalg.inv(np.array(other.get_transform().get_matrix()))
    world_points = np.array(scan.transform.get_matrix()) @ np.c_[mine["p"], np.ones(len(mine))].T
    place = (local @ world_points)[:3].T
    box = other.bounding_box
    centre = (box.location.x, box.location.y, box.location.z)
    extent = (box.extent.x, box.extent.y, box.extent.z)
    assert (np.abs(place - centre) < np.add(extent, 0.15)).all()
    classes = np.frombuffer(picture.raw_data, np.uint8).reshape(SIZE, SIZE, 4)[..., 2]
    column, row, inside = in_picture(points["p"].astype(float))
    assert (classes[row, column] == points["tag"][inside]).mean() > 0.97
    road = points[points["tag"] == 1]
    down = -road["p"][:, 2] / np.linalg.norm(road["p"], axis=1)
    assert np.abs(road["cosine"] - down).max() < 0.02  # level ground


def test_a_part_of_a_turn_goes_on_where_the_last_one_ended(street):
    world, _, _, listen = street
    scans = listen(
        "sensor.lidar.ray_cast", channels=4, rotation_frequency=5, points_per_second=16_000,
        upper_fov=-8, lower_fov=-20, horizontal_fov=120, **EXACT,
    )  # fmt: skip
    seen = []
    for _ in range(5):
        world.tick()
        scan = scans.get(timeout=30)
        points = points_of(scan)
        angle = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
        assert angle.min() > -60.1 and angle.max() < 60.1
        seen.append((angle.min(), angle.max(), np.degrees(scan.horizontal_angle)))
    for turn, (low, high, after) in enumerate(seen[:4]):
        assert low == pytest.approx(-60 + 30 * turn, abs=0.7)
        assert high == pytest.approx(-30 + 30 * turn, abs=0.7)
        assert after == pytest.approx((30 * (turn + 1)) % 120, abs=1e-3)


def test_drop_off_and_noise_are_those_that_carla_documents(street):
    world, _, _, listen = street
    common = {"channels": 16, "upper_fov": -6, "lower_fov": -25, "points_per_second": 160_000,
              "rotation_frequency": 20, "range": 60}  # fmt: skip
    kind = "sensor.lidar.ray_cast"
    whole = listen(kind, **common, dropoff_general_rate=0, dropoff_zero_intensity=0)
    lossy = listen(kind, **common, dropoff_general_rate=0.45, dropoff_zero_intensity=0)
    dim = listen(kind, **common, dropoff_general_rate=0, dropoff_zero_intensity=0.4,
                 dropoff_intensity_limit=1.0, atmosphere_attenuation_rate=0.05)  # fmt: skip
    noisy = listen(kind, **common, dropoff_general_rate=0, dropoff_zero_intensity=0,
                   noise_stddev=0.1)  # fmt: skip
    world.tick()
    exact, fewer, dimmed, moved = (
        points_of(one.get(timeout=30)) for one in (whole, lossy, dim, noisy)
    )
    assert len(fewer) / len(exact) == pytest.approx(0.55, abs=0.03)
    distance = np.linalg.norm(exact[:, :3], axis=1)
    chance = 0.4 * np.exp(-0.05 * distance) + 0.6
    assert len(dimmed) / len(exact) == pytest.approx(chance.mean(), abs=0.03)
    assert len(moved) == len(exact)
    off = np.linalg.norm(moved[:, :3], axis=1) - distance
    assert off.std() == pytest.approx(0.1, rel=0.1) and abs(off.mean()) < 0.01
    unit = exact[:, :3] / distance[:, None]
    assert np.abs(unit * np.linalg.norm(moved[:, :3], axis=1)[:, None] - moved[:, :3]).max() < 1e-3


def test_a_radar_tells_how_fast_what_it_meets_comes_nearer(street):
    world, car, other, listen = street
    place = carla.Transform(carla.Location(x=2.5, z=0.8))
    scans = listen("sensor.other.radar", place, horizontal_fov=20, vertical_fov=8,
                   points_per_second=20_000, range=40)  # fmt: skip
    other.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(25):
        world.tick()
        scan = scans.get(timeout=30)
    speed = other.get_velocity().length()
    assert speed > 2.0
    found = points_of(scan)  # velocity, azimuth, altitude, depth
    assert len(found) == len(scan) > 100
    assert np.abs(np.degrees(found[:, 1])).max() < 10.01
    assert np.abs(np.degrees(found[:, 2])).max() < 4.01
    assert found[:, 3].max() <= 40 / np.cos(np.radians(10)) / np.cos(np.radians(4)) + 0.01
    gone = np.abs(found[:, 0] - speed) < 0.02 * speed
    assert gone.sum() > 20 and (np.abs(found[~gone, 0]) < 0.05).all()  # the rest stands still
    forward = car.get_transform().get_forward_vector()
    gap = (other.get_location() - scan.transform.location).dot(forward)
    assert found[gone, 3].min() == pytest.approx(gap - other.bounding_box.extent.x, abs=0.4)


def test_attributes_out_of_range_and_towns_that_are_not_drawn_are_refused(blank_client):
    world = World(make_network(7), seed=7)
    for wrong in ({"channels": "0"}, {"range": "-1"}, {"noise_stddev": "1e5"}):
        sensor = world.spawn("sensor.lidar.ray_cast", Pose(), attributes=wrong)
        with pytest.raises(ActorError, match=f"{next(iter(wrong))} within"):
            Scanner(sensor)
    flat = world.spawn("sensor.other.radar", Pose(), attributes={"horizontal_fov": "180"})
    with pytest.raises(ActorError, match="below 180"):
        Scanner(flat)
    blank = blank_client.get_world()
    lidar = blank.get_blueprint_library().find("sensor.lidar.ray_cast")
    with pytest.raises(RuntimeError, match="--no-raster"):
        blank.spawn_actor(lidar, HIGH)
