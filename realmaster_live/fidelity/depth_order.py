"""Scores depth order: occlusion at depth discontinuities, and a judge's order of pairs of pixels.

Legend: H height, W width, h w a quarter of them, M outline pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.regions import SIDES, Outline

MIN_DEPTH_RATIO = 1.25  # of the farther to the nearer depth
BAND_PX = ((-1, -5), (2, 6))  # displacements from the pixel inside: on its own side, on the other
MIN_MARGIN = 8.0  # levels of L*a*b* by which the two sides must differ in the render
CHANCE_LEVEL = 0.25  # probability that both sides of a border match by chance
BORDER_STEP = 3  # every n-th pixel of a border is sampled
MIN_SAMPLES = 30  # with fewer samples there is no score
GRID_STEP = 2  # quarter pixels between samples of the ordinal depth
PAIRS = ((0, 6), (6, 0), (9, 9), (9, -9))  # quarter pixels down and right between paired samples


def border_order(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    depth: NDArray[np.float32],  # (H, W) metres
    numbers: NDArray[np.int32],  # (H, W), parts
    outline: Outline,
) -> float:
    """Return the share of occlusion borders whose two sides still look like the right objects.

    Close to an intact border, the nearer object has the colour that it has further inside, and the
    background has the colour that it has further outside. This fails where a border moved or
    vanished. Only borders where it holds in the render are counted. 0 is the level of chance, and
    NaN means too few samples.
    """
    outline = outline.select(slice(None, None, BORDER_STEP))
    inside = depth[outline.rows, outline.columns]
    down, across = np.array(SIDES)[outline.sides].T
    beyond = depth[outline.rows + down, outline.columns + across]
    jumps = outline.select(np.asarray(beyond > MIN_DEPTH_RATIO * inside, bool))
    places = [_displaced(jumps, distance, numbers.shape) for distance in (*BAND_PX[0], *BAND_PX[1])]
    same = [numbers[place] for place in places]
    unbroken = (same[0] == jumps.inside) & (same[1] == jumps.inside)
    unbroken &= (same[2] == jumps.outside) & (same[3] == jumps.outside)
    places = [(rows[unbroken], columns[unbroken]) for rows, columns in places]
    margins = [_separation(picture, places) for picture in (rendered, realized)]
    clear = margins[0] > MIN_MARGIN
    if clear.sum() < MIN_SAMPLES:
        return float("nan")
    intact = float((margins[1][clear] > 0).mean())
    return max(0.0, (intact - CHANCE_LEVEL) / (1 - CHANCE_LEVEL))


def _displaced(
    outline: Outline, distance: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    down, across = np.array(SIDES)[outline.sides].T
    return (
        np.clip(outline.rows + distance * down, 0, shape[0] - 1),
        np.clip(outline.columns + distance * across, 0, shape[1] - 1),
    )


def _separation(
    picture: NDArray[np.uint8], places: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> NDArray[np.float32]:
    """Return by how much each pixel is closer to its own side's colour, for the worse side."""
    pixels = np.stack([picture[place] for place in places])  # (4, M, 3)
    if not pixels.size:
        return np.zeros(0, np.float32)
    near, near_deep, far, far_deep = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)

    def distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.sqrt(np.square(one - other).sum(1)), np.float32)

    own = distance(near, far_deep) - distance(near, near_deep)
    other = distance(far, near_deep) - distance(far, far_deep)
    return np.asarray(np.minimum(own, other), np.float32)


def ordinal_agreement(
    depth: NDArray[np.float32],  # (H, W) metres
    log_depth: NDArray[np.float32],  # (h, w), of a judge
) -> float:
    """Return how often a judge orders two pixels like the label: 1 is always, 0 is chance."""
    height, width = log_depth.shape
    small = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    right = total = 0
    for down, across in PAIRS:
        rows = slice(0, height - down, GRID_STEP), slice(down, height, GRID_STEP)
        columns = slice(0, width - abs(across), GRID_STEP), slice(abs(across), width, GRID_STEP)
        if across < 0:
            columns = columns[1], columns[0]
        one, other = (small[rows[i], columns[i]] for i in (0, 1))
        judged_farther = log_depth[rows[1], columns[1]] > log_depth[rows[0], columns[0]]
        farther, nearer = other > MIN_DEPTH_RATIO * one, one > MIN_DEPTH_RATIO * other
        right += int((farther & judged_farther).sum() + (nearer & ~judged_farther).sum())
        total += int(farther.sum() + nearer.sum())
    return float("nan") if total < MIN_SAMPLES else max(0.0, 2 * right / total - 1)
