"""The pinhole camera and upright boxes, in our axes; see docs/conventions.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def project(
    points: NDArray[np.float64],  # (N, 3) in our world, metres
    pose: Matrix,  # (4, 4) camera-to-world
    camera: Matrix,  # (3, 3) pixels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 2) pixel positions and (N,) depths along the optical axis, metres.

    A point behind the camera has a negative depth and no meaningful position.
    """
    inside = (np.asarray(points, np.float64) - pose[:3, 3]) @ pose[:3, :3]
    image = inside @ camera.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return image[:, :2] / image[:, 2:], inside[:, 2]


def box_corners(size: NDArray[np.float64], object_to_world: Matrix) -> NDArray[np.float64]:
    """Return the (8, 3) corners in the world of a box of full `size` (3,), metres.

    Bit 2, 1, 0 of a corner's number says whether it lies at +x, +y, +z of the box's own axes.
    """
    signs = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]) - 0.5
    return (signs * size) @ object_to_world[:3, :3].T + object_to_world[:3, 3]
