"""A vehicle's physics as CARLA's VehiclePhysicsControl."""

from __future__ import annotations

from typing import Any

from realmaster_live.minitown.models.bodies import Body
from realmaster_live.minitown.traffic.vehicle import MAX_STEER_DEG

CENTIMETRES = 100.0
BRAKE_TORQUE, HAND_BRAKE_TORQUE = 1500.0, 3000.0


def physics_control(body: Body) -> list[Any]:
    """Return the wire's array; torque and gears are typical, the rest is what the town uses."""
    wheels = [_wheel(body, front=number < body.wheels // 2) for number in range(body.wheels)]
    torque_curve = [[0.0, 400.0], [1890.0, 500.0], [5729.0, 400.0]]
    gears = [[4.0, 0.5, 0.65], [2.0, 0.5, 0.65], [1.5, 0.5, 0.65], [1.1, 0.5, 0.65]]
    return [
        torque_curve,
        5729.0,  # rpm
        1.0,  # moment of inertia
        0.15,  # damping at full throttle
        2.0,  # damping without throttle, clutch engaged
        0.35,  # and disengaged
        True,  # automatic gearbox
        0.5,  # seconds of a gear change
        10.0,  # clutch strength
        4.0,  # final ratio
        gears,
        body.mass,
        0.3,  # drag coefficient
        [0.0, 0.0, 0.0],
        [[0.0, 1.0], [120.0, 0.5]],
        wheels,
        True,  # swept wheel collision
    ]


def _wheel(body: Body, *, front: bool) -> list[Any]:
    along = body.wheelbase / 2 if front else -body.wheelbase / 2
    return [
        3.5,  # friction
        0.25,  # damping
        MAX_STEER_DEG if front else 0.0,
        body.wheel_radius * CENTIMETRES,
        BRAKE_TORQUE,
        0.0 if front else HAND_BRAKE_TORQUE,
        3.0,
        17.0,
        1000.0,
        [along * CENTIMETRES, 0.0, body.wheel_radius * CENTIMETRES],
    ]
