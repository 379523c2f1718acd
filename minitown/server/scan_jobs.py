"""The scans of one tick: planned on the event loop, cast on the renderer's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realmaster_live.bridges.carla.wire.layouts import Layout
from realmaster_live.bridges.carla.wire.streams import Head, message
from realmaster_live.errors import ActorError
from realmaster_live.minitown.scene import Instance, SceneState
from realmaster_live.minitown.server.scanners import (
    MOST_SCANNERS,
    WIRE_NAMES,
    Scan,
    Scanner,
    echo_of,
)
from realmaster_live.minitown.server.streams import Message
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Vector


@dataclass(frozen=True)
class ScanShot:
    """One scanner's scan in one tick, not cast yet."""

    scanner: Scanner
    stream: int
    head: Head
    scan: Scan


@dataclass(frozen=True)
class ScanJob:
    """All scans of one tick; `velocities` has m/s by actor id."""

    shots: Sequence[ScanShot]
    instances: Sequence[Instance]
    velocities: Mapping[int, Vector]


class Scanners:
    """The scanners of an episode, by actor id."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._scanners: dict[int, tuple[Scanner, int]] = {}

    def __contains__(self, actor_id: int) -> bool:
        return actor_id in self._scanners

    def add(self, actor: Actor, stream: int, *, is_drawn: bool) -> None:
        """Take a new one; raise ActorError where it asks for too much, or is one too many."""
        if not is_drawn:
            raise ActorError(
                f"expected a town that is drawn for {actor.type_id}, got one without pictures: "
                "start the server without --no-raster"
            )
        if len(self._scanners) >= MOST_SCANNERS:
            raise ActorError(
                f"expected at most {MOST_SCANNERS} lidars and radars, got one more: destroy some "
                "before"
            )
        self._scanners[actor.id] = Scanner(actor), stream

    def forget(self, actor_id: int) -> None:
        """Leave out one that was destroyed."""
        self._scanners.pop(actor_id, None)

    def plan(
        self,
        world: World,
        scene: Callable[[], SceneState],
        tick_s: float,
        is_wanted: Callable[[Actor, int], bool],
    ) -> ScanJob | None:
        """Return what those that somebody wants scan at this tick; None for nothing."""
        shots = []
        for scanner, stream in self._scanners.values():
            sensor = scanner.sensor
            if not is_wanted(sensor, stream):
                continue
            scan = scanner.scan(world.time_s, tick_s)
            if scan is not None:
                number = self._layout.sensor_ids[WIRE_NAMES[scanner.kind]]
                head = Head(number, world.frame, world.time_s, sensor.pose)
                shots.append(ScanShot(scanner, stream, head, scan))
        if not shots:
            return None
        velocities = {actor.id: actor.velocity for actor in world.actors.values() if actor.moves}
        return ScanJob(shots, scene().instances, velocities)


def cast(job: ScanJob, caster: Any) -> list[tuple[int, Message]]:
    """Return (stream, message) of each scan; `caster` is the town's `raster.RayCaster`."""
    caster.place(job.instances)
    found = []
    for shot in job.shots:
        echo = echo_of(caster, shot.scan, job.velocities)
        body = shot.scanner.body(shot.scan, echo)
        found.append((shot.stream, Message(message(shot.head, body))))
    return found
