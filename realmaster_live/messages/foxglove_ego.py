"""What the vehicle did and measured, in Foxglove's messages, and in JSON where it has none.

A sweep's frame of reference has the sensor's name: x forward, y to the left, z up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState, Sweep
from realmaster_live.messages.foxglove import WORLD, messages, stamp, transform

VECTOR = {
    "type": "object",
    "properties": {axis: {"type": "number"} for axis in "xyz"},
}
_NUMBERS = ("throttle", "brake", "steer", "gear")
_SWITCHES = ("hand_brake", "reverse", "manual_gear", "autopilot")
JSON_SCHEMAS: dict[str, dict[str, Any]] = {
    "/ego/state": {
        "type": "object",
        "title": "realmaster.EgoState",
        "properties": {
            "frame_id": {"type": "integer"},
            "speed": {"type": "number"},
            **dict.fromkeys(("velocity", "acceleration", "angular_velocity"), VECTOR),
            **{name: {"type": ["number", "null"]} for name in _NUMBERS},
            **{name: {"type": ["boolean", "null"]} for name in _SWITCHES},
            "missing": {"type": "array", "items": {"type": "string"}},
        },
    },
    "/ego/imu": {
        "type": "object",
        "title": "realmaster.Imu",
        "properties": {
            "frame_id": {"type": "integer"},
            "linear_acceleration": VECTOR,
            "angular_velocity": VECTOR,
            "compass": {"type": "number"},
        },
    },
    "/ego/events": {
        "type": "object",
        "title": "realmaster.EgoEvent",
        "properties": {
            "frame_id": {"type": "integer"},
            "kind": {"type": "string"},
            "other_id": {"type": "integer"},
            "other_type": {"type": "string"},
            "impulse": VECTOR,
            "markings": {"type": "array", "items": {"type": "string"}},
        },
    },
}


def state(ego: EgoState) -> dict[str, Any]:
    """Return a state in the schema of /ego/state."""
    control = ego.control
    return {
        "frame_id": ego.frame_id,
        "speed": ego.speed,
        "velocity": _vector(ego.velocity),
        "acceleration": _vector(ego.acceleration),
        "angular_velocity": _vector(ego.angular_velocity),
        **{name: getattr(control, name, None) for name in (*_NUMBERS, *_SWITCHES)},
        "missing": list(ego.missing),
    }


def imu(ego: EgoState) -> dict[str, Any]:
    """Return the inertial reading in the schema of /ego/imu, in the sensor's axes."""
    assert ego.imu is not None
    return {
        "frame_id": ego.frame_id,
        "linear_acceleration": _vector(ego.imu.acceleration),
        "angular_velocity": _vector(ego.imu.angular_velocity),
        "compass": ego.imu.compass,
    }


def events(ego: EgoState) -> Iterator[dict[str, Any]]:
    """Yield the events in the schema of /ego/events."""
    for hit in ego.collisions:
        yield {
            "frame_id": hit.frame_id,
            "kind": "collision",
            "other_id": hit.other_id,
            "other_type": hit.other_type,
            "impulse": _vector(hit.impulse),
        }
    for one in ego.lane_invasions:
        markings = list(one.markings)
        yield {"frame_id": one.frame_id, "kind": "lane_invasion", "markings": markings}


def location(frame: Frame, ego: EgoState) -> Any:
    """Return the position as a LocationFix; its covariance is unknown."""
    assert ego.gnss is not None
    schemas = messages()
    return schemas.LocationFix(
        timestamp=stamp(frame),
        frame_id="gnss",
        latitude=ego.gnss.latitude,
        longitude=ego.gnss.longitude,
        altitude=ego.gnss.altitude,
        position_covariance_type=schemas.LocationFixPositionCovarianceType.Unknown,
    )


def place(frame: Frame, name: str, sweep: Sweep) -> Any:
    """Return FrameTransforms from map to the sensor."""
    return messages().FrameTransforms(
        transforms=[transform(frame, WORLD, name, sweep.sensor_to_world)]
    )


def cloud(frame: Frame, name: str, sweep: Sweep) -> Any:
    """Return a sweep as a PointCloud with all values of its points."""
    schemas = messages()
    columns = {axis: sweep.points[:, n] for n, axis in enumerate("xyz")} | dict(sweep.values)
    columns = {key: _packable(column) for key, column in columns.items()}
    layout = np.dtype([(key, column.dtype) for key, column in columns.items()])
    packed = np.empty(len(sweep), layout)
    for key, column in columns.items():
        packed[key] = column
    kinds = schemas.PackedElementFieldNumericType
    assert layout.fields is not None
    return schemas.PointCloud(
        timestamp=stamp(frame),
        frame_id=name,
        point_stride=layout.itemsize,
        fields=[
            schemas.PackedElementField(
                name=key,
                offset=layout.fields[key][1],
                type=getattr(kinds, column.dtype.name.title()),
            )
            for key, column in columns.items()
        ],
        data=packed.tobytes(),
    )


def _packable(column: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of a type that Foxglove's clouds have: none has 64 bits but float64."""
    return column.astype(np.uint32) if column.dtype == np.int64 else column


def _vector(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", values, strict=True)}
