import json
import math

import numpy as np
import pytest

from realmaster_live.errors import ActorError, RecordingError
from realmaster_live.minitown.models.bodies import BODIES, PROP_EXTENTS, WALKER_EXTENT
from realmaster_live.minitown.models.catalogue import make_models
from realmaster_live.minitown.plan.boxes import overlap
from realmaster_live.minitown.plan.network import LARGEST_VEHICLE, make_network
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.server.state import LoggedCamera, StateLog, read_states
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.vehicle import VehicleControl
from realmaster_live.minitown.traffic.walker import WalkerControl
from realmaster_live.minitown.traffic.world import SPAWN_COLLISION, World
from realmaster_live.minitown.transforms import Pose, compose, matrix, pose_of

DT = 0.05


@pytest.fixture
def world():
    return World(make_network(7), seed=7)


def place(world, index=0):
    point = world.network.spawn_points[index]
    return Pose(*point.location, yaw=point.yaw_deg)


def run(world, seconds):
    for _ in range(round(seconds / DT)):
        world.step(DT)


def random_poses():
    rng = np.random.default_rng(3)
    angles = rng.uniform((-89, -179, -179), (89, 179, 179), (50, 3))
    return [
        Pose(*map(float, place), *map(float, turn))
        for place, turn in zip(rng.uniform(-200, 200, (50, 3)), angles, strict=True)
    ]


def test_matrices_are_carlas_own():
    carla = pytest.importorskip("carla")
    for pose in random_poses():
        theirs = carla.Transform(
            carla.Location(*pose.location), carla.Rotation(pose.pitch, pose.yaw, pose.roll)
        ).get_matrix()
        assert np.allclose(matrix(pose), theirs, atol=1e-4)


def test_pose_survives_its_matrix():
    for pose in random_poses():
        assert np.allclose(matrix(pose_of(matrix(pose))), matrix(pose), atol=1e-9)


def test_mounted_sensor_follows_its_vehicle(world):
    ego = world.spawn_ego()
    mount = Pose(1.5, 0.2, 2.4, -10.0, 5.0, 3.0)
    camera = world.spawn("sensor.camera.rgb", mount, parent=ego.id)
    run(world, 4.0)
    assert math.dist(ego.pose[:2], place(world)[:2]) > 2.0
    assert np.allclose(matrix(camera.pose), matrix(ego.pose) @ matrix(mount), atol=1e-9)
    assert camera.pose == compose(ego.pose, mount)
    view = world.camera_view(camera.id)
    assert (view.width, view.height, view.fov_deg) == (800, 600, 90.0)
    world.destroy(ego.id)
    assert camera.id not in world.actors


def test_throttle_brake_and_reverse(world):
    car = world.spawn("vehicle.tesla.model3", place(world))
    car.vehicle.control = VehicleControl(throttle=1.0)
    run(world, 2.0)
    fast = car.vehicle.speed
    assert 6.0 < fast < 9.0
    car.vehicle.control = VehicleControl(brake=1.0)
    run(world, 0.5)
    assert car.vehicle.speed < fast - 3.5
    run(world, 1.0)
    assert car.vehicle.speed == 0.0
    assert "brake_light" in car.vehicle.lit()
    car.vehicle.control = VehicleControl(throttle=0.5, reverse=True)
    run(world, 1.0)
    assert -3.0 < car.vehicle.speed < -0.5
    car.vehicle.control = VehicleControl(hand_brake=True)
    run(world, 1.0)
    assert car.vehicle.speed == 0.0


def test_positive_steer_turns_right_with_the_radius_of_the_bicycle(world):
    car = world.spawn("vehicle.tesla.model3", Pose(z=0.3))
    car.vehicle.control = VehicleControl(throttle=0.3, steer=0.5)
    run(world, 1.0)
    assert car.pose.yaw > 0.0 and car.pose.y > 0.0
    turn = math.tan(car.vehicle.wheel_angle)
    radius = car.vehicle.body.wheelbase / (turn * math.cos(math.atan(0.5 * turn)))
    speed = math.hypot(*car.velocity[:2])
    assert math.radians(car.angular_velocity[2]) == pytest.approx(speed / radius, rel=1e-2)


def test_vehicle_settles_on_the_ground(world):
    car = world.spawn("vehicle.tesla.model3", place(world))
    assert car.pose.z == pytest.approx(0.3)
    world.step(DT)
    assert car.pose.z == pytest.approx(0.0, abs=1e-6)


def test_a_place_can_be_taken_only_once(world):
    first = world.spawn("vehicle.tesla.model3", place(world))
    with pytest.raises(ActorError, match=SPAWN_COLLISION):
        world.spawn("vehicle.nissan.patrol", place(world))
    assert world.destroy(first.id)
    assert not world.destroy(first.id)
    world.spawn("vehicle.nissan.patrol", place(world))


def test_head_on_cars_stop_and_report_one_collision_each(world):
    a = world.spawn("vehicle.tesla.model3", Pose(0.0, 0.0, 0.0))
    b = world.spawn("vehicle.tesla.model3", Pose(14.0, 0.0, 0.0, 0.0, 180.0))
    for car in (a, b):
        car.vehicle.control = VehicleControl(throttle=1.0)
    while not world.collisions:
        world.step(DT)
        assert world.time_s < 5.0
    hit = world.collisions
    assert {(c.actor, c.other) for c in hit} == {(a.id, b.id), (b.id, a.id)}
    assert hit[0].impulse[0] == -hit[1].impulse[0] != 0.0
    run(world, 1.0)
    assert b.pose.x - a.pose.x >= 2 * a.extent[0] - 1e-6
    a.vehicle.control = VehicleControl(throttle=0.6, reverse=True)
    run(world, 1.0)
    assert a.vehicle.speed < -1.0


@pytest.mark.parametrize("walks", [False, True])
def test_a_walker_stops_a_car_and_both_are_told(world, walks):
    car = world.spawn("vehicle.tesla.model3", Pose())
    walker = world.spawn("walker.pedestrian.0002", Pose(12.0, 1.5 if walks else 0.0, 0.93))
    car.vehicle.control = VehicleControl(throttle=1.0)
    if walks:
        walker.walker.control = WalkerControl((0.0, -1.0, 0.0), 0.5)
    while not world.collisions:
        world.step(DT)
        assert world.time_s < 5.0
    hit = world.collisions
    assert {(c.actor, c.other) for c in hit} == {(car.id, walker.id), (walker.id, car.id)}
    assert hit[0].impulse[0] == -hit[1].impulse[0] != 0.0
    assert car.vehicle.speed == 0.0
    for _ in range(40):
        world.step(DT)
        assert not overlap(car.box, walker.box)


def test_walker_obeys_its_control(world):
    walker = world.spawn("walker.pedestrian.0002", Pose(5.0, 5.0, 0.93))
    walker.walker.control = WalkerControl((0.0, 1.0, 0.0), 1.5)
    run(world, 2.0)
    assert walker.pose.y == pytest.approx(8.0)
    assert walker.pose.yaw == pytest.approx(90.0)
    assert walker.walker.stride != 0.0
    assert walker.feet.z == pytest.approx(0.0)


def test_ambient_walkers_never_jump_and_their_velocity_is_their_motion(world):
    """Onto a crossing, off it and down the kerb they step no faster than they hurry."""
    _, walkers = populate(world, 0, 24, seed=3)
    crossed, fastest = 0, 0.0
    before = {key: world.actors[key].pose for key in walkers}
    for _ in range(500):
        world.step(DT)
        for key in walkers:
            actor, old = world.actors[key], before[key]
            moved = math.dist(actor.pose[:3], old[:3]) / DT
            assert moved == pytest.approx(math.hypot(*actor.velocity), abs=1e-6)
            fastest = max(fastest, moved)
            before[key] = actor.pose
        crossed += sum(stroller.crossing for stroller in world.crowd.strollers.values())
    assert crossed > 20
    assert fastest <= 1.5 * 1.7 + 1e-6


def test_unknown_things_are_refused(world):
    with pytest.raises(ActorError, match="library"):
        world.spawn("vehicle.flying.carpet", Pose())
    with pytest.raises(ActorError, match="library"):
        world.spawn("traffic.traffic_light", Pose())
    with pytest.raises(ActorError, match="4711"):
        world.spawn("sensor.camera.rgb", Pose(), parent=4711)
    with pytest.raises(ActorError, match="vehicle"):
        world.set_autopilot(world.spectator.id, True)
    for wrong in ({"fov": "wide"}, {"fov": "nan"}, {"image_size_x": "1e9"}, {"x": "y" * 2000}):
        with pytest.raises(ActorError, match=next(iter(wrong))):
            world.spawn("sensor.camera.rgb", Pose(), attributes=wrong)
    with pytest.raises(ActorError, match=r"sensor\.camera\.dvs: use one of .*sensor\.lidar"):
        world.spawn("sensor.camera.dvs", Pose())


def test_scene_state_shows_every_body(world):
    vehicles, walkers = populate(world, 5, 4, seed=1)
    run(world, 1.0)
    state = world.scene_state()
    assert state.town_seed == 7 and state.frame == world.frame
    ids = {instance.actor_id for instance in state.instances}
    assert ids == {*vehicles, *walkers, *world.light_actors.values()}
    assert {i.model for i in state.instances if i.actor_id in walkers} <= {
        "walker_a", "walker_b", "walker_c", "walker_d"
    }  # fmt: skip
    lamps = [i.lit for i in state.instances if i.model == "traffic_light"]
    assert all(len(lit) == 1 for lit in lamps)
    assert frozenset({"lamp_green"}) in lamps and frozenset({"lamp_red"}) in lamps


def test_bodies_are_as_large_as_the_models_that_are_drawn():
    for name, model in make_models().items():
        expected = BODIES[name].extent if name in BODIES else WALKER_EXTENT
        if name.startswith("prop_"):
            expected = PROP_EXTENTS[name.removeprefix("prop_")]
        if name != "traffic_light":
            assert model.extent == pytest.approx(expected, abs=0.02), name


def test_same_seed_same_world():
    def poses():
        world = World(make_network(3), seed=5)
        populate(world, 12, 8, seed=2)
        run(world, 8.0)
        return [(actor.id, actor.type_id, actor.pose) for actor in world.actors.values()]

    assert poses() == poses()


def test_headlamps_burn_at_night(world):
    populate(world, 3, 0, seed=1)
    world.weather = Weather(sun_altitude_angle=-10.0)
    world.step(DT)
    lit = [i.lit for i in world.scene_state().instances if i.model != "traffic_light"]
    assert all("head_light" in parts for parts in lit)


def test_state_log_gives_states_back(world, tmp_path):
    populate(world, 4, 3, seed=1)
    camera = world.spawn("sensor.camera.depth", Pose(3.0, 4.0, 5.0, -12.0, 77.0, 2.0))
    written = []
    with StateLog(tmp_path / "states.jsonl") as log:
        for _ in range(3):
            world.step(DT)
            logged = LoggedCamera(
                actor_id=camera.id, type_id=camera.type_id, view=world.camera_view(camera.id)
            )
            written.append(world.scene_state())
            log.append(written[-1], [logged])
    read = list(read_states(tmp_path / "states.jsonl"))
    assert [r.state.frame for r in read] == [1, 2, 3]
    for before, after in zip(written, read, strict=True):
        assert after.state.weather == before.weather and after.state.time_s == before.time_s
        for one, other in zip(before.instances, after.state.instances, strict=True):
            assert np.allclose(one.model_to_world, other.model_to_world, atol=1e-6)
            assert (one.actor_id, one.model, one.lit) == (other.actor_id, other.model, other.lit)
        view = after.cameras[0].view
        assert np.allclose(view.cam_to_world, matrix(camera.pose), atol=1e-6)
        assert (view.width, view.height, view.fov_deg) == (800, 600, 90.0)


def test_a_cut_last_line_is_left_out_and_damage_is_reported(world, tmp_path):
    path = tmp_path / "states.jsonl"
    with StateLog(path) as log:
        log.append(world.scene_state())
    whole = path.read_text()
    path.write_text(whole + whole[:50])
    assert len(list(read_states(path))) == 1
    path.write_text(whole + json.dumps({"v": 99}) + "\n")
    with pytest.raises(RecordingError, match="line 2"):
        list(read_states(path))


def test_the_largest_body_fits_at_every_spawn_point_at_once():
    for body in BODIES.values():
        assert body.extent[0] <= LARGEST_VEHICLE[0] and body.full_extent[1] <= LARGEST_VEHICLE[1]
    for seed in (0, 7, 506):
        world = World(make_network(seed), seed=seed)
        for index in range(len(world.network.spawn_points)):
            world.spawn("vehicle.mitsubishi.fusorosa", place(world, index))
        world.step(DT)
        assert world.collisions == []


def test_a_long_step_drives_as_far_as_its_parts_and_keeps_a_drivers_lane():
    long, short = World(make_network(7), seed=7), World(make_network(7), seed=7)
    for one in (long, short):
        populate(one, 12, 4, 7)
        car = one.spawn("vehicle.tesla.model3", place(one), attributes={"sticky_control": "False"})
        car.vehicle.control = VehicleControl(throttle=1.0)
    for _ in range(4):
        frame = long.step(3.0)
    for _ in range(120):
        short.step(0.1)
        if short.time_s < 2.95:
            short.actors[car.id].vehicle.control = VehicleControl(throttle=1.0)
    assert frame == 4 and long.time_s == pytest.approx(short.time_s) == pytest.approx(12.0)
    assert short.actors[car.id].pose.x != pytest.approx(place(short).x, abs=5.0)
    for key, actor in short.actors.items():
        assert long.actors[key].pose == pytest.approx(actor.pose, abs=1e-6), actor.type_id


def test_a_control_that_is_not_sticky_holds_for_one_tick(world):
    cars = [
        world.spawn("vehicle.tesla.model3", place(world, n), attributes={"sticky_control": sticky})
        for n, sticky in ((0, "False"), (20, "True"))
    ]
    for car in cars:
        car.vehicle.control = VehicleControl(throttle=1.0)
    world.step(DT)
    once = [car.vehicle.speed for car in cars]
    assert once[0] == once[1] > 0.0
    run(world, 0.5)
    assert cars[0].vehicle.speed < once[0] < cars[1].vehicle.speed
