"""Annotations of frames that CarlaBridge brings, of things that stand where we put them."""

from itertools import islice

import numpy as np
import pytest

from realmaster_live.annotations import annotate, pixels_of
from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.camera import Mount
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.geometry import box_corners, project

pytestmark = pytest.mark.carla
SIZE = (640, 360)
# what stands where before our vehicle: metres ahead, metres to the right, turned by degrees
PLACES = {
    "near": ("vehicle.tesla.model3", 14.0, 0.0, 0.0),
    "hidden": ("vehicle.tesla.model3", 22.0, 1.3, 0.0),
    "cut": ("vehicle.tesla.model3", 6.5, -4.4, 0.0),
    "walker": ("walker.pedestrian.0001", 8.0, 2.6, 90.0),
    "bicycle": ("vehicle.bh.crossbike", 10.0, -2.2, 20.0),
}


@pytest.fixture(scope="module")
def scene(drawn_owner):
    """A frame with its annotations by the names of PLACES, and the actors."""
    carla, world, hero = drawn_owner.carla, drawn_owner.world, drawn_owner.hero
    start = straight_to_a_light(world)
    hero.set_simulate_physics(False)
    hero.set_transform(start)
    right, ahead = start.get_right_vector(), start.get_forward_vector()
    actors = {}
    for name, (kind, metres, aside, turn) in PLACES.items():
        place = start.location + ahead * metres + right * aside + carla.Location(z=0.3)
        facing = carla.Rotation(yaw=start.rotation.yaw + turn)
        blueprint = world.get_blueprint_library().find(kind)
        actor = drawn_owner.adopt(world.spawn_actor(blueprint, carla.Transform(place, facing)))
        actor.set_simulate_physics(False)
        height = actor.bounding_box.extent.z - actor.bounding_box.location.z
        place.z = start.location.z + height if kind.startswith("walker") else start.location.z
        actor.set_transform(carla.Transform(place, facing))
        actors[name] = actor
    drawn_owner.finish_calls()
    options = {"host": drawn_owner.host, "port": drawn_owner.port, "ego": hero.id}
    mount = Mount(x=0.5, z=1.8)
    width, height = SIZE
    with CarlaBridge(**options, width=width, height=height, fov_deg=80.0, mount=mount) as bridge:
        frame = list(islice(bridge.frames(), 4))[-1]
    found = annotate(frame.objects, frame.labels, frame.cam_to_world, frame.intrinsics, SIZE)
    by_id = {one.thing.object_id: one for one in found if one.thing is not None}
    return frame, found, {name: by_id.get(actor.id) for name, actor in actors.items()}, actors


def straight_to_a_light(world):
    """Return the spawn point with a traffic light ahead and the straightest 30 m of lane."""
    lights = [light.get_location() for light in world.get_actors().filter("traffic.traffic_light")]

    def has_light(point):
        ways = [light - point.location for light in lights]
        ahead = [way.dot(point.get_forward_vector()) for way in ways]
        aside = [abs(way.dot(point.get_right_vector())) for way in ways]
        return any(12 < a < 35 and b < 12 for a, b in zip(ahead, aside, strict=True))

    def bend(point):
        here = world.get_map().get_waypoint(point.location)
        there = here.next(30.0)
        way = there[0].transform.location - here.transform.location if there else None
        return -1.0 if way is None else way.dot(point.get_forward_vector())

    return max(
        world.get_map().get_spawn_points(), key=lambda point: (has_light(point), bend(point))
    )


def test_masks_are_those_of_the_actors(scene):
    frame, found, named, actors = scene
    for name, one in named.items():
        assert one is not None and one.pixels > 0, name
        assert one.mask_id == actors[name].id & 0xFFFF, name
        _, mask = pixels_of(one, frame.labels["instance"])
        assert mask.sum() == one.pixels and mask.any(0).all() and mask.any(1).all()
    assert {one.class_id for one in found if one.thing is None} <= {CLASS_IDS["rider"]}


def outline(frame, thing, scale=1.0):
    """Return the box around the projected corners of a thing."""
    corners = box_corners(thing.size * scale, thing.object_to_world)
    pixels, _ = project(corners, frame.cam_to_world, frame.intrinsics)
    return (*pixels.min(axis=0), *pixels.max(axis=0))


def is_inside(one, other, slack=0.0):
    low, high = np.subtract(one[:2], other[:2]), np.subtract(other[2:], one[2:])
    return bool(min(*low, *high) >= -slack)


def test_a_known_box_reprojects_onto_its_mask_to_a_pixel(scene):
    """A light's head fills its box: both are the same, seen from any side."""
    frame, found, _, _ = scene
    heads = [
        one
        for one in found
        if one.class_id == CLASS_IDS["traffic_light"] and one.pixels > 150 and not one.occlusion
    ]
    assert len(heads) >= 2
    for one in heads:
        assert one.amodal == pytest.approx(outline(frame, one.thing))
        assert one.visible == pytest.approx(one.amodal, abs=1.5)  # a pixel has a middle


def test_half_an_extent_shows(scene):
    """CARLA's extent is half a size: taken for the whole, the mask sticks out on every side."""
    frame, _, named, actors = scene
    near = named["near"]
    extent = actors["near"].bounding_box.extent
    np.testing.assert_allclose(near.thing.size, (2 * extent.x, 2 * extent.y, 2 * extent.z))
    assert is_inside(near.visible, near.amodal, slack=1.0)
    left, top, right, bottom = np.subtract(outline(frame, near.thing, 0.5), near.visible)
    assert left > 5 and top > 5 and right < -5 and bottom < -5


def test_a_pedestrian(scene):
    _, _, named, _ = scene
    one = named["walker"]
    assert one.class_id == CLASS_IDS["pedestrian"] and one.thing.type_id == PLACES["walker"][0]
    assert is_inside(one.visible, one.amodal, slack=1.0)
    height = one.visible[3] - one.visible[1]
    assert height == pytest.approx(one.amodal[3] - one.amodal[1], rel=0.1)
    assert one.distance_m == pytest.approx(8.0 - 0.5, abs=0.1)
    assert (one.occlusion, one.truncation) == (0, 0)


def test_a_rider_and_the_bicycle_below(scene):
    _, found, named, _ = scene
    below = named["bicycle"]
    (rider,) = [one for one in found if one.class_id == CLASS_IDS["rider"]]
    assert below.class_id == CLASS_IDS["bicycle"]
    assert rider.thing is None and rider.mask_id == below.mask_id
    assert rider.visible[1] < below.visible[1] - 10 and rider.visible[3] < below.visible[3]
    assert rider.distance_m == below.distance_m


def test_an_occluded_car(scene):
    _, _, named, _ = scene
    hidden, near = named["hidden"], named["near"]
    assert is_inside(hidden.visible, hidden.amodal, slack=1.0)
    left, _, right, _ = hidden.amodal
    covered = (near.visible[2] - left) / (right - left)  # across; the roofs are level
    assert hidden.occlusion == pytest.approx(covered, abs=0.2) and near.occlusion == 0
    assert 0.2 < hidden.occlusion < 0.8 and hidden.truncation == 0


def test_a_truncated_car(scene):
    _, _, named, _ = scene
    one = named["cut"]
    left, top, right, bottom = one.amodal
    assert left < -50 and one.visible[0] == 0
    inside = (right - 0) * (min(bottom, SIZE[1]) - top)
    assert one.truncation == pytest.approx(1 - inside / ((right - left) * (bottom - top)))
    assert one.occlusion == 0
