"""Replays a recorder log: moves a town's actors in place of their drivers."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from realmaster_live.errors import ActorError
from realmaster_live.minitown.server.log_file import (
    OTHER_KIND,
    VEHICLE_KIND,
    WALKER_KIND,
    Added,
    LogFrame,
)
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.vehicle import VehicleControl
from realmaster_live.minitown.traffic.walker import STRIDE_LENGTH
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose, wrap_deg


@dataclass(kw_only=True)
class ReplayOptions:
    """What clients set for replays: the speed, and which actors are left out."""

    time_factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = False


class LogReplayer:
    """Plays the frames of a log into a world from one time to another.

    An actor keeps its recorded id where that is free, or is taken by the same kind of actor, which
    is then moved; another one gets a new id. Actors that are not in the log stay as they are.
    """

    def __init__(
        self,
        world: World,
        frames: Sequence[LogFrame],
        options: ReplayOptions,
        *,
        start_s: float,
        stop_s: float,
    ) -> None:
        self.world, self.frames, self.options = world, frames, options
        self.now_s, self.stop_s = start_s, stop_s
        self._times = [frame.elapsed_s for frame in frames]
        self._ids: dict[int, int] = {}  # recorded -> here
        self._made: set[int] = set()
        self._done = 0  # frames whose events are done
        self._frozen = {key: light.frozen for key, light in world.signals.lights.items()}
        self.ended = False
        self._place(0.0)

    def step(self, dt: float) -> None:
        """Move all recorded actors on by `dt` seconds of the world's clock."""
        if self.ended:
            return
        self.now_s += dt * self.options.time_factor
        self._place(dt)
        if self.now_s >= self.stop_s:
            self.stop(keep_actors=True)

    def stop(self, *, keep_actors: bool) -> None:
        """End: drivers and walkers of the log's take over, or the actors it made go."""
        if self.ended:
            return
        self.ended = True
        for key, frozen in self._frozen.items():
            self.world.signals.lights[key].frozen = frozen
        for key in self._ids.values():
            actor = self.world.actors.get(key)
            if actor is None:
                continue
            if not keep_actors and key in self._made:
                self.world.destroy(key)
            elif actor.vehicle is not None:
                actor.vehicle.physics = actor.collides = True
                self.world.set_autopilot(key, True)
            elif actor.walker is not None:
                actor.walker.physics = actor.collides = True

    def _place(self, dt: float) -> None:
        """Apply the events up to now, and place the actors between the frames before and after."""
        index = max(0, bisect_right(self._times, self.now_s + 1e-9) - 1)
        while self._done <= index:
            self._events(self.frames[self._done])
            self._done += 1
        frame = self.frames[index]
        after = self.frames[min(index + 1, len(self.frames) - 1)]
        share = (self.now_s - frame.elapsed_s) / frame.lasts_s if frame.lasts_s > 0 else 0.0
        for recorded, pose in frame.poses.items():
            actor = self._actor(recorded)
            if actor is None:
                continue
            to = between(pose, after.poses.get(recorded, pose), min(1.0, max(0.0, share)))
            self._move(actor, frame, recorded, to, dt)
        for recorded, (_, elapsed_s, state) in frame.lights.items():
            light = self._actor(recorded)
            if light is not None and light.light is not None:
                light.light.show(state)
                light.light.frozen, light.light.elapsed_s = True, elapsed_s

    def _move(self, actor: Actor, frame: LogFrame, recorded: int, to: Pose, dt: float) -> None:
        way = math.hypot(to.x - actor.pose.x, to.y - actor.pose.y)
        actor.pose = to
        vehicle, walker = actor.vehicle, actor.walker
        if vehicle is not None and recorded in frame.vehicles:
            control = frame.vehicles[recorded]
            vehicle.steer, vehicle.lights = control.steer, frame.lamps.get(recorded, 0)
            vehicle.control = VehicleControl(
                throttle=control.throttle,
                steer=control.steer,
                brake=control.brake,
                hand_brake=control.hand_brake,
                reverse=control.gear < 0,
                gear=control.gear,
            )
            ahead = -1.0 if control.gear < 0 else 1.0
            vehicle.speed = ahead * way / dt if dt > 0 else 0.0
            turned = vehicle.spin + ahead * way / vehicle.body.wheel_radius
            vehicle.spin = math.fmod(turned, 2 * math.pi)
        elif walker is not None:
            going = frame.walkers.get(recorded, 0.0) > 0
            stride = walker.stride + way / STRIDE_LENGTH * 2 * math.pi
            walker.stride = math.fmod(stride, 2 * math.pi) if going else 0.0

    def _events(self, frame: LogFrame) -> None:
        for added in frame.added:
            actor = self._find_or_make(added)
            if actor is not None:
                self._ids[added.id] = actor.id
                self._hold(actor)
        for recorded in frame.deleted:
            key = self._ids.pop(recorded, 0)
            if key in self._made:
                self.world.destroy(key)

    def _find_or_make(self, added: Added) -> Actor | None:
        """Return the actor that takes a recorded one's place; None where it is left out."""
        hero = added.attributes.get("role_name") == "hero"
        if hero and self.options.ignore_hero:
            return None
        if added.kind == OTHER_KIND:
            return None if self.options.ignore_spectator else self.world.spectator
        here = self.world.actors.get(added.id)
        if here is not None and here.type_id == added.type_id:
            return here
        if added.kind not in (VEHICLE_KIND, WALKER_KIND):
            return None
        try:
            made = self.world.revive(added.id, added.type_id, added.pose, added.attributes)
        except ActorError:
            return None  # a blueprint that this library has not
        self._made.add(made.id)
        return made

    def _hold(self, actor: Actor) -> None:
        """Switch off an actor's driver and physics while the log moves it."""
        if actor.vehicle is not None:
            self.world.set_autopilot(actor.id, False)
            actor.vehicle.physics = actor.collides = False
        elif actor.walker is not None:
            self.world.crowd.remove(actor.id)
            actor.walker.physics = actor.collides = False

    def _actor(self, recorded: int) -> Actor | None:
        return self.world.actors.get(self._ids.get(recorded, 0))


def between(a: Pose, b: Pose, share: float) -> Pose:
    """Return the pose a share of the way from one to another; angles go the short way."""
    moved = [p + share * (q - p) for p, q in zip(a[:3], b[:3], strict=True)]
    turned = [p + share * wrap_deg(q - p) for p, q in zip(a[3:], b[3:], strict=True)]
    return Pose(*moved, *turned)
