"""Things of a frame: where the pictures show them, as large as they are, at that very tick."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import carla
import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.objects import SceneWatch
from realmaster_live.frames.classes import CLASS_IDS, THINGS
from realmaster_live.frames.geometry import box_corners, project
from realmaster_live.frames.rig import Mount

pytestmark = pytest.mark.carla
WIDTH, HEIGHT = 480, 270
SLACK_PX = 2.0


@contextmanager
def attached(owner, **options) -> Iterator[CarlaBridge]:
    options = {"width": WIDTH, "height": HEIGHT, "labels": ("instance",), **options}
    with CarlaBridge(owner.host, owner.port, ego=owner.hero.id, timeout_s=30.0, **options) as one:
        yield one


def look(owner, **options):
    """Return one frame of a world that somebody may have changed just now."""
    with attached(owner, **options) as bridge:
        return list(islice(bridge.frames(), 2))[-1]


@contextmanager
def standing(
    owner, kind: str, x: float, y: float = 0.0, yaw: float = 0.0, *, seen: bool = True
) -> Iterator[carla.Actor]:
    """Put an actor `x` metres ahead of the vehicle and `y` to its right, as long as needed.

    Waits until it is in the world's state, unless `seen` is False: somebody else has the tick.
    """
    place = owner.hero.get_transform()
    place.location = place.transform(carla.Location(x, y, 0.9 if kind.startswith("walker") else 0))
    place.rotation.yaw += yaw
    blueprint = owner.world.get_blueprint_library().find(kind)
    actor = owner.world.spawn_actor(blueprint, place)
    if seen:
        owner.wait_until(lambda: owner.world.get_snapshot().find(actor.id) is not None)
    try:
        yield actor
    finally:
        actor.destroy()
        if seen:
            owner.wait_until(lambda: owner.world.get_snapshot().find(actor.id) is None)


@contextmanager
def elsewhere(owner, place: carla.Transform) -> Iterator[None]:
    """Put the vehicle somewhere else meanwhile."""
    start = owner.hero.get_transform()

    def go(to: carla.Transform) -> None:
        owner.put(owner.hero, to)
        owner.wait_until(lambda: owner.hero.get_location().distance(to.location) < 0.5)

    owner.hero.set_simulate_physics(False)
    go(place)
    try:
        yield
    finally:
        go(start)
        owner.hero.set_simulate_physics(True)
        owner.finish_calls()


def the(frame, object_id: int):
    found = [one for one in frame.objects if one.object_id == object_id]
    assert len(found) == 1
    return found[0]


def outline(frame, one, *, scale=1.0):
    """Return left, top, right, bottom of a box's projected corners, pixels."""
    corners = box_corners(one.size * scale, one.object_to_world)
    pixels, depth = project(corners, frame.cam_to_world, frame.intrinsics)
    assert depth.min() > 0.3
    return np.array([*pixels.min(0), *pixels.max(0)])


def mask_of(frame, class_id: int, mask_id: int):
    return frame.labels["instance"] == class_id << 16 | mask_id


def bounds(mask):
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1.0])


def sticks_out(inner, outer) -> float:
    """Return by how many pixels a box reaches out of another, at its worst side."""
    return float(max(outer[0] - inner[0], outer[1] - inner[1], *(inner[2:] - outer[2:])))


@pytest.mark.parametrize("yaw", [0.0, 35.0, 90.0])
def test_a_cars_corners_enclose_its_mask(drawn_owner, yaw):
    with standing(drawn_owner, "vehicle.tesla.model3", 11.0, -1.5, yaw) as car:
        frame = look(drawn_owner)
        extent = car.bounding_box.extent
    one = the(frame, car.id)
    assert (one.class_id, one.type_id, one.fixed) == (CLASS_IDS["car"], car.type_id, False)
    np.testing.assert_allclose(one.size, 2 * np.array([extent.x, extent.y, extent.z]))
    mask, box = bounds(mask_of(frame, one.class_id, car.id & 0xFFFF)), outline(frame, one)
    assert one.mask_id == car.id & 0xFFFF
    assert sticks_out(mask, box) < SLACK_PX
    assert sticks_out(box, mask) < 0.16 * (box[2] - box[0])  # and not by much
    assert sticks_out(mask, outline(frame, one, scale=0.5)) > 10  # a half size would be seen
    ahead = one.object_to_world[:3, 0] @ frame.ego_to_world[:3, 0]
    assert ahead == pytest.approx(math.cos(math.radians(yaw)), abs=1e-3)
    np.testing.assert_allclose(np.linalg.det(one.object_to_world), 1.0, atol=1e-5)


def test_a_pedestrians_box_stands_on_its_feet(drawn_owner):
    with standing(drawn_owner, "walker.pedestrian.0001", 7.0, 1.0) as walker:
        frame = look(drawn_owner)
    one = the(frame, walker.id)
    assert one.class_id == CLASS_IDS["pedestrian"]
    ground = (np.linalg.inv(frame.ego_to_world) @ one.object_to_world)[2, 3] - one.size[2] / 2
    assert abs(ground) < 0.1
    mask, box = bounds(mask_of(frame, one.class_id, one.mask_id)), outline(frame, one)
    assert sticks_out(mask, box) < SLACK_PX
    assert abs(mask[3] - box[3]) < 8 and mask[1] - box[1] < 0.1 * (box[3] - box[1])


@pytest.mark.parametrize(
    ("kind", "name"),
    [("vehicle.bh.crossbike", "bicycle"), ("vehicle.kawasaki.ninja", "motorcycle")],
)
def test_a_two_wheelers_box_is_the_vehicles_and_its_rider_shares_the_number(
    drawn_owner, kind, name
):
    with standing(drawn_owner, kind, 6.0, 1.0, 60.0) as cycle:
        frame = look(drawn_owner)
    one = the(frame, cycle.id)
    assert one.class_id == CLASS_IDS[name]
    box = outline(frame, one)
    vehicle = bounds(mask_of(frame, one.class_id, one.mask_id))
    rider = bounds(mask_of(frame, CLASS_IDS["rider"], one.mask_id))
    assert sticks_out(vehicle, box) < SLACK_PX
    assert box[1] - rider[1] > 10  # who sits on it is higher
    assert not [other for other in frame.objects if other.class_id == CLASS_IDS["rider"]]


def test_each_head_of_a_traffic_light_is_boxed_and_says_what_it_shows(drawn_owner):
    owner = drawn_owner
    light = owner.world.get_actors().filter("traffic.traffic_light")[0]
    place = light.get_transform()
    place.location = place.transform(carla.Location(16.0, 1.5, 0.0))
    place.rotation.yaw += 180.0
    light.freeze(True)
    shown = []
    with elsewhere(owner, place), attached(owner) as bridge:
        frames = bridge.frames()
        for state in (carla.TrafficLightState.Red, carla.TrafficLightState.Green):
            light.set_state(state)
            owner.finish_calls()
            frame = list(islice(frames, 2))[-1]
            owner.wait_until(lambda state=state: light.state == state)
            heads = [one for one in frame.objects if one.mask_id == light.id & 0xFFFF]
            shown.append([one.light for one in heads])
    light.freeze(False)
    owner.world.reset_all_traffic_lights()
    assert shown == [["red", "red"], ["green", "green"]]
    assert len({one.object_id for one in heads}) == 2
    mask = mask_of(frame, CLASS_IDS["traffic_light"], light.id & 0xFFFF)
    for head in heads:
        left, top, right, bottom = np.round(outline(frame, head)).astype(int)
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        own = mask & inside
        assert sticks_out(outline(frame, head), bounds(own)) < 2 * SLACK_PX  # it is filled
        mask &= ~inside
    assert mask.sum() < 0.05 * inside.sum()  # and nothing is left over
    every = [one for one in frame.objects if one.class_id == CLASS_IDS["traffic_light"]]
    assert max(one.size.max() for one in every) < 2.0  # no piece of road among them


def test_a_parked_car_is_boxed_along_its_own_axes(drawn_owner):
    owner = drawn_owner
    parked = [one for one in look(owner).objects if one.fixed and one.class_id == CLASS_IDS["car"]]
    turned = [one for one in parked if min(abs(one.object_to_world[0, :2])) > 0.3] or parked
    one = turned[0]
    assert one.type_id == "level.car" and not one.velocity.any()
    best = None
    for side in (-1.0, 1.0):  # from the road or from the other side
        x, y, _ = one.object_to_world[:3, 3] + one.object_to_world[:3, 1] * side * 8.0
        yaw = math.degrees(math.atan2(*(-side * one.object_to_world[:2, 1])[::-1]))
        place = carla.Transform(carla.Location(x, -y, 0.0), carla.Rotation(yaw=-yaw))
        with elsewhere(owner, place):
            frame = look(owner, mount=Mount(x=0.0, z=1.7))
        mask = mask_of(frame, one.class_id, one.mask_id)
        if best is None or mask.sum() > best[1].sum():
            best = frame, mask
    frame, mask = best
    assert mask.sum() > 3000
    box = outline(frame, the(frame, one.object_id))
    assert sticks_out(bounds(mask), box) < SLACK_PX
    assert sticks_out(box, bounds(mask)) < 0.1 * (box[2] - box[0])


@pytest.mark.parametrize("synchronous", [True, False])
def test_boxes_are_of_the_very_frame_at_speed(drawn_owner, synchronous):
    owner, ticks, enough = drawn_owner, {}, 8 if synchronous else 2
    with (
        owner.in_the_open(),
        standing(owner, "vehicle.tesla.model3", 14.0, -11.0, 90.0) as car,
        attached(owner, synchronous=synchronous) as bridge,
    ):
        watch = owner.world.on_tick(lambda tick: ticks.update({tick.frame: tick}))
        start = car.get_transform()
        car.enable_constant_velocity(carla.Vector3D(15.0, 0.0, 0.0))
        seen, frames = 0, bridge.frames()
        for _ in range(20):  # a slow machine sees little of a car that passes once
            passing = []
            for frame in frames:
                passing.append(frame)
                place = the(frame, car.id).object_to_world[:3, 3]
                if math.hypot(place[0] - start.location.x, place[1] + start.location.y) > 22.0:
                    break
            owner.wait_until(lambda last=frame: max(ticks, default=0) >= last.frame_id)
            seen += sum(is_boxed_at_speed(frame, car, ticks) for frame in passing)
            if seen >= enough:
                break
            owner.put(car, start)
            next(frame for frame in frames if frame.frame_id > passing[-1].frame_id + 2)
        owner.world.remove_on_tick(watch)
        car.disable_constant_velocity()
    assert seen >= enough


def is_boxed_at_speed(frame, car, ticks) -> bool:
    """Check a frame's box of a car of 15 m/s; return whether it could be checked."""
    one, tick = the(frame, car.id), ticks.get(frame.frame_id)
    box = outline(frame, one)
    if tick is None or box[0] < 1 or box[2] > 285:  # a tree stands to the right
        return False
    place = tick.find(car.id).get_transform()
    truth = place.transform(carla.Location(car.bounding_box.location))  # changes what it is given
    np.testing.assert_allclose(one.object_to_world[:3, 3], (truth.x, -truth.y, truth.z), atol=1e-3)
    mask = bounds(mask_of(frame, one.class_id, one.mask_id))
    assert sticks_out(mask, box) < SLACK_PX
    assert sticks_out(box, mask) < 8  # the tick before would be 0.75 m, some 17 pixels off
    assert one.velocity @ one.object_to_world[:3, 0] == pytest.approx(15.0, rel=0.01)
    return True


def test_what_moves_without_a_velocity_gets_one(owner):
    with standing(owner, "vehicle.tesla.model3", 15.0) as car, attached(owner) as bridge:
        car.set_simulate_physics(False)
        owner.finish_calls()
        place, reported, speeds = car.get_transform(), [], []
        for frame in islice(bridge.frames(), 6):
            one = the(frame, car.id)
            speeds.append(np.linalg.norm(one.velocity))
            reported.append(car.get_velocity().length())
            place.location.x += 0.4
            owner.put(car, place)
        assert max(reported) == 0.0
        np.testing.assert_allclose(speeds[2:], 8.0, rtol=1e-3)
        place.location.x += 50.0
        owner.put(car, place)
        frame = next(iter(bridge.frames()))
        assert not the(frame, car.id).velocity.any()  # put elsewhere, not driven


def test_actors_come_and_go_and_the_own_vehicle_is_left_out(owner):
    def ids(frame):
        return {one.object_id for one in frame.objects}

    with attached(owner) as bridge:
        frames = bridge.frames()
        before = next(frames)
        with standing(owner, "walker.pedestrian.0001", 9.0, seen=False) as walker:
            there = list(islice(frames, 2))[-1]
        after = list(islice(frames, 2))[-1]
    assert walker.id in ids(there) and the(there, walker.id).class_id == CLASS_IDS["pedestrian"]
    assert ids(before) == ids(after) == ids(there) - {walker.id}
    assert owner.hero.id not in ids(there)
    assert {one.class_id for one in there.objects} <= THINGS
    carried = before.ego_to_world @ np.array(bridge.info.cameras["front"].cam_to_ego)
    np.testing.assert_allclose(carried, before.cam_to_world, atol=1e-3)


def test_only_what_is_in_range_is_reported_and_nothing_where_it_is_not_wanted(drawn_owner):
    far, near = look(drawn_owner), look(drawn_owner, object_range_m=40.0)
    eye = near.cam_to_world[:3, 3]
    distances = [np.linalg.norm(one.object_to_world[:3, 3] - eye) for one in near.objects]
    assert 0 < len(near.objects) < len(far.objects) and max(distances) <= 40.0
    none = look(drawn_owner, objects=False)
    assert none.objects == () and none.ego_to_world is not None


def test_a_light_that_may_have_changed_since_its_tick_is_not_reported(owner):
    world = owner.world
    lights = list(world.get_actors().filter("traffic.traffic_light"))
    watch = SceneWatch(carla, world, own_id=None, numbered_by_actor=True)
    with owner.synchronous():
        for light in lights:
            light.freeze(True)
            light.set_state(carla.TrafficLightState.Red)
        world.tick()
        world.tick()
        first = watch.observe(world.get_snapshot())
        assert set(first.lights.values()) == {"red"} and len(first.lights) == len(lights)
        world.tick()
        late = world.get_snapshot()
        lights[0].set_state(carla.TrafficLightState.Green)
        world.tick()
        world.tick()
        lights_now = watch.observe(late).lights  # asked for only after the light has changed
        assert lights[0].id not in lights_now
        assert lights_now == {light.id: "red" for light in lights[1:]}
        eye = np.array([lights[0].get_location().x, -lights[0].get_location().y, 2.0])
        heads = {one.object_id: one.light for one in watch.at(watch.observe(late), eye)}
        assert heads[lights[0].id] == ""
    for light in lights:
        light.freeze(False)
    world.reset_all_traffic_lights()


@pytest.mark.parametrize("synchronous", [True, False])
def test_things_of_a_world_that_somebody_else_loads(owner, synchronous):
    with CarlaBridge(
        owner.host, owner.port, ego="hero", synchronous=synchronous, labels=(), timeout_s=30.0
    ) as bridge:
        frames = bridge.frames()
        list(islice(frames, 3))
        owner.world = owner.client.load_world(owner.world.get_map().name)
        owner.forget()
        owner.hero = owner.spawn_vehicle("hero")
        other = owner.spawn_vehicle("other")
        new = []
        for frame in islice(frames, 200):  # some of the old world may still be on the way
            new.append(frame)
            seen = {one.object_id for one in frame.objects}
            if other.id in seen:
                break
    assert other.id in seen
    assert owner.hero.id not in seen
    assert any(frame.dropped_before for frame in new)
