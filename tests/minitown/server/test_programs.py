"""Small programs of the kinds of CARLA's smoke tests, through the real client."""

import queue
import re

import pytest
from waiting import until

from realmaster_live.errors import ActorError
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.server.calls_world import CALLS
from realmaster_live.minitown.server.config import ServerConfig
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import load_town

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla


def in_steps(client):
    """Return the world, advanced by its caller in steps of a twentieth of a second."""
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    return world


def ticks(world, count):
    for _ in range(count):
        world.tick()


def test_every_id_of_the_library_has_the_parts_that_programs_split_it_into(blank_client):
    library = blank_client.get_world().get_blueprint_library()
    for pattern in ("sensor.*", "static.*", "vehicle.*", "walker.*"):
        found = list(library.filter(pattern))
        assert found and all(one.id.startswith(pattern[:-1]) for one in found)
    odd = [one.id for one in library if not re.match(r"[^.\s]+\.[^.\s]+\.[^.\s]+", one.id)]
    assert odd == []


def distance_driven(client, sticky, *, later=None):
    """Return metres after a single full throttle; `later` is applied before each further tick."""
    world = in_steps(client)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    if sticky is not None:
        blueprint.set_attribute("sticky_control", sticky)
    start = carla.Transform(carla.Location(z=0.2))
    car = world.spawn_actor(blueprint, start)
    world.tick()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    world.tick()
    for _ in range(30):
        if later is not None:
            car.apply_control(later)
        world.tick()
    metres = car.get_location().distance(start.location)
    car.destroy()
    world.tick()
    return metres


def test_a_control_holds_unless_it_is_not_sticky(blank_client):
    full, none = carla.VehicleControl(throttle=1.0), carla.VehicleControl()
    held = distance_driven(blank_client, None)
    assert held > 3.0
    for sticky, later in (("True", None), (None, full), ("False", full)):
        assert distance_driven(blank_client, sticky, later=later) == pytest.approx(held, abs=1e-3)
    once = distance_driven(blank_client, "False")
    assert 0.0 < once < 0.2 * held
    for sticky in ("True", "False"):
        driven = distance_driven(blank_client, sticky, later=none)
        assert driven == pytest.approx(once, abs=1e-5)


def walls(world, count):
    """Return poses on the road from which something that stands still is 6 to 14 m ahead."""
    found = []
    for point in world.get_map().get_spawn_points():
        pose = carla.Transform(point.location, carla.Rotation(yaw=point.rotation.yaw + 90.0))
        eye = pose.location + carla.Location(z=0.8)
        hit = world.project_point(eye, pose.get_forward_vector(), 14.0)
        if hit is not None and hit.label == carla.CityObjectLabel.Buildings:
            found.append(pose)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} walls")


def test_every_vehicle_that_is_pushed_at_a_wall_reports_a_collision(carla_client):
    world = in_steps(carla_client)
    library = world.get_blueprint_library()
    vehicles = list(library.filter("vehicle.*"))
    heard, cars, sensors = {}, {}, []
    for blueprint, pose in zip(vehicles, walls(world, len(vehicles)), strict=True):
        car = world.try_spawn_actor(blueprint, pose)
        if car is None:
            continue  # a long one stands where traffic is
        sensor = world.spawn_actor(
            library.find("sensor.other.collision"), carla.Transform(), attach_to=car
        )
        cars[car.id], heard[car.id] = (car, pose), []
        sensor.listen(heard[car.id].append)
        sensors.append(sensor)
    assert len(cars) > len(vehicles) // 2
    ticks(world, 2)
    for car, pose in cars.values():
        car.set_target_velocity(10.0 * pose.get_forward_vector())
    ticks(world, 60)
    until(lambda: all(heard.values()))
    for car, pose in cars.values():
        events = heard[car.id]
        assert events, car.type_id
        kinds = {event.other_actor.type_id for event in events}
        assert kinds - {"static.unknown"}, kinds
        hard = [event for event in events if event.normal_impulse.length() > 100.0]
        assert hard and hard[0].actor.id == car.id
        assert car.get_location().distance(pose.location) < 16.0
    told = {event.other_actor.type_id for events in heard.values() for event in events}
    assert "static.buildings" in told or "static.car" in told
    for sensor in sensors:
        sensor.stop()


def test_weather_presets_hold_and_the_default_is_the_towns_own(blank_client):
    world = blank_client.get_world()
    world.set_weather(carla.WeatherParameters.Default)  # other tests may have changed it
    own = world.get_weather()
    assert own.sun_altitude_angle == Weather().sun_altitude_angle
    assert own != carla.WeatherParameters.Default
    presets = [name for name in dir(carla.WeatherParameters) if re.match("[A-Z].+", name)]
    assert len(presets) > 20
    for name in presets:
        preset = getattr(carla.WeatherParameters, name)
        world.set_weather(preset)
        assert world.get_weather() == (own if name == "Default" else preset), name


def test_layers_change_nothing_where_a_map_has_none(blank_client):
    world = blank_client.get_world()
    for layer in (carla.MapLayer.Buildings, carla.MapLayer.ParkedVehicles, carla.MapLayer.All):
        world.unload_map_layer(layer)
        world.load_map_layer(layer)


def test_layers_of_a_map_that_has_them_at_carla_are_refused():
    config = ServerConfig(raster=False, vehicles=0, walkers=0)
    episode = Episode(config, load_town("Town03_Opt", drawn=False), StreamHub())
    try:
        for name in ("load_map_layer", "unload_map_layer"):
            with pytest.raises(ActorError, match="Town03_Opt"):
                CALLS[name].function(episode, 1)
    finally:
        episode.close()


def test_scans_of_three_seconds_are_of_their_tick_and_have_its_pose(carla_client):
    world = carla_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 3.0
    world.apply_settings(settings)
    library = world.get_blueprint_library()
    model, start = library.find("vehicle.lincoln.mkz_2017"), world.get_map().get_spawn_points()[2]
    car = world.spawn_actor(model, start)
    lidar = library.find("sensor.lidar.ray_cast")
    for name, value in {"channels": 16, "range": 100, "points_per_second": 5000}.items():
        lidar.set_attribute(name, str(value))
    camera = library.find("sensor.camera.depth")
    camera.set_attribute("image_size_x", "96")
    camera.set_attribute("image_size_y", "64")
    heard = {"lidar": queue.Queue(), "depth": queue.Queue()}
    place = carla.Transform(carla.Location(x=1.6, z=1.6))
    sensors = [world.spawn_actor(blueprint, place, attach_to=car) for blueprint in (lidar, camera)]
    for sensor, messages in zip(sensors, heard.values(), strict=True):
        sensor.listen(messages.put)
    for _ in range(3):
        before = world.get_snapshot().timestamp.elapsed_seconds
        frame = world.tick()
        scan, picture = (messages.get(timeout=30) for messages in heard.values())
        assert scan.frame == picture.frame == frame
        assert scan.timestamp == pytest.approx(before + 3.0) and len(scan) > 1000
        assert scan.transform == picture.transform == sensors[0].get_transform()
    for sensor in sensors:
        sensor.stop()
