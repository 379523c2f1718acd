import math

import numpy as np
import pytest

from realmaster_live.minitown.plan.boxes import Box, overlap
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.traffic.driving import idm, pedals
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.signals import GREEN, RED, YELLOW
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

DT = 0.05


def off_lane(world, actor):
    """Metres from the nearest lane of the driver's route."""
    route = world.traffic.drivers[actor.id].route
    places = world.lane_map.places(actor.pose.x, actor.pose.y)
    return min((abs(p.offset) for p in places if p.key in route), default=math.inf)


@pytest.mark.slow
def test_a_minute_of_traffic_keeps_lanes_distances_and_lights():
    world = World(make_network(7), seed=7)
    vehicles, walkers = populate(world, 25, 20, seed=1)
    assert len(vehicles) == 25 and len(walkers) == 20
    travelled, standing, on_lane = 0.0, dict.fromkeys(vehicles, 0), {}
    crossed = set()
    ticks = round(60.0 / DT)
    for tick in range(ticks):
        world.step(DT)
        assert not world.collisions
        crossed |= set().union(*world.junctions.walking.values())
        for actor_id in vehicles:
            actor, driver = world.actors[actor_id], world.traffic.drivers[actor_id]
            travelled += actor.vehicle.speed * DT
            standing[actor_id] = standing[actor_id] + 1 if actor.vehicle.speed < 0.1 else 0
            before, now = on_lane.get(actor_id), driver.route[0]
            if before and now != before and now in world.junctions.paths:
                signal = world.network.lanes[before].signal
                # the bumper crossed the line some time ago: a car's half length and 4 m/s
                light = world.signals.lights.get(signal)
                assert light is None or light.state != RED or light.elapsed_s < 3.0
            on_lane[actor_id] = now
        if tick % 20 == 0:
            assert max(off_lane(world, world.actors[one]) for one in vehicles) < 1.0
    assert travelled / 60.0 / len(vehicles) > 2.0
    assert max(standing.values()) * DT < 55.0
    assert crossed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_five_minutes_never_lock_up(seed):
    world = World(make_network(seed), seed=seed)
    vehicles, _ = populate(world, 30, 30, seed=seed)
    standing = dict.fromkeys(vehicles, 0)
    for _ in range(round(300.0 / DT)):
        world.step(DT)
        assert not world.collisions
        for one in vehicles:
            standing[one] = standing[one] + 1 if world.actors[one].vehicle.speed < 0.1 else 0
        assert max(standing.values()) * DT < 150.0


def test_a_car_waits_for_red_and_goes_at_green():
    world = World(make_network(7), seed=7)
    point = next(p for p in world.network.spawn_points if world.network.lanes[p.lane].signal)
    light = world.signals.lights[world.network.lanes[point.lane].signal]
    for other in world.signals.group(light.signal.id):
        other.frozen = True
    light.show(RED)
    car = world.spawn("vehicle.tesla.model3", Pose(*point.location, yaw=point.yaw_deg))
    world.set_autopilot(car.id, True)
    driver = world.traffic.drivers[car.id]
    for _ in range(round(60.0 / DT)):
        world.step(DT)
    length = world.lane_map.tracks[point.lane].length
    assert driver.route[0] == point.lane and car.vehicle.speed < 0.05
    assert 0.0 < length - driver.s - car.extent[0] < 4.0
    assert world.road_rules(car)[0] == light.signal.id
    light.show(GREEN)
    for _ in range(round(6.0 / DT)):
        world.step(DT)
    assert driver.route[0] != point.lane


def test_a_car_stops_behind_a_standing_one():
    world = World(make_network(7), seed=7)
    lane = max(world.lane_map.tracks.values(), key=lambda track: track.length)
    x, y, z, heading = lane.at(15.0)
    fx, fy, _, turned = lane.at(60.0)
    rear = world.spawn("vehicle.tesla.model3", Pose(x, y, z, yaw=math.degrees(heading)))
    front = world.spawn("vehicle.carlamotors.carlacola", Pose(fx, fy, z, yaw=math.degrees(turned)))
    world.set_autopilot(rear.id, True)
    for _ in range(round(20.0 / DT)):
        world.step(DT)
    assert not world.collisions
    gap = math.dist(rear.pose[:2], front.pose[:2]) - rear.extent[0] - front.extent[0]
    assert 1.0 < gap < 4.0 and rear.vehicle.speed < 0.05


def test_signals_never_let_crossing_phases_go_together():
    world = World(make_network(7), seed=7)
    seen = set()
    for _ in range(round(80.0 / DT)):
        world.signals.step(DT)
        for cycle in world.signals.cycles.values():
            open_phases = {light.signal.phase for light in cycle.lights if light.state != RED}
            assert len(open_phases) <= 1
            seen |= {light.state for light in cycle.lights}
    assert seen == {RED, YELLOW, GREEN}


def test_frozen_lights_stay():
    world = World(make_network(7), seed=7)
    world.signals.freeze(True)
    before = [light.state for light in world.signals.lights.values()]
    for _ in range(800):
        world.signals.step(DT)
    assert [light.state for light in world.signals.lights.values()] == before


def test_ways_that_cross_exclude_each_other():
    junctions = World(make_network(7), seed=7).junctions
    way, others = next((w, o) for w, o in junctions.conflicts.items() if o)
    assert junctions.free(1, way, 0.0, 0.0)
    junctions.take(1, way)
    other = next(iter(others))
    assert not junctions.free(2, other, 0.0, 0.0)
    crossing = junctions.along[way][0][0]
    assert not junctions.may_walk(crossing)
    junctions.leave(1, way)
    assert junctions.free(2, other, 0.0, 0.0)
    junctions.walking[junctions.along[other][0][0]].add(9)
    assert not junctions.free(2, other, 0.0, 0.0)


def test_idm_brakes_for_what_is_near_and_keeps_its_wish():
    assert idm(8.0, 8.0, math.inf, 0.0) == pytest.approx(0.0)
    assert idm(8.0, 8.0, 10.0, 0.0) < -3.0
    assert idm(0.0, 8.0, math.inf, 0.0) > 1.0
    throttle, brake = pedals(-4.0, 8.0, 4.0, 50.0)
    assert throttle == 0.0 and brake == pytest.approx((4.0 - 0.25) / 8.0)


def test_boxes_overlap_as_their_corners_say():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-1, 1, 25)), -1).reshape(-1, 2)
    for _ in range(200):
        a = Box(0.0, 0.0, 2.3, 0.9, float(rng.uniform(-180, 180)))
        b = Box(*map(float, rng.uniform(-4, 4, 2)), 2.3, 0.9, float(rng.uniform(-180, 180)))
        points = grid * (b.half_length, b.half_width)
        cos, sin = math.cos(math.radians(b.yaw)), math.sin(math.radians(b.yaw))
        world = points @ np.array([[cos, sin], [-sin, cos]]) + (b.x, b.y)
        cos, sin = math.cos(math.radians(a.yaw)), math.sin(math.radians(a.yaw))
        local = world @ np.array([[cos, -sin], [sin, cos]])
        inside = (np.abs(local) < (a.half_length - 0.02, a.half_width - 0.02)).all(axis=1).any()
        if inside:
            assert overlap(a, b)
        elif not (np.abs(local) < (a.half_length + 0.2, a.half_width + 0.2)).all(axis=1).any():
            assert not overlap(a, b)
