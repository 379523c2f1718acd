"""The tables of what the vehicle did and measured; only recordings that have it have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realmaster_live.optional import require

pa = require("pyarrow", extra="live")

_VECTOR = pa.list_(pa.float64(), 3)
_TICK = [
    ("frame_id", pa.int64()),  # the simulator's frame number
    ("timestamp", pa.float64()),  # simulation clock, seconds
]
EGO_SCHEMAS: Mapping[str, Any] = {
    # one row a tick, whatever the number of cameras
    "ego": pa.schema(
        [
            *_TICK,
            ("velocity", _VECTOR),  # m/s, in the world
            ("acceleration", _VECTOR),  # m/s^2, in the world
            ("angular_velocity", _VECTOR),  # rad/s, in the world
            ("speed", pa.float64()),  # m/s
            ("throttle", pa.float64()),  # none, like all controls, where they are not known
            ("brake", pa.float64()),
            ("steer", pa.float64()),  # -1 left to 1 right
            ("hand_brake", pa.bool_()),
            ("reverse", pa.bool_()),
            ("gear", pa.int32()),
            ("manual_gear", pa.bool_()),
            ("autopilot", pa.bool_()),  # none where the simulator does not tell
            ("imu_acceleration", _VECTOR),  # m/s^2 with gravity, in the sensor's axes
            ("imu_angular_velocity", _VECTOR),  # rad/s, in the sensor's axes
            ("imu_compass", pa.float64()),  # radians clockwise from north
            ("latitude", pa.float64()),  # degrees
            ("longitude", pa.float64()),
            ("altitude", pa.float64()),  # metres
            ("missing", pa.list_(pa.string())),  # sensors that did not deliver
            ("weather", pa.map_(pa.string(), pa.float64())),  # the simulator's own parameters
        ]
    ),
    # one row a collision and a crossing of lines
    "events": pa.schema(
        [
            ("frame_id", pa.int64()),  # of the event itself
            ("kind", pa.string()),  # "collision" or "lane_invasion"
            ("other_id", pa.int64()),
            ("other_type", pa.string()),
            ("impulse", _VECTOR),  # N s, in the world
            ("markings", pa.list_(pa.string())),
        ]
    ),
}
