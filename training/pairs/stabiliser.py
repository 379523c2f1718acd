"""Edge maps made steady in time: a line is kept where the neighbouring frames confirm it.

Canny treats every frame by itself, so lines near its thresholds flicker, and a network that follows
them flickers. Neighbours are brought to a frame by the optical flow of the rendered pictures.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.evaluate.warp import Motion, motion_of

Vote = Literal["off", "median", "or"]
Edges = NDArray[np.bool_]  # (T, H, W)
NEAR_PX = 1  # tolerance within which two lines are the same


def motions_of(frames: NDArray[np.uint8]) -> tuple[Motion, Motion]:  # (T, H, W, 3) RGB
    """Return the motion of a video, and of the video backwards."""
    return motion_of(frames), motion_of(frames[::-1])


def stabilise(edges: Edges, motions: tuple[Motion, Motion], vote: Vote) -> Edges:
    """Return edges after a vote of frames t - 1, t and t + 1 along the motions of the video.

    "median" keeps a line that a neighbour confirms and adds one that both neighbours have; "or"
    keeps all lines and adds those of either neighbour. A neighbour that cannot see the place, or
    does not exist, abstains; a line on which all abstain stays.
    """
    if vote == "off":
        return edges
    past = _neighbours(edges, motions[0])
    future = [found[::-1] for found in _neighbours(edges[::-1], motions[1])]
    near = dilated(edges)
    neighbours = [(dilated(line) & valid, line & valid, valid) for line, valid in (past, future)]
    if vote == "or":
        return np.asarray(edges | (~near & (neighbours[0][1] | neighbours[1][1])))
    confirmed = neighbours[0][0] | neighbours[1][0] | ~(neighbours[0][2] | neighbours[1][2])
    return np.asarray((edges & confirmed) | (~near & neighbours[0][1] & neighbours[1][1]))


def without_specks(edges: Edges, least_px: int) -> Edges:
    """Return edges without connected components of fewer than `least_px` pixels."""
    kept = np.zeros_like(edges)
    for index, edge in enumerate(edges):
        _, labels, facts, _ = cv2.connectedComponentsWithStats(edge.astype(np.uint8))
        large = facts[:, cv2.CC_STAT_AREA] >= least_px
        large[0] = False  # the background
        kept[index] = large[labels]
    return kept


def flicker(edges: Edges, motion: Motion) -> float:
    """Return the share of edge pixels without a partner in the frame before, 0 to 1.

    One less the F1 between each frame and the frame before, brought to it along the motion, with a
    tolerance of one pixel and where the motion is known; the mean over the frames that have edges.
    """
    earlier, valid = (found[1:] for found in _neighbours(edges, motion))
    now = edges[1:]
    near_now, near_earlier = dilated(now), dilated(earlier)
    scores = []
    for t in range(len(now)):
        one, other = now[t] & valid[t], earlier[t] & valid[t]
        total = int(one.sum() + other.sum())
        if total:
            matched = int((one & near_earlier[t]).sum() + (other & near_now[t]).sum())
            scores.append(1 - matched / total)
    return float(np.mean(scores)) if scores else 0.0


def _neighbours(edges: Edges, motion: Motion) -> tuple[Edges, Edges]:
    """Return the edges of the frame before each, brought to it, and where that is known."""
    moved, known = np.zeros_like(edges), np.zeros_like(edges)
    for t, (at, valid) in enumerate(zip(motion.before, motion.valid, strict=True), start=1):
        earlier = edges[t - 1].astype(np.uint8)
        read = cv2.remap(earlier, at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderValue=0)
        moved[t], known[t] = read > 0, valid
    return moved, known


def with_lines(edges: Edges, others: Edges) -> Edges:
    """Return edges and the other edges, but not where those are the same line a pixel off."""
    return np.asarray(edges | (others & ~dilated(edges)))


def dilated(edges: Edges) -> Edges:
    """Return the pixels within one pixel of an edge."""
    reach = np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)
    return np.stack([cv2.dilate(edge.astype(np.uint8), reach) > 0 for edge in edges])
