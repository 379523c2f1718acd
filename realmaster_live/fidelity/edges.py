"""Scores contours against the labels' borders, for the whole picture and for every object.

Legend: H height, W width, R things, M outline pixels, D displacements across the outline.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.profiles import DISPLACEMENTS

STRONG_SHARE = 0.08  # of a picture's pixels whose change is called an edge
FAINTEST_EDGE = 4  # levels
NEAR = np.ones((3, 3), np.uint8)  # an edge is found within 1 pixel
CROWDED = 0.9  # share of a picture near edges, from which on chance explains everything
OWN_PX, BESIDE_PX = 1, 3  # displacements at which a contour is expected, and from which on not
SENSOR_NOISE = 2.0  # levels; a change this small says nothing
VISIBLE = 0.6  # contrast from which a thing's outline shows in the render


def strong_edges(change: NDArray[np.uint8]) -> NDArray[np.bool_]:  # (H, W)
    """Return the pixels with the largest gradients, the same number in every picture."""
    count = cv2.calcHist([change], [0], None, [256], [0, 256]).ravel()
    above = np.cumsum(count[::-1])[::-1]  # pixels of at least so many levels
    level = int(np.argmax(above <= STRONG_SHARE * change.size))
    return change >= max(level, FAINTEST_EDGE)


def edge_score(
    rendered: NDArray[np.uint8],  # (H, W), the larger change of `steps`
    realized: NDArray[np.uint8],  # (H, W)
    border: NDArray[np.bool_],  # (H, W), where two parts meet
) -> float:
    """Return the F1 of the realized picture's edges, 1 as in the render, 0 as by chance.

    Recall is over the borders that the render shows; precision counts edges that lie on a border
    or an edge of the render. Both are corrected for chance (Cohen 1960). NaN
    where the render shows no border, or edges and borders are everywhere.
    """
    drawn, found = strong_edges(rendered), strong_edges(realized)
    wanted = drawn & border
    if not wanted.any() or not found.any():
        return 0.0 if wanted.any() else float("nan")
    known, near = _near(drawn | border), _near(found)
    chances = [np.count_nonzero(each) / each.size for each in (known, near)]
    if max(chances) > CROWDED:
        return float("nan")
    precision = _beyond_chance(found, known, chances[0])
    recall = _beyond_chance(wanted, near, chances[1])
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _near(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(edges.view(np.uint8), NEAR) > 0


def _beyond_chance(edges: NDArray[np.bool_], near: NDArray[np.bool_], chance: float) -> float:
    """Return the share of edges near a reference, corrected for chance."""
    share = np.count_nonzero(edges & near) / np.count_nonzero(edges)
    return max(0.0, (share - chance) / (1 - chance))


def contrast(
    profile: NDArray[np.float64],  # (R, D)
) -> NDArray[np.float64]:  # (R,)
    """Return the outline's contrast to its sides: 0.5 is none, 1 is full."""
    away = np.abs(DISPLACEMENTS)
    own = profile[:, away <= OWN_PX].mean(1) + SENSOR_NOISE
    beside = profile[:, away >= BESIDE_PX].mean(1) + SENSOR_NOISE
    return np.asarray(own / (own + beside), np.float64)


def thing_scores(
    rendered: NDArray[np.float64],  # (R, D), mean profile of each thing's outline
    realized: NDArray[np.float64],  # (R, D)
) -> NDArray[np.float64]:  # (R,)
    """Return the share of each outline's contrast that is preserved; NaN if the render has none."""
    drawn, found = contrast(rendered), contrast(realized)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.clip((found - 0.5) / (drawn - 0.5), 0.0, 1.0)
        return np.where(drawn >= VISIBLE, left, np.nan)
