"""The town's own drivers: keep the lane, the distance, the lights and the right of way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from realmaster_live.minitown.plan.lanes import LaneMap, Track
from realmaster_live.minitown.plan.roads import LaneKey
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.driving import (
    COMFORT,
    HARDEST,
    STANDSTILL_M,
    idm,
    pedals,
    steer,
    wished_speed,
)
from realmaster_live.minitown.traffic.junctions import Junctions
from realmaster_live.minitown.traffic.sight import Scene, leader, look, path_ahead
from realmaster_live.minitown.traffic.signals import GREEN, YELLOW, Signals
from realmaster_live.minitown.traffic.vehicle import LOW_BEAM, POSITION, VehicleControl

LINE_GAP = 1.0  # metres that a driver stops short of a line
SIGHT = 45.0  # metres
LONG = 4.0  # metres of half length above which a driver keeps to wide bends and left turns
LONG_BEND_SPEED = 7.4  # m/s that the bend of a lane must allow for long vehicles: 28 m of radius
ROOM = 3.0  # metres left free behind the last car of an exit
DARK_SUN_DEG = 5.0  # sun altitude below which drivers switch their lamps on


@dataclass(slots=True)
class Driver:
    """One driver: its lanes, its place on the first, the paths that it holds at junctions."""

    actor: Actor
    route: list[LaneKey]
    s: float
    rng: np.random.Generator
    holds: LaneKey | None = None
    last: LaneKey | None = None
    waits_since: float | None = None


class Traffic:
    """Every driver of the town."""

    def __init__(self, lane_map: LaneMap, junctions: Junctions, signals: Signals) -> None:
        self.lane_map, self.junctions, self.signals = lane_map, junctions, signals
        self.drivers: dict[int, Driver] = {}
        self._endless = _endless(lane_map, set(lane_map.tracks))
        self._roomy = _endless(lane_map, {k for k, t in lane_map.tracks.items() if _is_roomy(t)})
        self.now_s = 0.0

    def lanes_for(self, half_length: float) -> set[LaneKey]:
        """Return the lanes that a vehicle may take: a long one swings too wide to turn right."""
        return self._roomy if half_length > LONG else self._endless

    def add(self, actor: Actor, seed: int) -> bool:
        """Give the vehicle a driver; False when no lane is near it."""
        place = self.lane_map.nearest(actor.pose.x, actor.pose.y, actor.pose.yaw)
        if place is None:
            return False
        rng = np.random.default_rng([seed, actor.id])
        self.drivers[actor.id] = Driver(actor, [place.key], place.s, rng)
        if actor.extent[0] > LONG:
            self.junctions.long.add(actor.id)
        return True

    def remove(self, actor_id: int) -> None:
        """Take the driver out and give back what it held."""
        driver = self.drivers.pop(actor_id, None)
        self.junctions.forget(actor_id)
        for way in (driver.holds, driver.last) if driver else ():
            if way is not None:
                self.junctions.leave(actor_id, way)

    def step(self, bodies: Iterable[Actor], now_s: float, sun_altitude_deg: float) -> None:
        """Set every driver's pedals and wheel for this tick; `now_s` is the world's clock."""
        self.now_s = now_s
        for driver in self.drivers.values():
            self._locate(driver)
        bodies = list(bodies)
        self.junctions.block(self._occupied_by_others(bodies))
        scene = look(bodies, {key: driver.route[0] for key, driver in self.drivers.items()})
        on_lane: dict[LaneKey, list[Driver]] = defaultdict(list)
        for driver in self.drivers.values():
            on_lane[driver.route[0]].append(driver)
        for driver in self.drivers.values():
            self._drive(driver, scene, on_lane)
            assert driver.actor.vehicle is not None
            lamps = POSITION | LOW_BEAM if sun_altitude_deg < DARK_SUN_DEG else 0
            driver.actor.vehicle.lights = lamps

    def _locate(self, driver: Driver) -> None:
        """Bring a driver's place on its route up to date, and the route to its sight."""
        pose, tracks = driver.actor.pose, self.lane_map.tracks
        for _ in range(2):
            x, y, _, heading = tracks[driver.route[0]].at(driver.s)
            driver.s += (pose.x - x) * math.cos(heading) + (pose.y - y) * math.sin(heading)
        while driver.s > tracks[driver.route[0]].length and len(driver.route) > 1:
            driver.s -= tracks[driver.route[0]].length
            passed = driver.route.pop(0)
            if passed == driver.holds:
                self._drop(driver)
                driver.last, driver.holds = passed, None
        ahead = tracks[driver.route[0]].length - driver.s
        ahead += sum(tracks[key].length for key in driver.route[1:])
        while ahead < SIGHT + 15.0:
            after = tracks[driver.route[-1]].lane.successors
            if not after:
                break
            ways = self.lanes_for(driver.actor.extent[0])
            open_ended = [key for key in after if key in self._endless]
            choices = [key for key in after if key in ways] or open_ended or list(after)
            driver.route.append(choices[int(driver.rng.integers(len(choices)))])
            ahead += tracks[driver.route[-1]].length
        if driver.last is not None and driver.s > driver.actor.extent[0] + 0.5:
            self._drop(driver)

    def _drop(self, driver: Driver) -> None:
        if driver.last is not None:
            self.junctions.leave(driver.actor.id, driver.last)
            driver.last = None

    def _occupied_by_others(self, bodies: Iterable[Actor]) -> set[LaneKey]:
        """Return the paths through junctions on which vehicles are that the town does not drive."""
        found: set[LaneKey] = set()
        for actor in bodies:
            if actor.vehicle is None or actor.id in self.drivers:
                continue
            reach = actor.extent[1] + 1.5
            places = self.lane_map.places(actor.pose.x, actor.pose.y)
            found |= {
                p.key for p in places if abs(p.offset) < reach and p.key in self.junctions.paths
            }
            speed = actor.vehicle.speed
            for place in places:
                one = self.lane_map.tracks[place.key]
                aligned = math.cos(math.radians(place.yaw_deg - actor.pose.yaw)) > 0.7
                if abs(place.offset) < 1.5 and aligned and one.length - place.s < 2.5 * speed:
                    found |= set(one.lane.successors) & self.junctions.paths
        return found

    def _drive(self, driver: Driver, scene: Scene, on_lane: Mapping[LaneKey, list[Driver]]) -> None:
        actor, vehicle = driver.actor, driver.actor.vehicle
        assert vehicle is not None
        speed = vehicle.speed
        sight = min(SIGHT, max(14.0, 10.0 + speed * 2.0 + speed * speed / (2 * COMFORT)))
        path = path_ahead(self.lane_map, driver.route, driver.s, sight)
        if path is None:
            vehicle.control = VehicleControl(brake=1.0)
            return
        wish = wished_speed(path)
        accel = idm(speed, wish, *leader(actor, path, scene, self._followed(driver)))
        line = self._line(driver, on_lane)
        if line is not None:
            accel = min(accel, idm(speed, wish, line - LINE_GAP + STANDSTILL_M, 0.0))
        throttle, brake = pedals(accel, speed, vehicle.body.max_accel, vehicle.body.top_speed)
        wheel = steer(vehicle, actor.pose, path)
        vehicle.control = VehicleControl(throttle=throttle, steer=wheel, brake=brake)

    def _followed(self, driver: Driver) -> set[LaneKey]:
        """Return the lanes whose cars this driver follows: its own and those that fork from it."""
        before = self.lane_map.predecessors[driver.route[0]]
        lanes = {*driver.route, *before}
        for key in (*driver.route[:3], *before):
            lanes.update(self.lane_map.tracks[key].lane.successors)
        return lanes

    def _line(self, driver: Driver, on_lane: Mapping[LaneKey, list[Driver]]) -> float | None:
        """Return metres from the front bumper to the line to stop at, None when free to go."""
        if len(driver.route) < 2 or driver.route[1] not in self.junctions.paths:
            return None
        here, way = self.lane_map.tracks[driver.route[0]], driver.route[1]
        actor = driver.actor
        assert actor.vehicle is not None
        left = here.length - driver.s - actor.extent[0]
        speed = actor.vehicle.speed
        if left > 12.0 + speed * speed / (2 * COMFORT):
            return None
        if left < -1.0:
            return None  # already over the line
        state = self.signals.state(here.lane.signal)
        stoppable = left > speed * speed / (2 * HARDEST) + 0.2
        may_go = state == GREEN or (state == YELLOW and not stoppable)
        if driver.holds == way:
            if may_go or not stoppable:
                return None
            self.junctions.leave(actor.id, way)
            driver.holds = None
            return left
        first = all(other.s <= driver.s or other is driver for other in on_lane[driver.route[0]])
        if first and driver.waits_since is None:
            driver.waits_since = self.now_s
        if not (may_go and first and self._exit_room(driver)):
            self.junctions.forget(actor.id)
            return left
        since = self.now_s if driver.waits_since is None else driver.waits_since
        if not self.junctions.free(actor.id, way, since, self.now_s):
            return left
        driver.waits_since = None
        self.junctions.take(actor.id, way)
        driver.holds = way
        return None

    def _exit_room(self, driver: Driver) -> bool:
        """Return whether the lane after the junction has room for this vehicle."""
        way = driver.route[1]
        if len(driver.route) < 3:
            return True
        exit_lane = driver.route[2]
        need = 2 * driver.actor.extent[0] + ROOM
        for other in self.drivers.values():
            if other is driver:
                continue
            inside = way in (other.holds, other.last)
            if inside or (other.holds is not None and exit_lane in other.route[:3]):
                need += 2 * other.actor.extent[0] + ROOM
        crossings = [s for _, s in self.junctions.along[way]]
        length = self.lane_map.tracks[way].length
        need += max([0.0, *(s - length for s in crossings)])
        tails = [
            other.s - other.actor.extent[0]
            for other in self.drivers.values()
            if other.route[0] == exit_lane and other is not driver and other.last is None
        ]
        return min(tails, default=math.inf) > need


def _is_roomy(track: Track) -> bool:
    """Return whether two long vehicles can pass each other, or turn without a wide swing."""
    if track.lane.junction >= 0:
        return track.lane.turn != "right"
    return float(track.speed.min()) > LONG_BEND_SPEED


def _endless(lane_map: LaneMap, good: set[LaneKey]) -> set[LaneKey]:
    """Return the lanes of a set from which a driver can go on forever within it."""
    while True:
        kept = {key for key in good if good & set(lane_map.tracks[key].lane.successors)}
        if kept == good:
            return good
        good = kept
