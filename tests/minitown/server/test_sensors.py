"""GNSS, inertial, collision and optical flow, as the real client receives them."""

import math
import queue

import numpy as np
import pytest

from realmaster_live.bridges.carla.wire.layouts import layout_of
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.scene import CameraView
from realmaster_live.minitown.server.cameras import (
    Blank,
    Camera,
    Shot,
    depth_bgr,
    draw,
    fill,
    label_bgr,
    make_camera,
    plan,
)
from realmaster_live.minitown.server.sensors import mercator, transverse_mercator
from realmaster_live.minitown.server.streams import Message
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla


def go_sync(world):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)


def listen(world, type_id, parent, mount=None, **attributes):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, mount or carla.Transform(), attach_to=parent)
    readings = queue.Queue()
    sensor.listen(readings.put)
    readings.sensor = sensor
    return readings


def car_at(world, x, y, yaw):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    place = carla.Transform(carla.Location(x, y, 0.2), carla.Rotation(yaw=yaw))
    return world.spawn_actor(blueprint, place)


def test_gnss_is_the_maps_own_projection(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    car = car_at(world, 40.0, -25.0, 0.0)
    readings = listen(world, "sensor.other.gnss", car)
    world.tick()
    fix = readings.get(timeout=30)
    place = car.get_location()
    expected = world.get_map().transform_to_geolocation(place)
    assert fix.latitude == pytest.approx(expected.latitude, abs=1e-9)
    assert fix.longitude == pytest.approx(expected.longitude, abs=1e-9)
    assert fix.altitude == pytest.approx(place.z, abs=1e-3)


def test_both_projections_agree_but_for_their_north():
    for x, y in ((0.0, 0.0), (250.0, -180.0), (-90.0, 300.0)):
        one = mercator(Pose(x, y, 2.0), (49.0, 8.0))
        other = transverse_mercator(Pose(x * 0.9996, -y * 0.9996, 2.0), (49.0, 8.0))
        assert one == pytest.approx(other, abs=1e-6)
    north, _, _ = mercator(Pose(0.0, -111.0), (49.0, 8.0))
    _, east, _ = mercator(Pose(73.0, 0.0), (49.0, 8.0))
    assert north - 49.0 == pytest.approx(0.001, rel=0.02)
    assert east - 8.0 == pytest.approx(0.001, rel=0.02)


def test_imu_feels_gravity_push_turn_and_north(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    car = car_at(world, 0.0, 0.0, 0.0)
    readings = listen(world, "sensor.other.imu", car)
    world.tick()
    rest = readings.get(timeout=30)
    assert rest.accelerometer.z == pytest.approx(9.81, abs=0.01)
    assert rest.compass == pytest.approx(math.pi / 2, abs=0.01)  # it looks east
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.4))
    for _ in range(20):
        world.tick()
        moving = readings.get(timeout=30)
    assert moving.accelerometer.x > 1.0
    turned = math.radians(world.get_snapshot().find(car.id).get_angular_velocity().z)
    assert moving.gyroscope.z == pytest.approx(turned, abs=1e-3) and turned > 0.1
    assert moving.compass > rest.compass


def test_collision_names_both_actors(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    car, wall = car_at(world, 0.0, 0.0, 0.0), car_at(world, 7.0, 0.0, 90.0)
    readings = listen(world, "sensor.other.collision", car)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(60):
        frame = world.tick()
        if not readings.empty():
            break
    event = readings.get(timeout=30)
    assert event.frame <= frame
    assert (event.actor.id, event.other_actor.id) == (car.id, wall.id)
    assert event.normal_impulse.length() > 100.0


def test_lane_invasion_is_seen_by_the_client(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    point = world.get_map().get_spawn_points()[0]
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(blueprint, point)
    readings = listen(world, "sensor.other.lane_invasion", car)
    world.tick()
    side = point.get_right_vector()
    for step in range(12):
        place = carla.Transform(point.location - side * (0.4 * step), point.rotation)
        car.set_transform(place)
        world.tick()
    assert readings.get(timeout=30).crossed_lane_markings


def test_flow_is_the_motion_of_the_picture(carla_client):
    world = carla_client.get_world()
    go_sync(world)
    point = world.get_map().get_spawn_points()[20]
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(blueprint, point)
    car.set_simulate_physics(False)
    height, width = 40.0, 200
    down = carla.Transform(carla.Location(z=height), carla.Rotation(pitch=-90))
    readings = listen(
        world,
        *("sensor.camera.optical_flow", car, down),
        image_size_x=width, image_size_y=width, fov=60.0,
    )  # fmt: skip
    for step in range(3):
        moved = point.location + point.get_forward_vector() * (0.5 * step)
        car.set_transform(carla.Transform(moved, point.rotation))
        world.tick()
        image = readings.get(timeout=30)
    flow = np.frombuffer(image.raw_data, np.float32).reshape(width, width, 2)
    focal = width / 2 / math.tan(math.radians(30.0))
    # in halves of the picture, y up: what we drive over falls back, down
    expected = -0.5 * focal / height / (width / 2)
    corner = flow[10:60, 10:60].reshape(-1, 2)
    ground = np.median(corner, axis=0)
    assert ground[0] == pytest.approx(0.0, abs=4e-3)
    assert ground[1] == pytest.approx(expected, rel=0.1)
    on_car = flow[96:104, 98:102].reshape(-1, 2)
    assert np.abs(on_car).max() < 4e-3  # the camera moves with the car


class Counting(Blank):
    """The fixed picture, counting how often it is asked for."""

    calls = 0

    def render(self, *args, **options):
        self.calls += 1
        return super().render(*args, **options)


def test_equal_views_are_drawn_once():
    world = World(make_network(7), seed=7)
    kinds = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow")
    cameras = []
    for stream, kind in enumerate([*kinds, "rgb"]):
        place = Pose(1.0, 2.0, 3.0, yaw=0.0 if stream < len(kinds) else 90.0)
        actor = world.spawn(f"sensor.camera.{kind}", place)
        view = world.camera_view(actor.id)
        cameras.append((make_camera(actor, stream, view), view))
    renderer = Counting()
    job = plan(cameras, world.scene_state(), 0.0, layout_of("0.9.16"))
    draw(job, renderer)
    assert renderer.calls == 2
    shots = [shot for group in job.groups for shot in group]
    assert len(shots) == 6 and all(shot.message.pending == 1 for shot in shots)


def test_depth_code_is_carlas():
    depth = np.array([[0.0, 0.5, 10.0], [999.0, 1000.0, np.inf]], np.float32)
    pixels = np.zeros((2, 3, 4), np.uint8)
    depth_bgr(depth, pixels)
    code = pixels[..., 2].astype(float) + 256.0 * pixels[..., 1] + 65536.0 * pixels[..., 0]
    metres = code / (2**24 - 1) * 1000.0
    assert np.allclose(metres, np.minimum(depth, 1000.0), atol=1.5e-4)


def test_buffers_in_flight_are_not_reused():
    class Drawn:
        rgb = np.full((2, 2, 3), (1, 2, 3), np.uint8)
        flow = None

    view = CameraView(cam_to_world=np.eye(4), width=2, height=2, fov_deg=90.0)
    camera = Camera(actor=None, stream=2, kind="rgb", view=view)
    first = camera.buffer()
    second = camera.buffer()
    assert first is not second and isinstance(first, Message)
    fill(Shot(camera, view, first), Drawn)
    assert bytes(first.data[-4:]) == bytes([3, 2, 1, 255])
    first.pending = 0
    assert camera.buffer() is first


def test_label_code_is_carlas():
    semantic = np.array([[1, 14, 255]], np.uint8)
    instance = np.array([[0, 0x1234, 0x71FF]], np.int32)
    pixels = np.full((1, 3, 4), 7, np.uint8)
    label_bgr(semantic, None, pixels)
    assert pixels[0].tolist() == [[0, 0, 1, 255], [0, 0, 14, 255], [0, 0, 255, 255]]
    label_bgr(semantic, instance, pixels)
    expected = [[0, 0, 1, 255], [0x12, 0x34, 14, 255], [0x71, 0xFF, 255, 255]]
    assert pixels[0].tolist() == expected


def test_noise_and_bias_are_those_of_the_attributes_and_the_same_for_a_seed(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    car = car_at(world, 40.0, -25.0, 0.0)
    noise = {"noise_accel_stddev_x": 0.5, "noise_gyro_bias_z": 0.25, "noise_gyro_stddev_z": 0.1}
    imus = [listen(world, "sensor.other.imu", car, **noise, noise_seed=seed) for seed in (3, 3, 4)]
    gnss = listen(world, "sensor.other.gnss", car, noise_lat_bias=0.5, noise_alt_stddev=2.0)
    exact = listen(world, "sensor.other.gnss", car)
    felt, turned, high = [], [], []
    for _ in range(60):
        world.tick()
        first, same, other = (one.get(timeout=30) for one in imus)
        assert first.accelerometer.x == same.accelerometer.x != other.accelerometer.x
        assert first.accelerometer.y == pytest.approx(0.0, abs=0.05)
        felt.append(first.accelerometer.x)
        turned.append(first.gyroscope.z)
        fix, truth = gnss.get(timeout=30), exact.get(timeout=30)
        assert fix.latitude - truth.latitude == pytest.approx(0.5)
        high.append(fix.altitude - truth.altitude)
    assert np.std(felt) == pytest.approx(0.5, rel=0.4)
    assert np.mean(turned) == pytest.approx(0.25, abs=0.06)
    assert np.std(turned) == pytest.approx(0.1, rel=0.4)
    assert np.std(high) == pytest.approx(2.0, rel=0.4)
