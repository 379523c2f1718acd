"""Gradients of a picture along the outlines of objects, and beside them.

Legend: H height, W width, M outline pixels, D displacements across the outline.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.regions import SIDES, Outline

REACH_PX = 6  # largest displacement from an outline, inwards and outwards
DISPLACEMENTS = np.arange(-REACH_PX, REACH_PX + 1)  # positive: outwards


def gradients(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the change of the strongest channel to the right and to the lower pixel, (H, W) each.

    The last column and row are 0. Three changes are averaged along the edge.
    """
    planes = cv2.split(picture)
    right, below = np.zeros((2, *picture.shape[:2]), np.uint8)
    if right[:, :-1].size:
        changes = [cv2.absdiff(plane[:, 1:], plane[:, :-1]) for plane in planes]
        right[:, :-1] = cv2.blur(functools.reduce(cv2.max, changes), (1, 3))
    if below[:-1].size:
        changes = [cv2.absdiff(plane[1:], plane[:-1]) for plane in planes]
        below[:-1] = cv2.blur(functools.reduce(cv2.max, changes), (3, 1))
    return right, below


def profiles(
    changes: tuple[NDArray[np.uint8], NDArray[np.uint8]],  # of `gradients`
    outline: Outline,
) -> NDArray[np.uint8]:  # (M, D)
    """Return the gradient across the outline at each displacement; 0 is the outline itself."""
    height, width = changes[0].shape
    down, across = np.array(SIDES)[outline.sides].T
    # a gradient is stored at the left or upper one of its two pixels
    rows = (outline.rows + np.minimum(down, 0))[:, None] + down[:, None] * DISPLACEMENTS
    columns = (outline.columns + np.minimum(across, 0))[:, None] + across[:, None] * DISPLACEMENTS
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    flat = rows * width + columns
    horizontal = (across != 0)[:, None]
    values = np.where(horizontal, changes[0].ravel()[flat], changes[1].ravel()[flat])
    return np.asarray(values, np.uint8)


def mean_profiles(
    values: NDArray[np.uint8],  # (M, D)
    groups: NDArray[np.integer],  # (M,)
    count: int,
) -> NDArray[np.float64]:  # (count, D)
    """Return the mean profile of each group of outline pixels, NaN for groups without pixels."""
    size = values.shape[1]
    places = groups[:, None] * size + np.arange(size)
    total = np.bincount(places.ravel(), values.ravel(), minlength=count * size)
    members = np.bincount(groups, minlength=count)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total.reshape(count, size) / members[:, None]
    mean[members == 0] = np.nan
    return mean
