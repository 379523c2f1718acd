"""What the ego does and measures, through the real client: in our axes, in step with the frames."""

from itertools import islice, pairwise

import carla
import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.ego_sensors import EgoSensors
from realmaster_live.errors import BridgeError, ConfigError, SensorMismatch
from realmaster_live.frames.rig import Rig, RigCamera
from realmaster_live.frames.rig_sensors import Place, RigSensor

pytestmark = pytest.mark.carla
SMALL = {"width": 64, "height": 48, "labels": (), "objects": False, "timeout_s": 20.0}


def attach(owner, **options) -> CarlaBridge:
    return CarlaBridge(owner.host, owner.port, ego=owner.hero.id, **{**SMALL, **options})


def test_readings_are_those_of_the_frames_own_tick_in_our_axes(owner):
    owner.steer(throttle=0.7, steer=0.4)
    with attach(owner, sensors=("imu", "gnss")) as bridge:
        frames = list(islice(bridge.frames(), 40))
        geo = owner.world.get_map().transform_to_geolocation
        for before, frame in pairwise(frames[20:]):
            state = frame.ego
            assert state.frame_id == frame.frame_id and state.missing == ()
            assert state.timestamp == pytest.approx(frame.timestamp)
            moved = (frame.ego_to_world - before.ego_to_world)[:3, 3] / 0.05
            assert np.allclose(state.velocity, moved, atol=0.02)
            turn = before.ego_to_world[:3, :3].T @ frame.ego_to_world[:3, :3]
            rate = np.arctan2(turn[1, 0], turn[0, 0]) / 0.05
            assert rate < -0.05  # steered to the right
            assert state.angular_velocity[2] == pytest.approx(rate, abs=0.02)
            assert state.imu.angular_velocity[2] == pytest.approx(rate, abs=0.02)
            felt = frame.ego_to_world[:3, :3].T @ np.add(state.acceleration, (0.0, 0.0, 9.81))
            assert np.allclose(state.imu.acceleration, felt, atol=0.05)
            assert (state.control.throttle, state.control.steer) == pytest.approx((0.7, 0.4))
            x, y, z = frame.ego_to_world[:3, 3]
            fix = geo(carla.Location(x, -y, z))
            assert state.gnss.latitude == pytest.approx(fix.latitude, abs=1e-7)
            assert state.gnss.longitude == pytest.approx(fix.longitude, abs=1e-7)
            forward = frame.ego_to_world[:3, 0]
            north = np.array([0.0, 1.0, 0.0])  # CARLA's is -y
            compass = np.arctan2(np.cross(forward, north)[2], forward @ north)
            assert np.cos(state.imu.compass - compass) > 0.9999
        assert frames[-1].ego.speed > 1.0


def test_controls_come_without_any_sensor(owner):
    with attach(owner) as bridge:
        frame = next(bridge.frames())
    assert frame.ego.control is not None and frame.ego.imu is None and frame.ego.missing == ()
    assert not owner.world.get_actors().filter("sensor.other.*")


def test_a_lidars_points_are_where_the_depth_of_the_frame_is(drawn_owner):
    lidar = RigSensor(
        kind="lidar", name="top", place=Place(x=1.5, z=1.7),
        attributes={"dropoff_general_rate": 0, "dropoff_zero_intensity": 0, "lower_fov": -20},
    )  # fmt: skip
    camera = RigCamera(name="front", width=160, height=120, labels=("depth",), fov_deg=90.0)
    with attach(drawn_owner, rig=Rig((camera,), (lidar,)), sensors=("radar",)) as bridge:
        frame = next(islice(bridge.frames(), 3, None))
        info = bridge.info.sensors["top"]
    sweep = frame.ego.sweeps["top"]
    assert sweep.frame_id == frame.frame_id and len(sweep) > 5000
    assert info.kind == "lidar" and info.attributes["rotation_frequency"] == "20.0"
    mount = frame.ego_to_world @ np.array(info.sensor_to_ego)
    assert np.allclose(sweep.sensor_to_world, mount, atol=1e-3)
    world = sweep.points @ sweep.sensor_to_world[:3, :3].T + sweep.sensor_to_world[:3, 3]
    seen = (world - frame.cam_to_world[:3, 3]) @ frame.cam_to_world[:3, :3]
    seen = seen[seen[:, 2] > 0.5]
    pixels = seen @ frame.intrinsics.T
    column, row = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    inside = (column >= 1) & (column < 159) & (row >= 1) & (row < 119)
    seen, column, row = seen[inside], column[inside], row[inside]
    assert len(seen) > 500
    depth = frame.labels["depth"]
    near = np.stack([depth[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    fits = (seen[:, 2] > near.min(axis=0) - 0.05) & (seen[:, 2] < near.max(axis=0) + 0.05)
    assert fits.mean() > 0.98
    radar = frame.ego.sweeps["radar"]
    assert radar.kind == "radar" and radar.points.shape[1] == 3
    assert (radar.points[:, 0] > 0).all()


def test_collisions_are_events_with_the_numbers_of_their_frames(owner):
    with attach(owner, sensors=("collision",)) as bridge:
        frames = bridge.frames()
        first = next(frames)
        forward = owner.hero.get_transform().get_forward_vector()
        ahead = owner.hero.get_location() + 6.0 * forward
        blueprint = owner.world.get_blueprint_library().find("vehicle.tesla.model3")
        place = carla.Transform(ahead, owner.hero.get_transform().rotation)
        other = owner.world.spawn_actor(blueprint, place)
        owner.steer(throttle=1.0)
        hits = []
        for frame in islice(frames, 80):
            hits += [(frame.frame_id, hit) for hit in frame.ego.collisions]
            if hits:
                break
        other.destroy()
    assert hits and hits[0][1].other_id == other.id
    number, hit = hits[0]
    assert first.frame_id < hit.frame_id <= number
    assert hit.other_type == "vehicle.tesla.model3" and np.linalg.norm(hit.impulse) > 0


def test_a_reading_that_does_not_come_is_missing_and_is_not_waited_for_again(owner, monkeypatch):
    monkeypatch.setattr("realmaster_live.bridges.carla.ego_sensors.WAIT_S", 2.0)
    with attach(owner, sensors=("imu", "gnss")) as bridge:
        frames = bridge.frames()
        assert next(frames).ego.missing == ()
        owner.wait_until(lambda: bool(owner.sensors("other.imu")))
        owner.sensors("other.imu")[0].destroy()
        states = [frame.ego for frame in islice(frames, 5)]
    assert all(state.imu is None for state in states[1:])
    assert all(state.missing == ("imu",) for state in states[1:])
    assert all(state.gnss is not None for state in states)


def test_sensors_go_with_the_bridge(owner):
    with attach(owner, sensors=("imu", "lane_invasion", "collision", "gnss")) as bridge:
        next(bridge.frames())
        owner.wait_until(lambda: len(owner.sensors("other.*")) >= 3)
    owner.wait_until(lambda: not owner.sensors())


def test_what_cannot_be_had_is_said_in_a_sentence(owner, monkeypatch):
    with pytest.raises(ConfigError, match=r"sensors out of imu, .*, got 'sonar'"):
        attach(owner, sensors=("sonar",))
    with pytest.raises(ConfigError, match="lidar twice"):
        attach(owner, sensors=("lidar", "lidar"))
    with pytest.raises(ConfigError, match="only lidars and radars have names"):
        RigSensor(kind="imu", name="second")
    wrong = RigSensor(kind="lidar", attributes={"colour": "red"})
    with pytest.raises(SensorMismatch, match=r"ray_cast for lidar, .* range, .*got colour"):
        attach(owner, sensors=(wrong,))
    with pytest.raises(BridgeError, match=r"^expected a town that is drawn for sensor\.lidar"):
        attach(owner, sensors=("lidar",))
    kinds = dict(EgoSensors.__init__.__globals__["SENSOR_KINDS"])
    kinds["radar"] = kinds["radar"]._replace(blueprint="sensor.other.sonar")
    monkeypatch.setattr("realmaster_live.bridges.carla.ego_sensors.SENSOR_KINDS", kinds)
    with pytest.raises(SensorMismatch, match=r"got one that has imu, gnss, .*lidar: leave"):
        attach(owner, sensors=("radar",))


def test_who_follows_anothers_ticks_gets_the_readings_of_each_tick_too(owner):
    with (
        owner.synchronous(),
        owner.ticking(8.0),  # readings that take longer than a tick are missing
        attach(owner, sensors=("imu", "gnss"), synchronous=False) as bridge,
    ):
        states = [frame.ego for frame in islice(bridge.frames(), 30)]
    numbers = [state.frame_id for state in states]
    assert numbers == sorted(set(numbers))
    whole = [state for state in states if not state.missing]
    assert len(whole) >= 25
    assert all(state.imu is not None and state.gnss is not None for state in whole)
    # a control that may be a later tick's is left out, and nothing is put in its place
    assert sum(state.control is not None for state in states) >= 15
