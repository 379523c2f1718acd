"""The pinhole camera and upright boxes, in our axes; see docs/conventions.md."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def focal_length(extent_px: float, fov_deg: float) -> float:
    """Return the focal length, pixels, at which `extent_px` pixels cover `fov_deg` degrees."""
    return extent_px / (2.0 * math.tan(math.radians(fov_deg) / 2.0))


def field_of_view_deg(extent_px: float, focal_px: float) -> float:
    """Return how many degrees `extent_px` pixels cover; the inverse of `focal_length`."""
    return math.degrees(2.0 * math.atan(extent_px / (2.0 * focal_px)))


def intrinsics(width: int, height: int, focal_px: float) -> Matrix:
    """Return K, (3, 3) pixels, of square pixels with the principal point in the middle.

    Pixel (column 0, row 0) covers [0, 1) x [0, 1), so the principal point is
    (width / 2, height / 2) and a pixel's centre is its index + 0.5.
    """
    return np.array([[focal_px, 0.0, width / 2.0], [0.0, focal_px, height / 2.0], [0.0, 0.0, 1.0]])


def pinhole(width: int, height: int, fov_deg: float) -> Matrix:
    """Return K, (3, 3) pixels, of a horizontal field of view."""
    return intrinsics(width, height, focal_length(width, fov_deg))


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


def skew_of(
    axes: NDArray[np.float64],  # (..., 3, 3)
) -> NDArray[np.float64]:  # (...)
    """Return how far axes are from a rotation: the largest entry of A A^T - 1, inf if mirrored.

    Any numbers are taken; those that no rotation has count as 2, so that none overflows.
    """
    bounded = np.clip(np.nan_to_num(axes, nan=2.0), -2.0, 2.0)
    skew = np.abs(bounded @ np.swapaxes(bounded, -1, -2) - np.eye(3)).max((-2, -1))
    return np.where(np.linalg.det(bounded) < 0, np.inf, skew)
