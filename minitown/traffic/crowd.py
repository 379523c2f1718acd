"""The crowd: ambient walkers, and where they cross."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

from realmaster_live.minitown.models.bodies import WALKER_CENTRE
from realmaster_live.minitown.plan.boxes import Box, overlap
from realmaster_live.minitown.plan.footpaths import Footpaths
from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.junctions import Junctions
from realmaster_live.minitown.traffic.signals import GREEN, Signals
from realmaster_live.minitown.traffic.walker import Stroller, WalkerControl
from realmaster_live.minitown.transforms import Pose

HURRY = 1.5  # a walker that has fallen behind walks at so many times its speed at most
NEAR = 8.0  # metres beyond which no vehicle reaches a walker


class Crowd:
    """All ambient walkers of a town, by actor id."""

    def __init__(
        self, network: RoadNetwork, junctions: Junctions, signals: Signals, lane_map: LaneMap
    ) -> None:
        self.paths = Footpaths(network)
        self.junctions, self.signals, self.lane_map = junctions, signals, lane_map
        self.strollers: dict[int, Stroller] = {}
        self._lights = {
            crossing: {
                lane_map.tracks[before].lane.signal
                for way in junctions.paths_over[crossing]
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

    def step(self, actors: Mapping[int, Actor], vehicles: Sequence[Actor], dt: float) -> None:
        """Move every stroller on by `dt` seconds."""
        boxes = [vehicle.box for vehicle in vehicles if vehicle.collides]
        for stroller in self.strollers.values():
            actor, walker = actors[stroller.actor], actors[stroller.actor].walker
            assert walker is not None
            if not walker.physics:
                continue
            saved = copy.copy(stroller)
            walked = stroller.step(self.paths, self.junctions, self._may_cross(stroller), dt)
            x, y, z = self._step_towards(stroller, actor.pose, dt)
            length = math.hypot(x - actor.pose.x, y - actor.pose.y)
            if not walked or _in_the_way(Box(x, y, 0.4, 0.4, 0.0), boxes):
                if walked and stroller.gate == saved.gate and stroller.crossing == saved.crossing:
                    stroller.s, stroller.done = saved.s, saved.done
                walker.control = walker.control._replace(speed=0.0)
                walker.stride = 0.0
                continue
            yaw = math.atan2(y - actor.pose.y, x - actor.pose.x) if length > 1e-4 else 0.0
            walker.control = WalkerControl((math.cos(yaw), math.sin(yaw), 0.0), length / dt)
            moved = walker.advance(actor.pose, dt)
            actor.pose = moved._replace(x=x, y=y, z=z)

    def _step_towards(
        self, stroller: Stroller, pose: Pose, dt: float
    ) -> tuple[float, float, float]:
        """Return where a body is after `dt` seconds on its way to where its stroller is.

        A stroller changes from the path to a crossing at once, and steps off the kerb at once; a
        body follows at HURRY times the walking speed at most.
        """
        x, y, ground = stroller.target(self.paths)
        dx, dy, dz = x - pose.x, y - pose.y, ground + WALKER_CENTRE - pose.z
        share = min(1.0, HURRY * stroller.speed * dt / max(math.hypot(dx, dy, dz), 1e-9))
        return pose.x + share * dx, pose.y + share * dy, pose.z + share * dz

    def _may_cross(self, stroller: Stroller) -> bool:
        if stroller.gate is None:
            return True
        return all(
            self.signals.state(signal) != GREEN or signal == 0
            for signal in self._lights[stroller.gate.crossing]
        )


def _in_the_way(box: Box, others: list[Box]) -> bool:
    return any(
        overlap(box, other)
        for other in others
        if abs(other.x - box.x) < NEAR and abs(other.y - box.y) < NEAR
    )
