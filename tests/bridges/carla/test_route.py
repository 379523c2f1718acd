"""A route is driven along the lanes of the town, and ends the frames where it ends."""

import math

import numpy as np
import pytest

carla = pytest.importorskip("carla")

from realmaster_live.bridges.carla.bridge import CarlaBridge  # noqa: E402
from realmaster_live.bridges.carla.route_driver import RouteSource  # noqa: E402
from realmaster_live.bridges.carla.route_plan import STEP_M, places_of, plan_way  # noqa: E402
from realmaster_live.errors import BridgeError, ConfigError  # noqa: E402
from realmaster_live.frames.route import read_route  # noqa: E402

pytestmark = pytest.mark.carla
SMALL = {"width": 32, "height": 32, "labels": (), "objects": False, "fixed_delta_s": 0.05}


@pytest.fixture
def town_map(blank_client):
    return blank_client.get_world().get_map()


def ahead_of(waypoint, metres):
    """The waypoint that far along the lane."""
    return waypoint.next(metres)[0]


@pytest.fixture
def hero(blank_minitown, blank_client):
    """A car at the beginning of a long lane, and the waypoint below it."""
    world = blank_client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    for point in world.get_map().get_spawn_points():
        waypoint = world.get_map().get_waypoint(point.location)
        if len(waypoint.next_until_lane_end(2.0)) < 30:
            continue
        car = world.try_spawn_actor(blueprint, point)
        if car is not None:
            world.wait_for_tick(30.0)
            return car, waypoint
    raise AssertionError("no long lane is free")


def test_a_way_follows_the_lanes_through_all_places(town_map):
    points = town_map.get_spawn_points()
    route = read_route("40..3..120")
    places = places_of(route, town_map)
    assert places == [(points[n].location.x, points[n].location.y) for n in (40, 3, 120)]
    way = plan_way(carla, town_map, points[7].location, places)
    steps = np.hypot(*np.diff(way, axis=0).T)
    assert steps.max() < STEP_M + 0.01
    for x, y in places:
        assert np.hypot(way[:, 0] - x, way[:, 1] - y).min() < 2 * STEP_M
    headings = np.arctan2(*np.diff(way, axis=0).T[::-1])
    beside, against = 0, 0
    for (x, y), heading in zip(way[:-1], headings, strict=True):
        lane = town_map.get_waypoint(carla.Location(x=float(x), y=float(y)))
        place, yaw = lane.transform.location, math.radians(lane.transform.rotation.yaw)
        beside += math.hypot(place.x - x, place.y - y) > 1.0  # while it changes lanes
        against += math.cos(heading - yaw) < 0.3 and not lane.is_junction
    assert against == 0 and beside < len(way) / 10


def test_places_off_the_roads_and_unknown_spawn_points_are_refused(town_map):
    start = town_map.get_spawn_points()[0].location
    with pytest.raises(ConfigError, match=r"on the roads of .*, got 5000,5000 with .*: move it"):
        plan_way(carla, town_map, start, [(5000.0, 5000.0)])
    with pytest.raises(ConfigError, match=r"expected spawn points below .*, got 99999"):
        places_of(read_route("1..99999"), town_map)


def test_the_ego_drives_the_route_and_stands_at_its_end(blank_minitown, blank_client, hero):
    car, waypoint = hero
    goal = ahead_of(waypoint, 36.0).transform.location
    with CarlaBridge(blank_minitown.host, blank_minitown.port, ego=car.id, **SMALL) as bridge:
        source = RouteSource(bridge, read_route(f"{goal.x},{goal.y}"))
        assert 34 < source.length_m < 40
        track, speeds = [], []
        for frame in source.frames():
            track.append(frame.ego_to_world[:2, 3] * [1, -1])  # in CARLA's axes
            speeds.append(car.get_velocity().length())
            assert len(track) < 400
        assert source.info.town == bridge.info.town and source.opendrive == bridge.opendrive
        way = source._driver.way
        aside = [np.hypot(*(way - place).T).min() for place in track]
        assert max(aside) < 1.5
        assert math.dist(track[-1], (goal.x, goal.y)) < 5
        assert 3 < max(speeds) < 15
        for _ in range(40):
            last = bridge.session.world.tick()
        while blank_client.get_world().get_snapshot().frame < last:
            blank_client.get_world().wait_for_tick(30.0)
        assert car.get_velocity().length() < 0.1
        assert car.get_control().brake == 1.0


def test_it_stops_behind_what_stands_on_its_way_and_says_that_it_is_stuck(
    blank_minitown, blank_client, hero, monkeypatch
):
    monkeypatch.setattr("realmaster_live.bridges.carla.route_driver.STUCK_S", 4.0)
    car, waypoint = hero
    world = blank_client.get_world()
    place = ahead_of(waypoint, 22.0).transform
    place.location.z += 0.3
    parked = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), place)
    goal = ahead_of(waypoint, 44.0).transform.location
    with CarlaBridge(blank_minitown.host, blank_minitown.port, ego=car.id, **SMALL) as bridge:
        source = RouteSource(bridge, read_route(f"{goal.x},{goal.y}"))
        with pytest.raises(BridgeError, match="got no movement for 4 s at"):
            for number, _ in enumerate(source.frames()):
                assert number < 600
        gap = car.get_location().distance(parked.get_location())
        room = gap - car.bounding_box.extent.x - parked.bounding_box.extent.x
        assert 0.5 < room < 8


def test_a_camera_without_a_vehicle_has_no_route(blank_minitown, blank_client):
    world = blank_client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=30)))
    world.wait_for_tick(30.0)
    with (
        CarlaBridge(
            blank_minitown.host, blank_minitown.port, adopt=camera.id, labels=(), objects=False
        ) as bridge,
        pytest.raises(BridgeError, match="got a camera without one: give one with --ego"),
    ):
        RouteSource(bridge, read_route("1"))
