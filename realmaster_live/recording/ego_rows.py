"""What the vehicle did and measured, as rows of the tables, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.ego import Collision, Control, EgoState, Gnss, Imu, LaneInvasion
from realmaster_live.recording.ego_schemas import EGO_SCHEMAS, pa

CONTROLS = (
    "throttle", "brake", "steer", "hand_brake", "reverse", "gear", "manual_gear", "autopilot",
)  # fmt: skip


def ego_rows(states: Sequence[EgoState], weathers: Sequence[object]) -> Any:
    """Return one row a state as a record batch; `weathers` has the weather of each, if known."""
    rows = []
    for state, weather in zip(states, weathers, strict=True):
        control, imu, gnss = state.control, state.imu, state.gnss
        row: dict[str, Any] = {
            "frame_id": state.frame_id,
            "timestamp": state.timestamp,
            "velocity": state.velocity.tolist(),
            "acceleration": state.acceleration.tolist(),
            "angular_velocity": state.angular_velocity.tolist(),
            "speed": state.speed,
            "missing": list(state.missing),
            "weather": list(weather.items()) if isinstance(weather, Mapping) else None,
        }
        if control is not None:
            row |= {name: getattr(control, name) for name in CONTROLS}
        if imu is not None:
            row["imu_acceleration"] = imu.acceleration.tolist()
            row["imu_angular_velocity"] = imu.angular_velocity.tolist()
            row["imu_compass"] = imu.compass
        if gnss is not None:
            row |= {name: getattr(gnss, name) for name in ("latitude", "longitude", "altitude")}
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, EGO_SCHEMAS["ego"])


def event_rows(states: Sequence[EgoState]) -> Any | None:
    """Return one row an event as a record batch; None for no event."""
    rows: list[dict[str, Any]] = []
    for state in states:
        rows += [
            {
                "frame_id": hit.frame_id,
                "kind": "collision",
                "other_id": hit.other_id,
                "other_type": hit.other_type,
                "impulse": hit.impulse.tolist(),
            }
            for hit in state.collisions
        ]
        rows += [
            {"frame_id": one.frame_id, "kind": "lane_invasion", "markings": list(one.markings)}
            for one in state.lane_invasions
        ]
    return pa.RecordBatch.from_pylist(rows, EGO_SCHEMAS["events"]) if rows else None


def read_states(ego: Any, events: Any) -> dict[int, EgoState]:
    """Return frame id -> state without sweeps, from the two tables.

    An event belongs to the state of its own frame, or where that is missing to the next one.
    """
    rows = ego.drop_columns(["weather"]).to_pylist()
    numbers = np.array([row["frame_id"] for row in rows], np.int64)
    collisions: dict[int, list[Collision]] = {}
    invasions: dict[int, list[LaneInvasion]] = {}
    for event in read_events(events):
        place = int(np.searchsorted(numbers, event.frame_id)) if len(numbers) else 0
        if place == len(numbers):
            continue
        number = int(numbers[place])
        if isinstance(event, Collision):
            collisions.setdefault(number, []).append(event)
        else:
            invasions.setdefault(number, []).append(event)
    return {
        row["frame_id"]: EgoState(
            frame_id=row["frame_id"],
            timestamp=row["timestamp"],
            velocity=_vector(row["velocity"]),
            acceleration=_vector(row["acceleration"]),
            angular_velocity=_vector(row["angular_velocity"]),
            control=_control(row),
            imu=_imu(row),
            gnss=_gnss(row),
            collisions=tuple(collisions.get(row["frame_id"], ())),
            lane_invasions=tuple(invasions.get(row["frame_id"], ())),
            missing=tuple(row["missing"] or ()),
        )
        for row in rows
    }


def read_events(events: Any) -> list[Collision | LaneInvasion]:
    """Return the events of a table, in the order in which they came."""
    return [
        Collision(
            frame_id=row["frame_id"],
            other_id=row["other_id"] or 0,
            other_type=row["other_type"] or "",
            impulse=_vector(row["impulse"]),
        )
        if row["kind"] == "collision"
        else LaneInvasion(frame_id=row["frame_id"], markings=tuple(row["markings"] or ()))
        for row in events.to_pylist()
    ]


def read_weathers(ego: Any) -> dict[int, dict[str, float]]:
    """Return frame id -> the weather's parameters, of the frames that have some."""
    columns = zip(ego["frame_id"].to_pylist(), ego["weather"].to_pylist(), strict=True)
    return {number: dict(values) for number, values in columns if values}


def _control(row: Mapping[str, Any]) -> Control | None:
    if row["throttle"] is None:
        return None
    return Control(**{name: row[name] for name in CONTROLS})


def _imu(row: Mapping[str, Any]) -> Imu | None:
    if row["imu_acceleration"] is None or row["imu_angular_velocity"] is None:
        return None
    compass = row["imu_compass"]
    return Imu(
        acceleration=_vector(row["imu_acceleration"]),
        angular_velocity=_vector(row["imu_angular_velocity"]),
        compass=math.nan if compass is None else compass,
    )


def _gnss(row: Mapping[str, Any]) -> Gnss | None:
    if None in (row["latitude"], row["longitude"], row["altitude"]):
        return None
    return Gnss(latitude=row["latitude"], longitude=row["longitude"], altitude=row["altitude"])


def _vector(values: Sequence[float] | None) -> NDArray[np.float64]:
    return np.full(3, np.nan) if values is None else np.array(values, np.float64)
