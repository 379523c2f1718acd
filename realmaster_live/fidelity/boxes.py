"""Scores objects' size and position: their boxes in the realized picture against the labels'.

Legend: R objects, S the four sides of SIDES, D displacements across the outline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.profiles import DISPLACEMENTS, REACH_PX

WINDOW_PX = 3  # half width of the part of the rendered profile that is searched for
LAGS = np.arange(WINDOW_PX - REACH_PX, REACH_PX - WINDOW_PX + 1)  # outwards
MIN_CORRELATION = 0.5  # correlation from which a side counts as found
MIN_SIDE_LEVELS = 1.5  # standard deviation below which a profile shows no side


def side_shifts(
    rendered: NDArray[np.float64],  # (N, D), profiles of sides
    realized: NDArray[np.float64],  # (N, D)
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return each side's shift outwards in pixels, whether it was found, and is in the render.

    The shift is the lag of the largest normalized correlation of the two profiles.
    """
    middle = np.abs(DISPLACEMENTS) <= WINDOW_PX
    template = rendered[:, middle]
    template = template - template.mean(1, keepdims=True)
    size = np.sqrt(np.square(template).mean(1))
    correlation = np.empty((len(LAGS), len(rendered)))
    for index, lag in enumerate(LAGS):
        part = realized[:, np.abs(DISPLACEMENTS - lag) <= WINDOW_PX]
        part = part - part.mean(1, keepdims=True)
        norm = size * np.sqrt(np.square(part).mean(1) + 1.0)  # a level of noise counts as no edge
        correlation[index] = (template * part).mean(1) / np.maximum(norm, 1e-9)
    # for equal correlations, the smaller lag
    best = np.argmax(correlation - 1e-3 * np.abs(LAGS)[:, None], 0)
    found = correlation[best, np.arange(len(rendered))] >= MIN_CORRELATION
    return LAGS[best], found, size >= MIN_SIDE_LEVELS


def box_scores(
    rendered: NDArray[np.float64],  # (R, S, D), mean profiles, NaN for a side without pixels
    realized: NDArray[np.float64],  # (R, S, D)
    pixels: NDArray[np.int64],  # (R, S), of each side's outline
    boxes: NDArray[np.float64],  # (R, 4), left, top, right, bottom of the masks
) -> NDArray[np.float64]:  # (R,)
    """Return the IoU of each object's box in the realized picture with its mask's box.

    It is multiplied by the share of the outline whose sides were found. It is NaN for objects
    without edges in the render.
    """
    shape = pixels.shape
    flat = [np.nan_to_num(side.reshape(-1, side.shape[-1])) for side in (rendered, realized)]
    shift, found, shown = (part.reshape(shape) for part in side_shifts(*flat))
    counted = pixels * shown
    total = counted.sum(1)
    moved = np.where(found & shown & (pixels > 0), shift, 0)
    left, right, top, bottom = moved.T  # the order of SIDES
    moved_boxes = boxes + np.stack([-left, -top, right, bottom], 1)
    low = np.maximum(boxes[:, :2], moved_boxes[:, :2])
    high = np.minimum(boxes[:, 2:], moved_boxes[:, 2:])
    overlap = _area(np.concatenate([low, high], 1))
    iou = overlap / np.maximum(_area(boxes) + _area(moved_boxes) - overlap, 1e-9)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, iou * (counted * found).sum(1) / total, np.nan)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float64)
