"""How strong a picture's gradient is along the outlines of things, and beside them.

Legend: H height, W width, M outline pixels, D displacements across the outline.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.regions import SIDES, Outline

REACH_PX = 6  # displacements that are looked at, inwards and outwards
DISPLACEMENTS = np.arange(-REACH_PX, REACH_PX + 1)  # positive: outwards


def steps(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return how much the strongest channel changes to the right and to the lower pixel, (H, W).

    The last column and row hold 0. Three pixels are averaged along the edge that is looked for.
    """
    answers = []
    for axis in (1, 0):
        smooth = cv2.blur(picture, (1, 3) if axis else (3, 1))
        step = np.zeros(picture.shape[:2], np.uint8)
        if axis:
            step[:, :-1] = _strongest(cv2.absdiff(smooth[:, 1:], smooth[:, :-1]))
        else:
            step[:-1] = _strongest(cv2.absdiff(smooth[1:], smooth[:-1]))
        answers.append(step)
    return answers[0], answers[1]


def _strongest(change: Any) -> NDArray[np.uint8]:
    red, green, blue = cv2.split(change)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def profiles(
    changes: tuple[NDArray[np.uint8], NDArray[np.uint8]],  # of `steps`
    outline: Outline,
) -> NDArray[np.uint8]:  # (M, D)
    """Return the change across the outline at displacements from it; 0 is the outline itself."""
    height, width = changes[0].shape
    down, across = np.array(SIDES)[outline.sides].T
    # a step belongs to the left or upper of its two pixels
    rows = (outline.rows + np.minimum(down, 0))[:, None] + down[:, None] * DISPLACEMENTS
    columns = (outline.columns + np.minimum(across, 0))[:, None] + across[:, None] * DISPLACEMENTS
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    flat = rows * width + columns
    sideways = (across != 0)[:, None]
    values = np.where(sideways, changes[0].ravel()[flat], changes[1].ravel()[flat])
    return np.asarray(values, np.uint8)


def mean_profiles(
    values: NDArray[np.uint8],  # (M, D)
    groups: NDArray[np.integer],  # (M,)
    count: int,
) -> NDArray[np.float64]:  # (count, D)
    """Return the mean profile of each group of outline pixels, NaN for one without pixels."""
    size = values.shape[1]
    places = groups[:, None] * size + np.arange(size)
    total = np.bincount(places.ravel(), values.ravel(), minlength=count * size)
    members = np.bincount(groups, minlength=count)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total.reshape(count, size) / members[:, None]
    mean[members == 0] = np.nan
    return mean
