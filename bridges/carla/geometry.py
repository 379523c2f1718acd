"""CARLA's axes and camera model, converted to ours; see docs/conventions.md.

CARLA (Unreal) is left-handed: x forward, y right, z up, metres, with pitch, yaw, roll in degrees.
Ours is right-handed. World: x as CARLA's, y the negative of CARLA's, z up. Camera: x right,
y down, z forward. Body of a vehicle: x forward, y left, z up. Only this module flips axes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

# Ours from CARLA's: mirror the world's y axis. It is its own inverse.
WORLD_FROM_UNREAL: Matrix = np.diag([1.0, -1.0, 1.0, 1.0])
# Unreal's body axes (forward, right, up) from ours (forward, left, up); its own inverse too.
UNREAL_FROM_BODY: Matrix = WORLD_FROM_UNREAL
# Unreal's camera axes (forward, right, up) from ours (right, down, forward), as columns.
UNREAL_FROM_CAMERA: Matrix = np.array(
    [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def unreal_matrix(location: ArrayLike, rotation_deg: ArrayLike) -> Matrix:
    """Return the (4, 4) matrix of a CARLA transform, still in CARLA's axes.

    Args:
        location: (3,) metres, x, y, z.
        rotation_deg: (3,) pitch, yaw, roll.

    Equals `carla.Transform.get_matrix()`, in float64.
    """
    pitch, yaw, roll = np.radians(np.asarray(rotation_deg, np.float64))
    cp, sp, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    cr, sr = np.cos(roll), np.sin(roll)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
        [cp * sy, sy * sp * sr + cy * cr, cy * sr - sy * sp * cr],
        [sp, -cp * sr, cp * cr],
    ]
    matrix[:3, 3] = np.asarray(location, np.float64)
    return matrix


def unreal_pose(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Return location (3,) metres and pitch, yaw, roll (3,) degrees of a CARLA matrix."""
    pitch = math.asin(min(1.0, max(-1.0, matrix[2, 0])))
    yaw = math.atan2(matrix[1, 0], matrix[0, 0])
    roll = math.atan2(-matrix[2, 1], matrix[2, 2])
    return matrix[:3, 3].copy(), np.degrees([pitch, yaw, roll])


def relative_matrix(parent: ArrayLike, child: ArrayLike) -> Matrix:
    """Return the (4, 4) CARLA matrix of `child` as seen from `parent`, both given in the world."""
    return np.linalg.inv(np.asarray(parent, np.float64)) @ np.asarray(child, np.float64)


def cam_to_world(unreal: ArrayLike) -> Matrix:
    """Return our (4, 4) camera-to-world of a camera whose CARLA matrix is `unreal`."""
    return WORLD_FROM_UNREAL @ np.asarray(unreal, np.float64) @ UNREAL_FROM_CAMERA


def body_to_world(unreal: ArrayLike) -> Matrix:
    """Return our (..., 4, 4) body-to-world of vehicles or boxes whose CARLA matrices are `unreal`.

    A body's own axes are CARLA's with y to the left.
    """
    return WORLD_FROM_UNREAL @ np.asarray(unreal, np.float64) @ UNREAL_FROM_BODY


def world_points(unreal_points: ArrayLike) -> NDArray[np.float64]:
    """Return (N, 3) points of CARLA's world in ours."""
    return np.asarray(unreal_points, np.float64) * np.diag(WORLD_FROM_UNREAL)[:3]
