"""Poses in CARLA's convention: left-handed, metres, degrees, pitch-yaw-roll.

`matrix` gives exactly what `carla.Transform.get_matrix()` gives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
ZERO: Vector = (0.0, 0.0, 0.0)


class Pose(NamedTuple):
    """Where a thing stands and how it is turned: metres and degrees."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0

    @property
    def location(self) -> Vector:
        """Metres."""
        return (self.x, self.y, self.z)


def matrix(pose: Pose) -> NDArray[np.float64]:
    """Return the (4, 4) float64 matrix that takes points of the pose's own axes to the world."""
    cy, sy = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    cp, sp = math.cos(math.radians(pose.pitch)), math.sin(math.radians(pose.pitch))
    cr, sr = math.cos(math.radians(pose.roll)), math.sin(math.radians(pose.roll))
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr, pose.x],
            [cp * sy, sy * sp * sr + cy * cr, cy * sr - sy * sp * cr, pose.y],
            [sp, -cp * sr, cp * cr, pose.z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def pose_of(m: NDArray[np.float64]) -> Pose:
    """Return the pose whose `matrix` is the (4, 4) rigid matrix `m`."""
    return Pose(
        float(m[0, 3]),
        float(m[1, 3]),
        float(m[2, 3]),
        math.degrees(math.asin(max(-1.0, min(1.0, float(m[2, 0]))))),
        math.degrees(math.atan2(m[1, 0], m[0, 0])),
        math.degrees(math.atan2(-m[2, 1], m[2, 2])),
    )


def compose(parent: Pose, child: Pose) -> Pose:
    """Return the world pose of something mounted on `parent` at the relative pose `child`."""
    return pose_of(matrix(parent) @ matrix(child))


def forward(yaw_deg: float) -> tuple[float, float]:
    """Return the horizontal unit vector that a yaw looks along."""
    return math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))


def wrap_deg(angle: float) -> float:
    """Return the angle in -180..180 degrees."""
    return (angle + 180.0) % 360.0 - 180.0
