"""Rotations as unit quaternions (w, x, y, z), as nuScenes and Foxglove write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Quaternion = tuple[float, float, float, float]


def to_quaternion(rotation: NDArray[np.float64]) -> Quaternion:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation matrix (3, 3) or (4, 4).

    The largest component is computed first, so that nothing is divided by a small number
    (S. W. Shepperd, "Quaternion from rotation matrix", 1978).
    """
    r = np.asarray(rotation, np.float64)
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    # four times the outer product of the quaternion with itself
    products = np.array(
        [
            [1 + trace, r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [0, 1 + 2 * r[0, 0] - trace, r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [0, 0, 1 + 2 * r[1, 1] - trace, r[1, 2] + r[2, 1]],
            [0, 0, 0, 1 + 2 * r[2, 2] - trace],
        ]
    )
    products += np.triu(products, 1).T
    row = products[int(np.argmax(np.diagonal(products)))]
    unit = row / np.linalg.norm(row)
    w, x, y, z = (unit if unit[0] >= 0 else -unit).tolist()
    return w, x, y, z
