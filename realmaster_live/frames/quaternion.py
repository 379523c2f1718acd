"""Rotations as unit quaternions (w, x, y, z), as nuScenes and Foxglove write them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Quaternion = tuple[float, float, float, float]


def to_quaternion(rotation: NDArray[np.float64]) -> Quaternion:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation matrix (3, 3) or (4, 4).

    The largest component is computed first, so that nothing is divided by a small number
    (S. W. Shepperd, "Quaternion from rotation matrix", 1978).
    """
    rows = np.asarray(rotation, np.float64)[:3, :3].tolist()
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows  # plain numbers: a third of numpy's time
    trace = xx + yy + zz
    wx, wy, wz = zy - yz, xz - zx, yx - xy
    symmetric_xy, symmetric_xz, symmetric_yz = xy + yx, xz + zx, yz + zy
    # four times the outer product of the quaternion with itself
    products = (
        (1 + trace, wx, wy, wz),
        (wx, 1 + 2 * xx - trace, symmetric_xy, symmetric_xz),
        (wy, symmetric_xy, 1 + 2 * yy - trace, symmetric_yz),
        (wz, symmetric_xz, symmetric_yz, 1 + 2 * zz - trace),
    )
    largest = max(range(4), key=lambda index: products[index][index])
    w, x, y, z = products[largest]
    norm = math.copysign(math.hypot(w, x, y, z), w)
    return w / norm, x / norm, y / norm, z / norm
