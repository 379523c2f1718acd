"""The obstacle sensor: a ball's way against a search by small steps, and as the client sees it."""

import queue

import numpy as np
import pytest

from realmaster_live.errors import ActorError
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.server.obstacle_sensor import (
    CUBE,
    CUBE_TRIANGLES,
    Sweep,
    _shares,
    first_met,
)
from realmaster_live.minitown.server.rays import Triangles
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

OBSTACLE = "sensor.other.obstacle"


def distance_to(point, triangle):
    """Metres from a point to a triangle, by a fine net of points on it."""
    a, b, c = triangle
    u, v = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    inside = u + v <= 1.0 + 1e-9
    net = a + u[inside][:, None] * (b - a) + v[inside][:, None] * (c - a)
    return float(np.linalg.norm(net - point, axis=1).min())


def test_a_ball_meets_a_triangle_where_it_touches_it():
    rng = np.random.default_rng(4)
    met = 0
    for _ in range(120):
        triangle = rng.uniform(-1.0, 1.0, (3, 3))
        start, radius = rng.uniform(-2.5, 2.5, 3), float(rng.uniform(0.1, 0.8))
        way = rng.uniform(-0.5, 0.5, 3) - 1.5 * start
        (share,) = _shares(Triangles.of(triangle[None], 3), start, way, radius)
        if np.isfinite(share):
            met += 1
            gap = distance_to(start + share * way, triangle) - radius
            assert gap == pytest.approx(0.0, abs=0.03) if share else gap <= 0.03
        for before in np.linspace(0.0, min(share, 1.0), 12, endpoint=False) if share else ():
            assert distance_to(start + before * way, triangle) > radius - 1e-6
    assert 40 < met < 120


def test_near_leaves_out_only_meshes_that_are_elsewhere():
    boxes = [CUBE[CUBE_TRIANGLES] + (10.0 * n, 0.0, 0.0) for n in range(5)]
    town = Triangles.joined(boxes, [1, 2, 3, 4, 5])
    start, way = np.array([7.0, 0.5, 0.2]), np.array([15.0, 0.0, 0.0])
    near = town.near(start, way)
    assert sorted(set(near.label.tolist())) == [2, 3]
    assert set(near.near(np.array([19.5, 5.0, 0.0]), np.array([0.0, -9.0, 0.0])).label) == {3}
    beside = np.array([7.0, 2.0, 0.2])
    assert not len(town.near(beside, way).label)
    assert len(town.near(beside, way, 1.1).label) == 24


@pytest.fixture
def world():
    return World(make_network(7), seed=7)


def sensor_on(world, host, **attributes):
    return world.spawn(OBSTACLE, Pose(x=2.4, z=1.0), attributes=attributes, parent=host.id)


def met_by(world, sensor, town=None):
    return first_met(sensor, Sweep.of(sensor), town, world.actors.values())


def test_what_is_met_is_the_nearest_body_but_never_the_host(world):
    car = world.spawn("vehicle.tesla.model3", Pose())
    sensor = sensor_on(world, car, distance="30", hit_radius="0.4")
    assert met_by(world, sensor) is None
    far = world.spawn("vehicle.tesla.model3", Pose(x=25.0))
    met = met_by(world, sensor)
    assert met.actor is far
    assert met.distance_m == pytest.approx(25.0 - far.full_extent[0] - 0.4 - 2.4, abs=1e-6)
    prop = world.spawn("static.prop.streetbarrier", Pose(x=12.0))
    assert met_by(world, sensor).actor is prop
    dynamic = sensor_on(world, car, distance="30", hit_radius="0.4", only_dynamics="True")
    assert met_by(world, dynamic).actor is far
    world.destroy(far.id)
    walker = world.spawn("walker.pedestrian.0002", Pose(9.0, 0.6, 0.93))
    assert met_by(world, dynamic).actor is walker
    assert met_by(world, sensor_on(world, car, distance="30", hit_radius="0.1")).actor is prop


def test_a_ball_that_is_wider_than_its_height_meets_the_ground(world):
    car = world.spawn("vehicle.tesla.model3", Pose())
    met = met_by(world, sensor_on(world, car, hit_radius="1.5"))
    assert (met.distance_m, met.label, met.actor) == (0.0, 1, None)


@pytest.mark.parametrize(
    "values", [{"distance": "201"}, {"hit_radius": "11"}, {"distance": "-1"}, {"hit_radius": "-1"}]
)
def test_a_reach_out_of_range_is_refused(world, values):
    with pytest.raises(ActorError, match="obstacle sensor"):
        Sweep.of(world.spawn(OBSTACLE, Pose(), attributes=values))


@pytest.mark.carla
def test_the_client_hears_of_obstacles(carla_client):
    carla = pytest.importorskip("carla")
    world = carla_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library = world.get_blueprint_library()
    house = max(
        world.get_environment_objects(carla.CityObjectLabel.Buildings),
        key=lambda one: one.bounding_box.extent.z,
    )
    middle, high = house.bounding_box.location, house.bounding_box.extent.z
    blueprint = library.find(OBSTACLE)
    for name, value in (("distance", 40.0), ("hit_radius", 0.5), ("sensor_tick", 0.1)):
        blueprint.set_attribute(name, str(value))
    above = carla.Transform(middle + carla.Location(z=high + 20.0), carla.Rotation(pitch=-90.0))
    sensor = world.spawn_actor(blueprint, above)
    heard = queue.Queue()
    sensor.listen(heard.put)
    frames = [world.tick() for _ in range(6)]
    events = [heard.get(timeout=30) for _ in range(3)]
    for event in events:
        assert event.other_actor.type_id == "static.buildings"
        assert (event.other_actor.id, event.other_actor.semantic_tags) == (0, [3])
        assert event.actor.id == sensor.id
        assert 15.0 < event.distance < 25.0  # roofs are not flat
    assert {event.frame for event in events} <= set(frames)
    assert events[1].frame - events[0].frame == 2
    sensor.stop()
