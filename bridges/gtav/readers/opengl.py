"""OpenGL's camera matrices, which the game's harnesses write, as ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera looks along -z, with y up


def from_view_matrix(view: Matrix) -> Matrix:
    """Return our (4, 4) camera-to-world of a (4, 4) view matrix: world to OpenGL's camera axes."""
    inverse = np.eye(4)
    inverse[:3, :3] = view[:3, :3].T
    inverse[:3, 3] = -view[:3, :3].T @ view[:3, 3]
    return inverse @ FLIP


def intrinsics_of(projection: Matrix, width: int, height: int) -> Matrix:
    """Return K, (3, 3) pixels, of a (4, 4) projection with its axis in the picture's middle."""
    across, down = projection[0, 0] * width / 2, projection[1, 1] * height / 2
    return np.array([[across, 0, width / 2], [0, down, height / 2], [0, 0, 1]])


def near_of(projection: Matrix) -> float:
    """Return the distance of a reverse-Z projection's near plane, where its depth is 1."""
    return float(projection[2, 3] / (1 + projection[2, 2]))
