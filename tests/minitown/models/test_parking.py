"""No parked car stands in the way of a bus, on any lane of any town."""

import math

import numpy as np
import pytest

from realmaster_live.minitown.models.bodies import BODIES
from realmaster_live.minitown.models.objects import environment_objects
from realmaster_live.minitown.models.parking import DrivenGround
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.boxes import Box, box_of, overlap
from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.plan.roads import Lane
from realmaster_live.minitown.traffic.blueprints import LIBRARY
from realmaster_live.minitown.traffic.vehicle import Vehicle, VehicleControl
from realmaster_live.minitown.transforms import Pose

BUS = BODIES["bus"]
CAR = 14
AHEAD_M, SPEED, DT = 4.0, 4.0, 0.05


def test_the_bus_is_the_longest_and_widest_vehicle_of_the_library():
    bodies = [BODIES[one.model] for one in LIBRARY.values() if one.model in BODIES]
    assert BUS in bodies
    assert all(body.extent[axis] <= BUS.extent[axis] for body in bodies for axis in (0, 1))


def driven(lanes, key, rng):
    """Yield the poses of a bus that steers towards the middle of its lane some metres ahead."""
    route = [key]
    while len(route) < 4 and lanes.tracks[route[-1]].lane.successors:
        route.append(tuple(rng.choice(lanes.tracks[route[-1]].lane.successors)))
    points = np.concatenate([lanes.tracks[one].points[:, :2] for one in route])
    x, y = points[0]
    yaw = math.degrees(lanes.tracks[key].heading[0])
    pose, bus, at = Pose(float(x), float(y), 0.0, 0.0, yaw), Vehicle(BUS, speed=SPEED), 0
    for _ in range(int(2 * len(points) / SPEED / DT)):
        window = points[at : at + 12]
        at += int(np.argmin(np.hypot(window[:, 0] - pose.x, window[:, 1] - pose.y)))
        goal = points[min(at + round(AHEAD_M), len(points) - 1)]
        if at >= len(points) - 2:
            return
        bearing = math.atan2(goal[1] - pose.y, goal[0] - pose.x) - math.radians(pose.yaw)
        bearing = math.atan2(math.sin(bearing), math.cos(bearing))
        bend = 2 * math.sin(bearing) / AHEAD_M
        wheel = math.atan(2 * math.tan(math.asin(max(-0.99, min(0.99, bend * BUS.wheelbase / 2)))))
        bus.speed, bus.steer = SPEED, max(-1.0, min(1.0, wheel / bus.full_lock))
        bus.control = VehicleControl(steer=bus.steer)
        pose, _ = bus.advance(pose, DT)
        yield pose


def check(seed):
    network = make_network(seed)
    lanes, rng = LaneMap(network), np.random.default_rng(seed)
    cars = [one.footprint for one in environment_objects(build_town(network)) if one.label == CAR]
    for key in sorted(lanes.tracks):
        for pose in driven(lanes, key, rng):
            box = box_of(pose, BUS.extent)
            hit = next((car for car in cars if overlap(box, car)), None)
            assert hit is None, (seed, key, pose, hit)
    return len(cars)


def test_a_bend_is_kept_free_farther_out_than_a_straight_street():
    straight = np.column_stack([np.arange(60.0), np.zeros(60), np.zeros(60)])
    turn = np.linspace(0, np.pi / 2, 40)
    bend = np.column_stack([60 + 12 * np.sin(turn), 12 - 12 * np.cos(turn), 0 * turn])
    lanes = [
        Lane(key=(n, -1), centre=c, width=3.5, successors=())
        for n, c in enumerate((straight, bend))
    ]
    ground = DrivenGround({lane.key: lane for lane in lanes})
    parked = 1.75 + 1.12 - 0.06  # from the middle of the lane
    assert not ground.touches(Box(30.0, parked, 2.75, 1.16, 0.0))
    assert ground.touches(Box(30.0, parked - 0.4, 2.75, 1.16, 0.0))
    half = math.sqrt(0.5) * (12 + parked)
    assert ground.touches(Box(60 + half, 12 - half, 2.75, 1.16, 45.0))


@pytest.mark.slow
def test_parked_cars_leave_every_lane_free_in_every_town():
    parked = {seed: check(seed) for seed in (*range(10), *range(501, 516))}
    print(parked)
    assert np.mean(list(parked.values())) > 20
