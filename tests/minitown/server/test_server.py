"""The server through the real client: connect, spawn, tick, images, batches, maps, errors."""

import math
import queue
import time

import numpy as np
import pytest
from settled import settle, until_silent
from waiting import until

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla

KINDS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation")
MOUNT = carla.Transform(carla.Location(1.5, 0.2, 2.4), carla.Rotation(-10, 5, 3))
SIZE = (320, 180)


def go_sync(world, delta=0.05):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta
    return world.apply_settings(settings)


def spawn(world, type_id, index=0, **attributes):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[index])


def camera(world, kind, parent=None, mount=MOUNT, size=SIZE, fov=77.0, tick=0.0):
    blueprint = world.get_blueprint_library().find(f"sensor.camera.{kind}")
    for name, value in (
        ("image_size_x", size[0]),
        ("image_size_y", size[1]),
        ("fov", fov),
        ("sensor_tick", tick),
    ):
        blueprint.set_attribute(name, str(value))
    actor = world.spawn_actor(blueprint, mount, attach_to=parent)
    images = queue.Queue()
    actor.listen(images.put)
    images.sensor = actor  # a sensor that nobody holds stops
    return actor, images


def pixels(image):
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def test_first_contact(blank_client):
    assert blank_client.get_server_version() == blank_client.get_client_version()
    world = blank_client.get_world()
    town = world.get_map()
    assert town.name == "Carla/Maps/MiniTown07"
    assert len(town.get_spawn_points()) > 50 and len(town.generate_waypoints(10.0)) > 100
    assert "/Game/Carla/Maps/MiniTown07" in blank_client.get_available_maps()
    assert world.get_spectator().type_id == "spectator"
    assert world.wait_for_tick().frame <= world.wait_for_tick().frame
    frames = []
    callback = world.on_tick(lambda snapshot: frames.append(snapshot.frame))
    until(lambda: len(frames) > 5)
    world.remove_on_tick(callback)
    assert np.all(np.diff(frames) == 1)


def test_free_running_keeps_its_rate(blank_client):
    world = blank_client.get_world()
    settle(world)  # states that came late come at once
    began, first = time.monotonic(), world.wait_for_tick()
    last = until(lambda: (now := world.get_snapshot()).frame >= first.frame + 40 and now)
    assert time.monotonic() - began > 0.8 * 40 / 20.0  # and longer where the machine is slow
    simulated = last.timestamp.elapsed_seconds - first.timestamp.elapsed_seconds
    assert simulated == pytest.approx(0.05 * (last.frame - first.frame), abs=1e-6)


def test_blueprints_have_what_scripts_ask_for(blank_client):
    library = blank_client.get_world().get_blueprint_library()
    cars = library.filter("vehicle.*")
    assert len(cars) >= 10 and len(library.filter("walker.pedestrian.*")) >= 8
    for blueprint in cars:
        assert blueprint.has_attribute("color")
        assert blueprint.get_attribute("number_of_wheels").as_int() in (2, 4)
        blueprint.set_attribute("role_name", "hero")
    assert library.find("sensor.camera.rgb").get_attribute("fov").as_float() == 90.0


def test_weather_and_settings_come_back(blank_client):
    world = blank_client.get_world()
    weather = world.get_weather()
    weather.cloudiness, weather.sun_altitude_angle = 77.0, -12.5
    world.set_weather(weather)
    assert world.get_weather().cloudiness == 77.0
    assert world.get_weather().sun_altitude_angle == -12.5
    go_sync(world, 0.025)
    settings = world.get_settings()
    assert settings.synchronous_mode and settings.fixed_delta_seconds == pytest.approx(0.025)
    before = world.get_snapshot().timestamp
    world.tick()
    after = world.get_snapshot().timestamp
    assert after.delta_seconds == pytest.approx(0.025)
    assert after.elapsed_seconds - before.elapsed_seconds == pytest.approx(0.025)
    with pytest.raises(RuntimeError, match="fixed_delta_seconds"):
        go_sync(world, 11.0)


def test_one_image_per_camera_and_tick_with_its_frame_and_pose(carla_client):
    world = carla_client.get_world()
    go_sync(world)
    vehicle = spawn(world, "vehicle.tesla.model3")
    cameras = {kind: camera(world, kind, vehicle) for kind in KINDS}
    vehicle.apply_control(carla.VehicleControl(throttle=0.6, steer=0.05))
    for _ in range(10):
        frame = world.tick()
        snapshot = world.get_snapshot()
        assert snapshot.frame == frame
        for actor, images in cameras.values():
            image = images.get(timeout=30)
            assert image.frame == frame and images.empty()
            assert image.timestamp == pytest.approx(snapshot.timestamp.elapsed_seconds)
            assert (image.width, image.height) == SIZE and image.fov == pytest.approx(77.0)
            assert (pixels(image)[..., 3] == 255).all()
            ours = np.array(image.transform.get_matrix())
            theirs = np.array(snapshot.find(actor.id).get_transform().get_matrix())
            parent = np.array(snapshot.find(vehicle.id).get_transform().get_matrix())
            assert np.abs(ours - theirs).max() < 1e-3
            assert np.abs(ours - parent @ np.array(MOUNT.get_matrix())).max() < 2e-3
    assert vehicle.get_velocity().length() > 0.5


def test_pictures_mean_what_carla_means(carla_client):
    world = carla_client.get_world()
    go_sync(world)
    vehicle = spawn(world, "vehicle.tesla.model3", 20)
    height = 30.0
    down = carla.Transform(carla.Location(z=height), carla.Rotation(pitch=-90))
    images = [camera(world, kind, vehicle, down, (160, 160), 60.0)[1] for kind in KINDS]
    for _ in range(2):
        world.tick()
        rgb, depth, semantic, instance = (pixels(one.get(timeout=30)) for one in images)
    roof = 2 * vehicle.bounding_box.extent.z
    code = depth[80, 80].astype(float) @ (65536.0, 256.0, 1.0, 0.0) / (2**24 - 1) * 1000.0
    assert code == pytest.approx(height - roof, abs=0.2)
    assert semantic[80, 80, 2] == 14 and not semantic[..., :2].any()
    assert {1, 14} <= set(np.unique(semantic[..., 2]).tolist())
    assert instance[80, 80].tolist()[:3] == [vehicle.id >> 8, vehicle.id & 255, 14]
    assert rgb[..., :3].std() > 5.0


def test_equal_cameras_give_one_scene(carla_client):
    world = carla_client.get_world()
    go_sync(world)
    stand = world.get_map().get_spawn_points()[30]
    stand.location.z += 2.0
    first, second = (camera(world, "rgb", mount=stand)[1] for _ in range(2))
    other = camera(world, "rgb", mount=stand, fov=40.0)[1]
    world.tick()
    a, b, c = (one.get(timeout=30) for one in (first, second, other))
    assert bytes(a.raw_data) == bytes(b.raw_data) != bytes(c.raw_data)


def test_sensor_tick_and_no_rendering(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    _, every = camera(world, "rgb")
    _, third = camera(world, "rgb", tick=0.15)
    frames = [world.tick() for _ in range(9)]
    assert [every.get(timeout=30).frame for _ in frames] == frames
    assert np.diff([third.get(timeout=30).frame for _ in range(3)]).tolist() == [3, 3]
    assert third.empty()
    settings = world.get_settings()
    settings.no_rendering_mode = True
    world.apply_settings(settings)
    for _ in range(3):
        world.tick()
    time.sleep(0.3)
    assert every.empty()


def test_asynchronous_images_are_complete_and_in_order(carla_client):
    world = carla_client.get_world()
    actor, images = camera(world, "rgb")
    got = [images.get(timeout=60) for _ in range(12)]
    actor.stop()
    assert all(len(image.raw_data) == 4 * SIZE[0] * SIZE[1] for image in got)
    assert np.all(np.diff([image.frame for image in got]) > 0)  # a client that is busy misses some


def test_two_clients_share_a_camera(blank_minitown, blank_client):
    world = blank_client.get_world()
    go_sync(world)
    actor, mine = camera(world, "rgb")
    world.tick()
    mine.get(timeout=30)
    theirs = queue.Queue()
    other = blank_minitown.client().get_world()
    twin = other.get_actor(actor.id)
    twin.listen(theirs.put)
    frame = world.tick()
    a, b = mine.get(timeout=30), theirs.get(timeout=30)
    assert a.frame == b.frame == frame and bytes(a.raw_data) == bytes(b.raw_data)
    twin.stop()
    until_silent(world, theirs)
    while mine.get(timeout=30).frame < world.get_snapshot().frame:
        pass
    frame = world.tick()
    assert mine.get(timeout=30).frame == frame and theirs.empty()


def test_stopped_and_restarted_camera(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    actor, images = camera(world, "rgb")
    assert actor.is_listening()
    world.tick()
    images.get(timeout=30)
    actor.stop()
    until_silent(world, images)
    actor.listen(images.put)
    frame = world.tick()
    assert images.get(timeout=30).frame == frame


def test_batch_with_future_actor(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    point = world.get_map().get_spawn_points()[3]
    command = carla.command
    control = carla.VehicleControl(throttle=1.0)
    full = command.SpawnActor(blueprint, point).then(
        command.ApplyVehicleControl(command.FutureActor, control)
    )
    results = blank_client.apply_batch_sync(
        [full, command.SpawnActor(blueprint, point), command.DestroyActor(987654)], True
    )
    assert not results[0].error and "collision" in results[1].error and "987654" in results[2].error
    world.tick()
    actor = world.get_actor(results[0].actor_id)
    assert actor.get_control().throttle == 1.0
    blank_client.apply_batch_sync([command.DestroyActor(actor.id)], True)
    assert world.get_actors().find(actor.id) is None


def test_walkers_lights_transforms_and_boxes(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    walker = world.spawn_actor(
        world.get_blueprint_library().find("walker.pedestrian.0001"),
        carla.Transform(carla.Location(0.0, 0.0, 1.0)),
    )
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1, 0, 0), 2.0))
    world.tick()
    before = walker.get_transform().location
    for _ in range(10):
        world.tick()
    assert before.distance(walker.get_transform().location) == pytest.approx(1.0, abs=0.01)
    assert walker.get_control().speed == pytest.approx(2.0)
    car = spawn(world, "vehicle.nissan.patrol", 5)
    assert car.bounding_box.extent.x == pytest.approx(2.35)
    car.set_light_state(carla.VehicleLightState(carla.VehicleLightState.LowBeam))
    assert car.get_light_state() == carla.VehicleLightState.LowBeam
    assert car.get_physics_control().mass > 500.0
    target = world.get_map().get_spawn_points()[9]
    car.set_transform(target)
    world.tick()
    assert car.get_transform().location.distance(target.location) < 0.4
    car.set_simulate_physics(False)
    car.set_target_velocity(carla.Vector3D(5, 0, 0))
    world.tick()
    assert car.get_transform().location.distance(target.location) < 0.4


def test_traffic_lights_obey(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    world.tick()
    lights = world.get_actors().filter("traffic.traffic_light")
    assert len(lights) == 32
    light = lights[0]
    group = light.get_group_traffic_lights()
    assert light.id in {one.id for one in group} and 2 <= len(group) <= 4
    light.freeze(True)
    light.set_state(carla.TrafficLightState.Green)
    light.set_green_time(4.5)
    world.tick()
    assert light.is_frozen() and light.get_state() == carla.TrafficLightState.Green
    assert light.get_green_time() == pytest.approx(4.5)
    for _ in range(400):
        world.tick()
    assert light.get_state() == carla.TrafficLightState.Green
    light.freeze(False)
    states = set()
    for _ in range(700):
        world.tick()
        states.add(light.get_state())
    assert len(states) == 3
    stops = light.get_stop_waypoints()
    assert stops and all(
        waypoint.transform.location.distance(light.get_location()) < 40.0 for waypoint in stops
    )


def test_a_vehicle_knows_its_light(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)
        light.freeze(True)
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    stop = light.get_stop_waypoints()[0].previous(3.0)[0].transform
    stop.location.z += 0.3
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), stop)
    world.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light_state() == carla.TrafficLightState.Red
    assert car.get_traffic_light().id == light.id
    world.freeze_all_traffic_lights(False)


def test_client_traffic_manager_drives(blank_client):
    world = blank_client.get_world()
    go_sync(world)
    manager = blank_client.get_trafficmanager(21280)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    cars = [spawn(world, "vehicle.tesla.model3", index) for index in (0, 40, 80)]
    world.tick()
    for car in cars:
        car.set_autopilot(True, 21280)
    starts = [car.get_location() for car in cars]
    fastest, town = 0.0, world.get_map()
    for _ in range(160):
        world.tick()
        fastest = max(fastest, *(car.get_velocity().length() for car in cars))
    far = [start.distance(car.get_location()) for start, car in zip(starts, cars, strict=True)]
    assert max(far) > 20.0 and fastest < 18.0
    for car in cars:
        lane = town.get_waypoint(car.get_location())
        assert lane.transform.location.distance(car.get_location()) < 1.2
    manager.set_synchronous_mode(False)
    manager.shut_down()
    time.sleep(0.2)


def test_load_world_and_reload(blank_client):
    world = blank_client.get_world()
    car = spawn(world, "vehicle.tesla.model3")
    frame = world.wait_for_tick().frame
    other = blank_client.load_world("MiniTown03")
    assert min(actor.id for actor in other.get_actors()) > car.id  # as in CARLA, none comes again
    assert other.id != world.id and other.get_map().name.endswith("MiniTown03")
    assert other.wait_for_tick().frame > frame
    assert not other.get_actors().filter("vehicle.*")
    again = blank_client.reload_world()
    assert again.id != other.id and again.get_map().name.endswith("MiniTown03")
    with pytest.raises(RuntimeError, match="Atlantis"):
        blank_client.load_world("Atlantis")
    assert blank_client.load_world("MiniTown07").get_map().name.endswith("MiniTown07")


def test_refusals_name_what_is_wrong(blank_client):
    world = blank_client.get_world()
    library = world.get_blueprint_library()
    points = world.get_map().get_spawn_points()
    spawn(world, "vehicle.tesla.model3", 2)
    assert world.try_spawn_actor(library.find("vehicle.tesla.model3"), points[2]) is None
    with pytest.raises(RuntimeError, match="collision"):
        world.spawn_actor(library.find("vehicle.tesla.model3"), points[2])
    with pytest.raises(IndexError, match="spectator"):  # it is there already
        library.find("spectator")
    wide = library.find("sensor.camera.rgb")
    wide.set_attribute("image_size_x", "100000")
    with pytest.raises(RuntimeError, match="image_size"):
        world.spawn_actor(wide, points[4])
    with pytest.raises(RuntimeError, match="show_recorder_collisions"):
        blank_client.show_recorder_collisions("any.log", "a", "a")
    with pytest.raises(RuntimeError, match="expected to write a log at /proc/none"):
        blank_client.start_recorder("/proc/none/nowhere.log")
    assert blank_client.get_server_version()


def test_standing_things_are_listed(carla_client):
    world = carla_client.get_world()
    buildings = world.get_environment_objects(carla.CityObjectLabel.Buildings)
    boxes = world.get_level_bbs(carla.CityObjectLabel.Buildings)
    assert len(buildings) == len(boxes) > 3
    assert all(box.extent.z > 1.0 and math.isfinite(box.location.x) for box in boxes)
    assert len({one.id for one in buildings}) == len(buildings)
