"""Walkers: the body that a control moves, and the ones that stroll round the blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from realmaster_live.minitown.plan.footpaths import Footpaths, Gate
from realmaster_live.minitown.traffic.junctions import Junctions
from realmaster_live.minitown.transforms import Pose, Vector

EDGE_M = 1e6  # no walker goes farther from the map's origin
KERB_HEIGHT = 0.15
STRIDE_LENGTH = 1.45  # metres of one full cycle of both legs
CROSS_SHARE = 0.4  # of the crossings that a stroller passes it takes
KERB_BLEND = 1.6  # metres of a crossing's ends that lie on the sidewalk


class WalkerControl(NamedTuple):
    """CARLA's walker control, in the order of its wire layout; speed in m/s."""

    direction: Vector = (1.0, 0.0, 0.0)
    speed: float = 0.0
    jump: bool = False


@dataclass(slots=True)
class Walker:
    """The moving part of a walker actor.

    Attributes:
        stride: radians of its walking cycle. guided_to: where a client's navigation puts it in the
            next tick, None while none does. physics: whether it moves by its control.
    """

    control: WalkerControl = field(default_factory=WalkerControl)
    stride: float = 0.0
    physics: bool = True
    guided_to: Pose | None = None

    def follow(self, pose: Pose, dt: float) -> Pose:
        """Return the pose that a client's navigation asked for."""
        assert self.guided_to is not None
        goal, self.guided_to = self.guided_to, None
        dx, dy = goal.x - pose.x, goal.y - pose.y
        length = math.hypot(dx, dy)
        yaw = math.radians(goal.yaw)
        self.control = WalkerControl((math.cos(yaw), math.sin(yaw), 0.0), length / dt)
        self._swing(length)
        return goal

    def advance(self, pose: Pose, dt: float) -> Pose:
        """Return the pose after `dt` seconds of the present control."""
        dx, dy, _ = self.control.direction
        norm = math.hypot(dx, dy)
        step = self.control.speed * dt
        if norm < 1e-6 or step == 0.0:
            self.stride = 0.0
            return pose
        self._swing(step)
        yaw = math.degrees(math.atan2(dy, dx))
        x, y = pose.x + dx / norm * step, pose.y + dy / norm * step
        return pose._replace(
            x=min(max(x, -EDGE_M), EDGE_M), y=min(max(y, -EDGE_M), EDGE_M), yaw=yaw
        )

    def _swing(self, metres: float) -> None:
        """Move legs and arms on as a walk of so many metres does; at rest while it stands."""
        turn = self.stride + metres / STRIDE_LENGTH * 2 * math.pi
        self.stride = math.fmod(turn, 2 * math.pi) if metres > 0.0 else 0.0


@dataclass(slots=True)
class Stroller:
    """An ambient walker's plan: its footpath, its place on it, and the crossing it will take.

    Attributes:
        way: +1 or -1 round the loop. side: metres that it keeps off the middle of the path.
        gate: the crossing it waits for or walks on. done: metres of the crossing behind it.
    """

    actor: int
    path: int
    s: float
    way: int
    side: float
    speed: float
    rng: np.random.Generator
    gate: Gate | None = None
    crossing: bool = False
    done: float = 0.0

    def step(self, paths: Footpaths, junctions: Junctions, walk_ok: bool, dt: float) -> bool:
        """Move on by `dt` seconds; return whether it walked. `walk_ok`: the light allows."""
        if self.gate is None:
            self._along(paths, dt)
            return True
        if not self.crossing:
            if not (walk_ok and junctions.may_walk(self.gate.crossing)):
                return False
            self.crossing, self.done = True, 0.0
            junctions.walking[self.gate.crossing].add(self.actor)
        self.done += self.speed * dt
        ends = paths.crossings[self.gate.crossing]
        if self.done >= float(np.linalg.norm(ends[1] - ends[0])):
            junctions.walking[self.gate.crossing].discard(self.actor)
            self.path, self.s = paths.landing[self.gate.crossing, 1 - self.gate.end]
            self.way = 1 if self.rng.random() < 0.5 else -1
            self.gate, self.crossing = None, False
        return True

    def target(self, paths: Footpaths) -> tuple[float, float, float]:
        """Return x, y and the ground's height, metres, where the walker belongs now."""
        if self.gate is not None and self.crossing:
            ends = paths.crossings[self.gate.crossing]
            start, goal = ends[self.gate.end], ends[1 - self.gate.end]
            length = float(np.linalg.norm(goal - start))
            ahead = (goal - start) / length
            inside = min(self.done, length - self.done)
            lane = self.side * min(1.0, inside / 2.0)
            x, y = start + ahead * self.done + lane * np.array([-ahead[1], ahead[0]])
            return float(x), float(y), KERB_HEIGHT if inside < KERB_BLEND else 0.0
        path = paths.paths[self.path]
        here = path.at(self.s)
        ahead = path.at(self.s + self.way * 1.0) - here
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        x, y = here + self.side * np.array([-ahead[1], ahead[0]])
        return float(x), float(y), KERB_HEIGHT

    def _along(self, paths: Footpaths, dt: float) -> None:
        before, length = self.s, paths.paths[self.path].length
        step = self.way * self.speed * dt
        self.s = (before + step) % length
        for gate in paths.gates[self.path]:
            passed = ((gate.s - before) * self.way) % length <= abs(step)
            if passed and self.rng.random() < CROSS_SHARE:
                self.s, self.gate = gate.s, gate
                return
