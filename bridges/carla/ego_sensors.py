"""Sensors on the vehicle besides the cameras: spawned, listened to, and read tick by tick."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from realmaster_live.bridges.carla.geometry import UNREAL_FROM_BODY, unreal_matrix
from realmaster_live.bridges.carla.measurements import EVENTS, READINGS, SWEEPS
from realmaster_live.bridges.carla.ownership import this_process
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.errors import SensorMismatch
from realmaster_live.frames.rig_sensors import SCANNING, SENSOR_KINDS, RigSensor
from realmaster_live.frames.source_info import SensorInfo

log = logging.getLogger(__name__)

CAPACITY = 16  # ticks of each sensor that wait to be read
WAIT_S = 2.0  # for a reading of a tick whose pictures are there


class EgoSensors:
    """The sensors of one vehicle.

    A reading that does not come in time is missing in that tick, and its sensor is not waited for
    again before it delivers.

    Args:
        session: attached to the episode. ego: the vehicle or walker that carries them.
        sensors: what to spawn. step_s: simulated seconds a tick, for lidars that turn once a tick;
            None where nobody knows.

    Raises:
        SensorMismatch: the server has no such sensor, or nothing carries the cameras.
    """

    def __init__(
        self,
        session: CarlaSession,
        ego: Any | None,
        sensors: Sequence[RigSensor],
        *,
        step_s: float | None,
    ) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, dict[int, Any]] = {}  # sensor -> measurements by frame
        self._events: dict[str, list[Any]] = {kind: [] for kind in EVENTS}
        self._late: set[str] = set()
        self._kinds: dict[str, str] = {}
        self.infos: dict[str, SensorInfo] = {}
        for sensor in sensors:
            if ego is None:
                raise SensorMismatch(
                    f"expected a vehicle to mount {sensor.name} on, got a camera that none "
                    "carries: leave out the sensors"
                )
            actor = _spawned(session, ego, sensor, step_s)
            self.infos[sensor.name] = _info(sensor, actor)
            if sensor.kind in EVENTS:
                session.listen(actor, self._keep_event(sensor.kind))
            else:
                self._kinds[sensor.name] = sensor.kind
                self._waiting[sensor.name] = {}
                session.listen(actor, self._keep(sensor.name))

    def silent(self) -> tuple[str, ...]:
        """Return which sensors have not delivered anything yet."""
        with self._changed:
            return tuple(name for name, found in self._waiting.items() if not found)

    def at(self, frame_id: int) -> dict[str, Any]:
        """Return what was measured at a tick, as arguments of EgoState; waits `WAIT_S` at most."""
        deadline = time.monotonic() + WAIT_S
        with self._changed:
            expected = [name for name in self._waiting if name not in self._late]
            self._changed.wait_for(
                lambda: all(self._is_past(name, frame_id) for name in expected),
                deadline - time.monotonic(),
            )
            found = {name: items.pop(frame_id, None) for name, items in self._waiting.items()}
            for items in self._waiting.values():
                for old in [number for number in items if number < frame_id]:
                    del items[old]
            self._late |= {name for name in expected if not self._is_past(name, frame_id, found)}
            events = {
                kind: [one for one in waiting if one.frame <= frame_id]
                for kind, waiting in self._events.items()
            }
            for kind, waiting in self._events.items():
                self._events[kind] = [one for one in waiting if one.frame > frame_id]
        there = {name: one for name, one in found.items() if one is not None}
        by_kind = {
            kind: read(one)
            for kind, read in READINGS.items()
            if (one := there.get(kind)) is not None
        }
        return {
            **by_kind,
            "collisions": tuple(map(EVENTS["collision"], events["collision"])),
            "lane_invasions": tuple(map(EVENTS["lane_invasion"], events["lane_invasion"])),
            "sweeps": {
                name: SWEEPS[self._kinds[name]](one)
                for name, one in there.items()
                if self._kinds[name] in SCANNING
            },
            "missing": tuple(name for name in found if name not in there),
        }

    def _is_past(self, name: str, frame_id: int, found: Mapping[str, Any] | None = None) -> bool:
        """Return whether a sensor has delivered a tick, or a later one: they come in order."""
        if found is not None and found.get(name) is not None:
            return True
        return max(self._waiting[name], default=-1) >= frame_id

    def _keep(self, name: str) -> Callable[[Any], None]:
        """Return a callback that stores a measurement; nothing else runs there."""

        def callback(measurement: Any) -> None:
            with self._changed:
                items = self._waiting[name]
                items[measurement.frame] = measurement
                while len(items) > CAPACITY:
                    del items[min(items)]
                self._late.discard(name)
                self._changed.notify_all()

        return callback

    def _keep_event(self, kind: str) -> Callable[[Any], None]:
        def callback(event: Any) -> None:
            with self._changed:
                self._events[kind].append(event)

        return callback


def _spawned(session: CarlaSession, ego: Any, sensor: RigSensor, step_s: float | None) -> Any:
    library = session.world.get_blueprint_library()
    kind = SENSOR_KINDS[sensor.kind]
    known = {blueprint.id for blueprint in library.filter("sensor.*")}
    if kind.blueprint not in known:
        names = [name for name, one in SENSOR_KINDS.items() if one.blueprint in known]
        raise SensorMismatch(
            f"expected a server with {kind.blueprint} for {sensor.name}, got one that has "
            f"{', '.join(names) or 'none of our sensors'}: leave the others out"
        )
    blueprint = library.find(kind.blueprint)
    attributes = {name: str(value) for name, value in sensor.attributes.items()}
    if sensor.kind.endswith("lidar") and step_s is not None:
        attributes.setdefault("rotation_frequency", str(1.0 / step_s))
    attributes["role_name"] = this_process().role_name
    for name, value in attributes.items():
        if blueprint.has_attribute(name):
            blueprint.set_attribute(name, value)
        elif name != "role_name":
            others = (one.id for one in blueprint if one.id not in ("role_name", "sensor_tick"))
            raise SensorMismatch(
                f"expected attributes of {kind.blueprint} for {sensor.name}, which are "
                f"{', '.join(sorted(others))}, got {name}: correct it in the rig"
            )
    place = sensor.place
    assert place is not None  # filled in by RigSensor
    carla = session.carla
    transform = carla.Transform(
        carla.Location(place.x, place.y, place.z),
        carla.Rotation(place.pitch_deg, place.yaw_deg, place.roll_deg),
    )
    return session.spawn(blueprint, transform, ego)


def _info(sensor: RigSensor, actor: Any) -> SensorInfo:
    place = sensor.place
    assert place is not None
    unreal = unreal_matrix(place[:3], place[3:])
    pose = UNREAL_FROM_BODY @ unreal @ UNREAL_FROM_BODY
    return SensorInfo(
        kind=sensor.kind,
        type=actor.type_id,
        attributes={name: value for name, value in actor.attributes.items() if name != "role_name"},
        sensor_to_ego=tuple(map(tuple, pose.tolist())),
    )
