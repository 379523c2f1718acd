"""Exact edges from labels: boundaries of objects, and jumps of depth.

The simulator knows the object and the depth of every pixel, so these edges never flicker.
What is painted on a surface, such as lane marks, has neither and needs Canny beside them.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.bool_]  # (T, H, W)


def instance_edges(instance: NDArray[np.integer]) -> Edges:  # (T, H, W)
    """Return the pixels whose right or lower neighbour shows another object."""
    edges = np.zeros(instance.shape, bool)
    edges[:, :, :-1] |= instance[:, :, 1:] != instance[:, :, :-1]
    edges[:, :-1] |= instance[:, 1:] != instance[:, :-1]
    return edges


def depth_edges(
    depth: NDArray[np.floating],  # (T, H, W) metres
    jump: float,
) -> Edges:
    """Return the pixels where inverse depth leaves the plane of its neighbours, by a share.

    Inverse depth is linear in the picture over a plane, however steep it is seen, so its second
    difference is zero there: a street that runs to the horizon has no edges. At a jump it is about
    the difference of the two; an edge is where that exceeds `jump` times the nearer side's inverse
    depth, and it lies on the nearer side.
    """
    near = 1 / np.maximum(depth.astype(np.float32), 0.1)
    edges = np.zeros(depth.shape, bool)
    for axis in (1, 2):
        x = np.moveaxis(near, axis, 1)
        bend = x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]
        largest = np.maximum(np.maximum(x[:, 2:], x[:, :-2]), x[:, 1:-1])
        # the nearer side of a jump bends down, the farther side up
        np.moveaxis(edges, axis, 1)[:, 1:-1] |= -bend > jump * largest
    return edges
