"""Scores contours against the labels' borders, for the whole picture and for every object.

Legend: H height, W width, R objects, M outline pixels, D displacements across the outline.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.profiles import DISPLACEMENTS

STRONG_SHARE = 0.08  # share of a picture's pixels that count as edges
MIN_EDGE_LEVELS = 4  # smaller gradients never count as edges
NEAR = np.ones((3, 3), np.uint8)  # edges match within 1 pixel
MAX_CHANCE = 0.9  # with edges near a larger share of the picture, any match could be chance
OWN_PX, BESIDE_PX = 1, 3  # a contour is expected up to the first displacement, none from the second
SENSOR_NOISE = 2.0  # levels that are added to gradients, so that tiny ones do not matter
VISIBLE = 0.6  # contrast from which an object's outline is visible in the render


def strong_edges(change: NDArray[np.uint8]) -> NDArray[np.bool_]:  # (H, W)
    """Return the pixels with the largest gradients, about the same number in every picture."""
    count = cv2.calcHist([change], [0], None, [256], [0, 256]).ravel()
    above = np.cumsum(count[::-1])[::-1]  # number of pixels of at least each level
    level = int(np.argmax(above <= STRONG_SHARE * change.size))
    return change >= max(level, MIN_EDGE_LEVELS)


def edge_score(
    rendered: NDArray[np.uint8],  # (H, W), the larger of `profiles.gradients`
    realized: NDArray[np.uint8],  # (H, W)
    border: NDArray[np.bool_],  # (H, W), where two parts meet
) -> float:
    """Return the F1 score of the realized picture's edges: 1 as in the render, 0 as by chance.

    Recall is computed over the borders that the render shows. Precision counts edges that lie on a
    border or an edge of the render. Both are corrected for chance (Cohen 1960). The score is NaN if
    the render shows no border, or if edges and borders are everywhere.
    """
    rendered_edges, realized_edges = strong_edges(rendered), strong_edges(realized)
    wanted = rendered_edges & border
    if not wanted.any() or not realized_edges.any():
        return 0.0 if wanted.any() else float("nan")
    near_reference, near_realized = _near(rendered_edges | border), _near(realized_edges)
    chances = [np.count_nonzero(each) / each.size for each in (near_reference, near_realized)]
    if max(chances) > MAX_CHANCE:
        return float("nan")
    precision = _beyond_chance(realized_edges, near_reference, chances[0])
    recall = _beyond_chance(wanted, near_realized, chances[1])
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _near(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(edges.view(np.uint8), NEAR) > 0


def _beyond_chance(edges: NDArray[np.bool_], near: NDArray[np.bool_], chance: float) -> float:
    """Return the share of edges that lie near a reference, corrected for chance."""
    share = np.count_nonzero(edges & near) / np.count_nonzero(edges)
    return max(0.0, (share - chance) / (1 - chance))


def contrast(
    profile: NDArray[np.float64],  # (R, D)
) -> NDArray[np.float64]:  # (R,)
    """Return the contrast between an outline and its sides: 0.5 is none, 1 is full."""
    away = np.abs(DISPLACEMENTS)
    own = profile[:, away <= OWN_PX].mean(1) + SENSOR_NOISE
    beside = profile[:, away >= BESIDE_PX].mean(1) + SENSOR_NOISE
    return np.asarray(own / (own + beside), np.float64)


def thing_scores(
    rendered: NDArray[np.float64],  # (R, D), mean profile of each object's outline
    realized: NDArray[np.float64],  # (R, D)
) -> NDArray[np.float64]:  # (R,)
    """Return the preserved share of each outline's contrast; NaN if the render has none."""
    rendered_contrast, realized_contrast = contrast(rendered), contrast(realized)
    with np.errstate(invalid="ignore", divide="ignore"):
        preserved = np.clip((realized_contrast - 0.5) / (rendered_contrast - 0.5), 0.0, 1.0)
        return np.where(rendered_contrast >= VISIBLE, preserved, np.nan)
