"""How one driver handles the pedals and the wheel."""

from __future__ import annotations

import math

import numpy as np

from realmaster_live.minitown.traffic.sight import Path
from realmaster_live.minitown.traffic.vehicle import BRAKE_DECEL, ROLLING_DECEL, Vehicle
from realmaster_live.minitown.transforms import Pose

# The intelligent driver model (Treiber, Hennecke, Helbing 2000), its usual symbols and values.
ACCEL, COMFORT, HEADWAY_S, STANDSTILL_M = 1.8, 2.5, 1.2, 2.5
HARDEST = 7.0  # m/s^2
EASY = 1.5  # m/s^2 of braking for a bend
LOOK_M, LOOK_S = 2.5, 0.4  # a driver steers to a point so far ahead, in metres and in seconds


def wished_speed(path: Path) -> float:
    """Return the m/s from which every bend ahead can be taken with easy braking."""
    return float(np.sqrt(path.speed**2 + 2 * EASY * np.maximum(path.along, 0.0)).min())


def idm(speed: float, wish: float, gap: float, lead: float) -> float:
    """Return the acceleration in m/s^2 at `speed`, with `gap` metres to one going at `lead`."""
    free = 1.0 - (speed / max(wish, 0.5)) ** 4
    free = max(free, -COMFORT / ACCEL)
    if not math.isfinite(gap):
        return ACCEL * free
    closing = speed * (speed - lead) / (2.0 * math.sqrt(ACCEL * COMFORT))
    desired = STANDSTILL_M + max(0.0, speed * HEADWAY_S + closing)
    return max(-HARDEST, ACCEL * (min(free, 1.0) - (desired / max(gap, 0.1)) ** 2))


def pedals(accel: float, speed: float, strongest: float, top_speed: float) -> tuple[float, float]:
    """Return (throttle, brake) that give `accel` m/s^2; a standing car keeps its brake on."""
    if speed < 0.1 and accel <= 0.05:
        return 0.0, 0.5
    pull = strongest * max(0.05, 1.0 - abs(speed) / top_speed)
    throttle = (accel + ROLLING_DECEL) / (pull + ROLLING_DECEL)
    if throttle >= 0.0:
        return min(1.0, throttle), 0.0
    return 0.0, min(1.0, (-accel - ROLLING_DECEL) / BRAKE_DECEL)


def steer(vehicle: Vehicle, pose: Pose, path: Path) -> float:
    """Return the wheel, -1..1, that takes the vehicle's middle along the path.

    Pure pursuit (Coulter 1992) of the bicycle's middle: from the curvature 2 sin(a) / L to a
    point at the distance L, a seen from where the middle moves, follows the wheels' angle.
    """
    look = max(LOOK_M, LOOK_S * abs(vehicle.speed)) + 0.25 * vehicle.body.wheelbase
    dx = float(np.interp(look, path.along, path.points[:, 0])) - pose.x
    dy = float(np.interp(look, path.along, path.points[:, 1])) - pose.y
    slip = math.atan(0.5 * math.tan(vehicle.wheel_angle))
    turn = math.atan2(dy, dx) - math.radians(pose.yaw) - slip
    bend = 2.0 * math.sin(turn) / max(math.hypot(dx, dy), 0.5) * vehicle.body.wheelbase
    bend = max(-1.5, min(1.5, bend))
    angle = math.atan(bend / math.sqrt(1.0 - bend * bend / 4.0))
    return max(-1.0, min(1.0, angle / vehicle.full_lock))
