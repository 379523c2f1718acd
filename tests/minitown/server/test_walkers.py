"""CARLA's own walker navigation, in the client, on the town's mesh."""

import math

import pytest

from tests.minitown.server.test_fuzz import ask

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla
WALKING = 1.4  # m/s


@pytest.fixture
def world(blank_client):
    world = blank_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    world.tick()
    world.set_pedestrians_seed(5)
    return world


def spawned(world, blueprint, places):
    walkers = [world.try_spawn_actor(blueprint, carla.Transform(place)) for place in places]
    return [walker for walker in walkers if walker is not None]


def test_random_places_lie_on_sidewalks(world):
    places = [world.get_random_location_from_navigation() for _ in range(40)]
    town = world.get_map()
    for place in places:
        waypoint = town.get_waypoint(place, lane_type=carla.LaneType.Any)
        assert waypoint.lane_type == carla.LaneType.Sidewalk or waypoint.is_junction
        assert place.z == pytest.approx(0.15, abs=0.01)
    assert len({(place.x, place.y) for place in places}) == 40


def test_walkers_go_where_their_controllers_send_them_and_stand_when_stopped(world):
    library = world.get_blueprint_library()
    places = [world.get_random_location_from_navigation() for _ in range(8)]
    walkers = spawned(world, library.filter("walker.pedestrian.*")[0], places)
    assert len(walkers) >= 6
    controllers = [
        world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), walker)
        for walker in walkers
    ]
    world.tick()
    lengths, speeds, heights = [], [], set()
    for walker, controller in zip(walkers, controllers, strict=True):
        controller.start()
        here, goal = walker.get_location(), world.get_random_location_from_navigation()
        lengths.append(here.distance(goal))
        controller.go_to_location(goal)
        controller.set_max_speed(WALKING)
    starts = [walker.get_location() for walker in walkers]
    for _ in range(300):
        world.tick()
        for walker in walkers:
            velocity = walker.get_velocity()
            speeds.append(math.hypot(velocity.x, velocity.y))
            heights.add(round(walker.get_location().z, 2))
    moved = [
        walker.get_location().distance(start) for walker, start in zip(walkers, starts, strict=True)
    ]
    assert sum(distance > 4.0 for distance in moved) >= len(walkers) - 2  # a few may come back
    assert max(speeds) == pytest.approx(WALKING, abs=0.05)
    assert min(heights) >= 0.9 and max(heights) <= 1.1
    for controller in controllers:
        controller.stop()
    world.tick()
    world.tick()
    stands = [walker.get_location() for walker in walkers]
    for _ in range(5):
        world.tick()
    assert all(
        walker.get_location().distance(stand) < 1e-3
        for walker, stand in zip(walkers, stands, strict=True)
    )


def test_a_walker_is_spawned_on_its_feet(world):
    place = world.get_random_location_from_navigation()
    walker = spawned(world, world.get_blueprint_library().filter("walker.*")[3], [place])[0]
    world.tick()
    assert walker.get_location().z == pytest.approx(0.93, abs=0.01)


def test_only_the_navigation_file_is_given(blank_minitown):
    (name,) = ask(blank_minitown, "get_required_files", ["Nav"])[3][0][1]
    assert ask(blank_minitown, "get_required_files", [""])[3] == [[1, []]]
    refusal = ask(blank_minitown, "request_file", ["../../etc/passwd"])[3][0]
    assert refusal[0] == 0 and name in refusal[1][0]
    assert ask(blank_minitown, "request_file", [name])[3][0][1][:4] == b"TESM"
