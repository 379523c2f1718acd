"""nuScenes' CAN bus expansion: what the vehicle did, a JSON file a scene and kind of message.

    can_bus/scene-2000_pose.json              where it was and how it moved, in its own axes
    can_bus/scene-2000_ms_imu.json            the inertial sensor, where there is one
    can_bus/scene-2000_vehicle_monitor.json   pedals, speed and yaw rate, where controls are known
    can_bus/scene-2000_control.json           the controls as the simulator has them
    can_bus/scene-2000_meta.json              how many messages there are

Accelerations include gravity, as nuScenes' do. The angle of a steering wheel is not known, so that
there is no `steeranglefeedback`: `control` has `steer` from -1 (left) to 1 (right).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.quaternion import to_quaternion

GRAVITY = (0.0, 0.0, 9.81)
FIRST_SCENE = 2000  # nuScenes' own end at 1110, and its reader refuses some of them
MOST_BRAKE, MOST_THROTTLE = 126, 1000
FORWARD, REVERSE = 7, 1  # gear positions; the data set's own are 0 and 7


def scene_name(number: int) -> str:
    """Return the name of the n-th scene, in the only form that the devkit's CAN bus takes."""
    return f"scene-{FIRST_SCENE + number:04d}"


class CanBus:
    """Collects the messages of one scene."""

    def __init__(self) -> None:
        self._messages: dict[str, list[dict[str, Any]]] = {}

    def add(self, ego: EgoState, ego_to_world: NDArray[np.float64], utime: int) -> None:
        """Add the messages of a tick; `ego_to_world` (4, 4), `utime` microseconds."""
        turn = ego_to_world[:3, :3]
        turning = turn.T @ ego.angular_velocity
        orientation = list(to_quaternion(ego_to_world))
        self._add(
            "pose",
            utime,
            accel=(turn.T @ (ego.acceleration + GRAVITY)).tolist(),
            orientation=orientation,
            pos=ego_to_world[:3, 3].tolist(),
            rotation_rate=turning.tolist(),
            vel=(turn.T @ ego.velocity).tolist(),
        )
        if ego.imu is not None:
            self._add(
                "ms_imu",
                utime,
                linear_accel=ego.imu.acceleration.tolist(),
                q=orientation,
                rotation_rate=ego.imu.angular_velocity.tolist(),
            )
        control = ego.control
        if control is None:
            return
        self._add(
            "vehicle_monitor",
            utime,
            brake=round(control.brake * MOST_BRAKE),
            brake_switch=1 if control.brake == 0 else 2 if control.brake < 0.5 else 3,
            gear_position=REVERSE if control.reverse else FORWARD,
            throttle=round(control.throttle * MOST_THROTTLE),
            vehicle_speed=ego.speed * 3.6,
            yaw_rate=float(np.degrees(turning[2])),
        )
        self._add(
            "control",
            utime,
            throttle=control.throttle,
            brake=control.brake,
            steer=control.steer,
            hand_brake=control.hand_brake,
            reverse=control.reverse,
            gear=control.gear,
        )

    def files(self, scene: str) -> Iterator[tuple[str, bytes]]:
        """Yield (path, content) of a scene's files; none where nothing was added."""
        for kind, messages in self._messages.items():
            yield f"can_bus/{scene}_{kind}.json", json.dumps(messages).encode()
        if self._messages:
            counts = {kind: _facts(messages) for kind, messages in self._messages.items()}
            yield f"can_bus/{scene}_meta.json", json.dumps(counts).encode()

    def _add(self, kind: str, utime: int, **values: Any) -> None:
        self._messages.setdefault(kind, []).append({**values, "utime": utime})


def _facts(messages: list[dict[str, Any]]) -> dict[str, float]:
    span_s = (messages[-1]["utime"] - messages[0]["utime"]) / 1e6
    frequency = (len(messages) - 1) / span_s if span_s else 0.0
    return {"message_count": len(messages), "message_freq": frequency, "timespan": span_s}
