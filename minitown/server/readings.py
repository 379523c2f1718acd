"""What sensors without pixels say in a tick: the bodies of their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from realmaster_live.bridges.carla.wire.layouts import Layout
from realmaster_live.errors import ActorError
from realmaster_live.minitown.server import sensors
from realmaster_live.minitown.server.obstacle_sensor import (
    MOST_SENSORS,
    OBSTACLE,
    Sweep,
    first_met,
    obstacle_body,
)
from realmaster_live.minitown.server.towns import Town
from realmaster_live.minitown.server.wire_view import thing_array
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.world import World


@dataclass(frozen=True)
class Readings:
    """Reads sensors; `actor_array` makes the wire's Actor of one of the world's actors."""

    layout: Layout
    actor_array: Callable[[Actor], list[Any]]
    _noise: dict[int, np.random.Generator] = field(default_factory=dict)  # by sensor

    def collisions(self, sensor: Actor, world: World) -> list[bytes]:
        """Return the bodies of the last tick's collisions of what a sensor is mounted on."""
        return [
            sensors.collision_body(
                self.actor_array(world.actors[hit.actor]),
                self._other(world.actors.get(hit.other), hit.thing.label if hit.thing else 0),
                hit.impulse,
            )
            for hit in world.collisions
            if hit.actor == sensor.parent
        ]

    def of(self, sensor: Actor, world: World, town: Town) -> list[bytes]:
        """Return what a GNSS, inertial or obstacle sensor has to say now."""
        kind = sensor.type_id.rsplit(".", 1)[1]
        if kind == "gnss":
            noise, transverse = self._noise_of(sensor), self.layout.transverse
            return [sensors.gnss_body(sensor, town.origin, noise, transverse=transverse)]
        if kind == "imu":
            return [sensors.imu_body(sensor, self._noise_of(sensor))]
        met = first_met(sensor, Sweep.of(sensor), town.triangles, world.actors.values())
        if met is None:
            return []
        other = self._other(met.actor, met.label)
        return [obstacle_body(self.actor_array(sensor), other, met.distance_m)]

    def forget(self, sensor: int) -> None:
        """Leave out a sensor that was destroyed."""
        self._noise.pop(sensor, None)

    def _noise_of(self, sensor: Actor) -> np.random.Generator:
        if sensor.id not in self._noise:
            seed = int(sensor.number("noise_seed", 0)) % 2**32
            self._noise[sensor.id] = np.random.default_rng(seed)
        return self._noise[sensor.id]

    def _other(self, actor: Actor | None, label: int) -> list[Any]:
        return thing_array(self.layout, label) if actor is None else self.actor_array(actor)


def check_sensor(sensor: Actor, actors: Iterable[Actor]) -> None:
    """Raise ActorError where a sensor asks for more than it may, or is one too many."""
    if sensor.type_id != OBSTACLE:
        return
    Sweep.of(sensor)
    if sum(actor.type_id == OBSTACLE for actor in actors) > MOST_SENSORS:
        raise ActorError(
            f"expected at most {MOST_SENSORS} obstacle sensors, got one more: destroy some before"
        )
