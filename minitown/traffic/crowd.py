"""Ambient traffic: the vehicles and walkers that make the town alive."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np

from realmaster_live.minitown.models.bodies import BODIES, WALKER_CENTRE
from realmaster_live.minitown.plan.footpaths import Footpaths
from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.blueprints import COLORS, VEHICLES, WALKERS
from realmaster_live.minitown.traffic.boxes import Box, box_of, overlap
from realmaster_live.minitown.traffic.junctions import Junctions
from realmaster_live.minitown.traffic.signals import GREEN, Signals
from realmaster_live.minitown.traffic.walker import Stroller, WalkerControl
from realmaster_live.minitown.transforms import Pose

if TYPE_CHECKING:
    from realmaster_live.minitown.traffic.world import World

SHARE = {
    "sedan": 0.27, "hatchback": 0.24, "suv": 0.18, "van": 0.08, "pickup": 0.07, "truck": 0.03,
    "bus": 0.03, "motorcycle": 0.05, "bicycle": 0.05,
}  # fmt: skip
NEAR = 8.0  # metres beyond which no vehicle reaches a walker
SPAWN_ROOM = 3.0  # metres kept free before and behind an ambient vehicle when it is put down


class Crowd:
    """Who strolls, and how ambient traffic is put into the town."""

    def __init__(
        self, network: RoadNetwork, junctions: Junctions, signals: Signals, lane_map: LaneMap
    ) -> None:
        self.paths = Footpaths(network)
        self.junctions, self.signals, self.lane_map = junctions, signals, lane_map
        self.strollers: dict[int, Stroller] = {}
        self._lights = {
            crossing: {
                lane_map.tracks[before].lane.signal
                for way in junctions.ways_over[crossing]
                for at, s in junctions.along[way]
                if at == crossing and s < lane_map.tracks[way].length / 2
                for before in lane_map.predecessors[way]
            }
            for crossing in range(len(network.crossings))
        }

    def __contains__(self, actor_id: int) -> bool:
        return actor_id in self.strollers

    def remove(self, actor_id: int) -> None:
        """Take a stroller out and free the crossing that it was on."""
        stroller = self.strollers.pop(actor_id, None)
        if stroller is not None and stroller.gate is not None:
            self.junctions.walking[stroller.gate.crossing].discard(actor_id)

    def populate(
        self, world: World, vehicles: int, walkers: int, seed: int
    ) -> tuple[list[int], list[int]]:
        """Add so many vehicles and walkers as find room; returns their ids."""
        rng = np.random.default_rng([world.network.seed, seed, 2])
        return self._vehicles(world, vehicles, rng), self._walkers(world, walkers, rng)

    def step(self, world: World, vehicles: list[Actor], dt: float) -> None:
        """Move every stroller on by `dt` seconds."""
        boxes = [vehicle.box for vehicle in vehicles if vehicle.collides]
        for stroller in self.strollers.values():
            actor, walker = world.actors[stroller.actor], world.actors[stroller.actor].walker
            assert walker is not None
            if not walker.physics:
                continue
            saved = copy.copy(stroller)
            walked = stroller.step(self.paths, self.junctions, self._may_cross(stroller), dt)
            x, y, ground = stroller.target(self.paths)
            way = math.hypot(x - actor.pose.x, y - actor.pose.y)
            if not walked or _in_the_way(Box(x, y, 0.4, 0.4, 0.0), boxes):
                if walked and stroller.gate == saved.gate and stroller.crossing == saved.crossing:
                    stroller.s, stroller.done = saved.s, saved.done
                walker.control = walker.control._replace(speed=0.0)
                walker.stride = 0.0
                continue
            yaw = math.atan2(y - actor.pose.y, x - actor.pose.x) if way > 1e-4 else 0.0
            walker.control = WalkerControl((math.cos(yaw), math.sin(yaw), 0.0), way / dt)
            moved = walker.advance(actor.pose, dt)
            actor.pose = moved._replace(x=x, y=y, z=ground + WALKER_CENTRE)

    def _may_cross(self, stroller: Stroller) -> bool:
        if stroller.gate is None:
            return True
        return all(
            self.signals.state(signal) != GREEN or signal == 0
            for signal in self._lights[stroller.gate.crossing]
        )

    def _vehicles(self, world: World, count: int, rng: np.random.Generator) -> list[int]:
        by_model: dict[str, list[str]] = {}
        for type_id, model in VEHICLES.items():
            by_model.setdefault(model, []).append(type_id)
        models, shares = list(SHARE), np.array(list(SHARE.values()))
        points = world.network.spawn_points
        placed: list[int] = []
        for n in rng.permutation(len(points)):
            if len(placed) >= count:
                break
            model = str(rng.choice(models, p=shares / shares.sum()))
            type_id = str(rng.choice(by_model[model]))
            x, y, _ = points[n].location
            pose = Pose(x, y, self.lane_map.level, yaw=points[n].yaw_deg)
            half = BODIES[model].extent
            if points[n].lane not in world.traffic.lanes_for(half[0]):
                continue
            room = box_of(pose, (half[0] + SPAWN_ROOM, half[1] + 0.2, half[2]))
            if any(a.moves and overlap(room, a.box) for a in world.actors.values()):
                continue
            if not self._clear_of_line(pose, half[0]):
                continue
            paint = str(rng.choice(COLORS))
            actor = world.spawn(type_id, pose, attributes={"color": paint})
            world.set_autopilot(actor.id, True)
            placed.append(actor.id)
        return placed

    def _clear_of_line(self, pose: Pose, half_length: float) -> bool:
        """Return whether a vehicle put here stands whole on its lane, clear of the junctions."""
        place = self.lane_map.nearest(pose.x, pose.y, pose.yaw)
        if place is None:
            return False
        return (
            half_length + 1.0 < place.s < self.lane_map.tracks[place.key].length - half_length - 1
        )

    def _walkers(self, world: World, count: int, rng: np.random.Generator) -> list[int]:
        placed: list[int] = []
        types = list(WALKERS)
        lengths = np.array([path.length for path in self.paths.paths])
        for _ in range(count if len(lengths) else 0):
            path = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
            way = 1 if rng.random() < 0.5 else -1
            stroller = Stroller(
                actor=0,
                path=path,
                s=float(rng.uniform(0.0, lengths[path])),
                way=way,
                side=float(rng.uniform(0.15, 0.9)),
                speed=float(rng.uniform(1.0, 1.7)),
                rng=np.random.default_rng([int(rng.integers(2**31)), len(placed)]),
            )
            x, y, ground = stroller.target(self.paths)
            pose = Pose(x, y, ground + WALKER_CENTRE)
            actor = world.spawn_free(str(rng.choice(types)), pose)
            if actor is None:
                continue
            stroller.actor = actor.id
            self.strollers[actor.id] = stroller
            placed.append(actor.id)
        return placed


def _in_the_way(box: Box, others: list[Box]) -> bool:
    return any(
        overlap(box, other)
        for other in others
        if abs(other.x - box.x) < NEAR and abs(other.y - box.y) < NEAR
    )
