"""Writes what moves in a town to a recorder log."""

from __future__ import annotations

import contextlib
from pathlib import Path

from realmaster_live.errors import RecordingError
from realmaster_live.minitown.server.log_file import (
    LIGHT_KIND,
    OTHER_KIND,
    VEHICLE_KIND,
    WALKER_KIND,
    Added,
    Animated,
    LogFrame,
    read_header,
    write_frame,
    write_header,
)
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.world import World


class LogRecorder:
    """Appends a tick at a time; `close` may be called twice. Sensors are left out.

    Raises:
        OSError: the file cannot be written. RecordingError: another kind of file is there.
    """

    def __init__(self, path: Path, map_name: str) -> None:
        if path.exists() and not path.is_file():
            raise RecordingError(f"expected a regular file at {path}, got another kind of file")
        if path.exists() and path.stat().st_size:
            read_header(path)  # or its error: nothing but a log is written over
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("wb")
        write_header(self._file, map_name)
        self._known: set[int] = set()
        self._last: LogFrame | None = None

    def write(self, world: World, delta_s: float) -> None:
        """Record a tick; it reaches the file with the next one, which says how long it was."""
        last = self._last
        number, elapsed_s = (
            (1, 0.0) if last is None else (last.number + 1, last.elapsed_s + delta_s)
        )
        self._put(delta_s)
        frame = LogFrame(number=number, elapsed_s=elapsed_s)
        actors = {key: one for key, one in world.actors.items() if _is_logged(one)}
        frame.added = [_added(one) for key, one in actors.items() if key not in self._known]
        frame.deleted = sorted(self._known - actors.keys())
        self._known = set(actors)
        for key, actor in actors.items():
            if actor.light is None:
                frame.poses[key] = actor.pose
            else:
                frame.lights[key] = (
                    actor.light.frozen,
                    actor.light.elapsed_s,
                    actor.light.state,
                )
            if actor.vehicle is not None:
                control = actor.vehicle.control
                frame.vehicles[key] = Animated(
                    steer=actor.vehicle.steer,
                    throttle=control.throttle,
                    brake=control.brake,
                    hand_brake=control.hand_brake,
                    gear=-1 if control.reverse else max(1, control.gear),
                )
                frame.lamps[key] = actor.vehicle.lights & 0xFFFFFFFF
            if actor.walker is not None:
                x, y, _ = actor.velocity
                frame.walkers[key] = (x * x + y * y) ** 0.5
        self._last, self._delta_s = frame, delta_s

    def abandon(self) -> None:
        """Close the file as it is, after an error of writing."""
        with contextlib.suppress(OSError):
            self._file.close()

    def close(self) -> None:
        """Finish the file."""
        if not self._file.closed:
            if self._last is not None:
                self._put(self._delta_s)
            self._file.close()

    def _put(self, lasts_s: float) -> None:
        if self._last is not None:
            self._last.lasts_s = lasts_s
            write_frame(self._file, self._last)
            self._file.flush()


def _is_logged(actor: Actor) -> bool:
    moves = actor.vehicle is not None or actor.walker is not None
    return moves or actor.light is not None or actor.type_id == "spectator"


def _added(actor: Actor) -> Added:
    kind = OTHER_KIND
    for has, number in (
        (actor.vehicle, VEHICLE_KIND),
        (actor.walker, WALKER_KIND),
        (actor.light, LIGHT_KIND),
    ):
        kind = number if has is not None else kind
    return Added(
        id=actor.id,
        kind=kind,
        type_id=actor.type_id,
        pose=actor.pose,
        attributes=dict(actor.attributes),
    )
