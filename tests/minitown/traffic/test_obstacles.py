"""Vehicles and what stands still: who is stopped where, and what is told of it."""

import math

import numpy as np
import pytest

from realmaster_live.errors import ActorError
from realmaster_live.minitown.models.objects import EnvironmentObject
from realmaster_live.minitown.plan.boxes import Box, box_of, overlap, parting
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.traffic.vehicle import VehicleControl
from realmaster_live.minitown.traffic.world import SPAWN_COLLISION, World
from realmaster_live.minitown.transforms import Pose

DT = 0.05
BUILDING, POLE = 3, 6


def thing(number, box, label=BUILDING):
    return EnvironmentObject(
        id=number, label=label, centre=(box.x, box.y, 2.0),
        extent=(box.half_length, box.half_width, 2.0), yaw_deg=box.yaw, footprint=box,
    )  # fmt: skip


def world_of(*boxes, label=BUILDING):
    things = [thing(number, box, label) for number, box in enumerate(boxes, start=10_000)]
    return World(make_network(7), seed=7, things=things)


def drive(world, car, seconds, dt=DT, **control):
    """Drive on; return every collision."""
    car.vehicle.control = VehicleControl(**control)
    told = []
    for _ in range(round(seconds / dt)):
        world.step(dt)
        told += world.collisions
    return told


def test_a_car_stops_at_a_wall_and_can_back_off():
    wall = Box(12.0, 0.0, 1.0, 8.0, 0.0)
    world = world_of(wall)
    car = world.spawn("vehicle.tesla.model3", Pose())
    told = drive(world, car, 4.0, throttle=0.7)
    assert {(hit.actor, hit.other, hit.thing.id) for hit in told} == {(car.id, 0, 10_000)}
    assert told[0].impulse[0] < -1000.0 and told[0].impulse[1] == pytest.approx(0.0)
    assert car.pose.x + car.extent[0] == pytest.approx(11.0, abs=0.01)
    assert car.vehicle.speed < 0.5 and car.pose.y == pytest.approx(0.0)
    assert not drive(world, car, 2.0, throttle=0.6, reverse=True)
    assert car.pose.x < 8.0


def test_a_car_slides_along_a_wall():
    world = world_of(Box(40.0, 3.0, 40.0, 1.0, 0.0))
    car = world.spawn("vehicle.tesla.model3", Pose(yaw=8.0))
    told = drive(world, car, 5.0, throttle=0.6)
    assert told and car.pose.x > 15.0 and car.vehicle.speed > 5.0
    assert not overlap(car.box, Box(40.0, 3.0, 40.0, 1.0, 0.0))


@pytest.mark.parametrize("dt", [0.05, 0.1, 1.0])
def test_no_speed_jumps_over_a_pole(dt):
    pole = Box(30.0, 0.2, 0.08, 0.08, 0.0)
    world = world_of(pole, label=POLE)
    car = world.spawn("vehicle.tesla.model3", Pose())
    car.vehicle.constant_velocity = (100.0, 0.0, 0.0)
    assert drive(world, car, 2.0, dt=dt)
    assert 24.0 < car.pose.x < 30.0 and not overlap(car.box, pole)


def test_what_a_car_stands_in_does_not_hold_it():
    house = Box(20.0, 0.0, 6.0, 6.0, 0.0)
    world = world_of(house)
    with pytest.raises(ActorError, match=SPAWN_COLLISION):
        world.spawn("vehicle.tesla.model3", Pose(x=20.0))
    car = world.spawn("vehicle.tesla.model3", Pose())
    world.set_pose(car.id, Pose(x=20.0))
    assert not drive(world, car, 4.0, throttle=0.8)
    assert car.pose.x > 30.0


def test_a_body_without_collisions_or_physics_is_not_held():
    world = world_of(Box(12.0, 0.0, 1.0, 8.0, 0.0))
    car = world.spawn("vehicle.tesla.model3", Pose())
    car.collides = False
    assert not drive(world, car, 4.0, throttle=0.8) and car.pose.x > 15.0


def test_a_lights_pole_is_its_traffic_light():
    network = make_network(7)
    signal = next(iter(network.signals.values()))
    x, y, _ = signal.position
    pole = thing(10_000, Box(x, y, 0.15, 0.15, 0.0), POLE)
    world = World(network, seed=7, things=[pole])
    car = world.spawn("vehicle.tesla.model3", Pose(x - 6.0, y))
    told = drive(world, car, 4.0, throttle=0.6)
    assert {hit.other for hit in told} == {world.light_actors[signal.id]}


def test_wild_driving_never_ends_inside_of_things():
    rng = np.random.default_rng(5)
    boxes = []
    for x, y in rng.uniform(-60, 60, (150, 2)).tolist():
        size = rng.uniform(0.1, 4.0, 2).tolist()
        if math.hypot(x, y) > 12.0:
            boxes.append(Box(x, y, *size, float(rng.uniform(-180, 180))))
    world = world_of(*boxes)
    kinds = ("vehicle.tesla.model3", "vehicle.mitsubishi.fusorosa", "vehicle.bh.crossbike")
    cars = [
        world.spawn(kind, Pose(0.0, 4.0 * n, yaw=float(rng.uniform(-180, 180))))
        for n, kind in enumerate(kinds)
    ]
    hits = 0
    for tick in range(600):
        if tick % 20 == 0:
            for car in cars:
                throttle, steer = rng.uniform((0.3, -1.0), (1.0, 1.0)).tolist()
                back = bool(rng.random() < 0.3)
                car.vehicle.control = VehicleControl(throttle, steer, reverse=back)
        world.step(DT)
        hits += len(world.collisions)
        for car in cars:
            assert not any(overlap(car.box, box) for box in boxes), (tick, car.type_id, car.pose)
    assert hits > 50


def test_parting_takes_a_box_out_by_the_shortest_way():
    rng = np.random.default_rng(2)
    for _ in range(300):
        values = rng.uniform((-3, -3, 0.2, 0.2, -180), (3, 3, 4, 4, 180), (2, 5)).tolist()
        a, b = (Box(*one) for one in values)
        out = parting(a, b)
        if out is None:
            continue
        longer = [1.0 + 1e-6, 1.0 - 1e-3]
        clear, not_yet = (a._replace(x=a.x + out[0] * k, y=a.y + out[1] * k) for k in longer)
        assert not overlap(clear, b) and overlap(not_yet, b)
        length = math.hypot(*out)
        for angle in np.linspace(0, 2 * math.pi, 16, endpoint=False).tolist():
            way = (0.98 * length * math.cos(angle), 0.98 * length * math.sin(angle))
            assert overlap(a._replace(x=a.x + way[0], y=a.y + way[1]), b)


def test_boxes_of_bodies_are_their_extents():
    assert box_of(Pose(1.0, 2.0, yaw=30.0), (2.0, 1.0, 0.7)) == Box(1.0, 2.0, 2.0, 1.0, 30.0)
