"""Scores depth order: occlusion at depth discontinuities, and a judge's order of any two places.

Legend: H height, W width, h w a quarter of them, M outline pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.regions import SIDES, Outline

JUMP = 1.25  # farther side's depth over the nearer one's
BAND_PX = ((-1, -5), (2, 6))  # displacements from the pixel inside: its own side, the other
CLEAR = 8.0  # levels of L*a*b* by which the two sides must differ in the render
CHANCE = 0.25  # that both sides of a border are right by chance
EVERY = 3  # every n-th place of a border is sampled
FEWEST = 30  # samples that a share needs
GRID = 2  # quarter pixels between samples of the ordinal depth
PAIRS = ((0, 6), (6, 0), (9, 9), (9, -9))  # quarter pixels down and right, from a sample to another


def border_order(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    depth: NDArray[np.float32],  # (H, W) metres
    numbers: NDArray[np.int32],  # (H, W), parts
    outline: Outline,
) -> float:
    """Return the share of occlusion borders whose two sides still belong to the right things.

    Close to an intact border, the nearer thing has the colour it has further inside, and the
    background the colour it has further outside; where a border moved or vanished this no longer
    holds. Only borders at which it holds in the render count. 0 is chance; NaN with too few places.
    """
    outline = outline.of(slice(None, None, EVERY))
    inside = depth[outline.rows, outline.columns]
    down, across = np.array(SIDES)[outline.sides].T
    beyond = depth[outline.rows + down, outline.columns + across]
    jumps = outline.of(np.asarray(beyond > JUMP * inside, bool))
    places = [_displaced(jumps, distance, numbers.shape) for distance in (*BAND_PX[0], *BAND_PX[1])]
    same = [numbers[place] for place in places]
    whole = (same[0] == jumps.inside) & (same[1] == jumps.inside)
    whole &= (same[2] == jumps.outside) & (same[3] == jumps.outside)
    places = [(rows[whole], columns[whole]) for rows, columns in places]
    margins = [_separation(picture, places) for picture in (rendered, realized)]
    clear = margins[0] > CLEAR
    if clear.sum() < FEWEST:
        return float("nan")
    intact = float((margins[1][clear] > 0).mean())
    return max(0.0, (intact - CHANCE) / (1 - CHANCE))


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
    """Return how much closer each place is to its own side's colour, for the worse side."""
    pixels = np.stack([picture[place] for place in places])  # (4, M, 3)
    if not pixels.size:
        return np.zeros(0, np.float32)
    near, near_deep, far, far_deep = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)

    def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.sqrt(np.square(one - other).sum(1)), np.float32)

    own = apart(near, far_deep) - apart(near, near_deep)
    other = apart(far, near_deep) - apart(far, far_deep)
    return np.asarray(np.minimum(own, other), np.float32)


def ordinal_agreement(
    depth: NDArray[np.float32],  # (H, W) metres
    log_depth: NDArray[np.float32],  # (h, w), of a judge
) -> float:
    """Return how often a judge orders two places as the label does: 1 always, 0 as by chance."""
    height, width = log_depth.shape
    small = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    right = total = 0
    for down, across in PAIRS:
        rows = slice(0, height - down, GRID), slice(down, height, GRID)
        columns = slice(0, width - abs(across), GRID), slice(abs(across), width, GRID)
        if across < 0:
            columns = columns[1], columns[0]
        one, other = (small[rows[i], columns[i]] for i in (0, 1))
        guess = log_depth[rows[1], columns[1]] > log_depth[rows[0], columns[0]]
        farther, nearer = other > JUMP * one, one > JUMP * other
        right += int((farther & guess).sum() + (nearer & ~guess).sum())
        total += int(farther.sum() + nearer.sum())
    return float("nan") if total < FEWEST else max(0.0, 2 * right / total - 1)
