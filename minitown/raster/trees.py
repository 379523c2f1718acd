"""Trees of boxes over triangles, so that a ray looks at few of them.

Each tree is built by splitting where the surface area heuristic finds it cheapest, over a few bins
(Wald 2007, "On fast Construction of SAH-based Bounding Volume Hierarchies").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.compilation import Array, Scalar, inlined, making_kernel
from realmaster_live.minitown.scene import Floats

LEAF = 4  # triangles in a leaf, at most where they can be told apart
BINS = 12
STACK = 64  # nodes that wait: a tree is at most that deep
FARTHEST = np.float32(3e38)


class Forest(NamedTuple):
    """Trees in flat arrays; compiled code takes it whole.

    A node with triangles has their first and their count in `links`; an inner node has its second
    child and 0, and its first child follows it. `source` has the triangle's number in the input.
    """

    bounds: Floats  # (N, 6) lowest and highest x, y, z, metres
    links: NDArray[np.int32]  # (N, 2)
    triangles: Floats  # (T, 9) a corner and the two sides from it, metres
    source: NDArray[np.int32]  # (T,)
    roots: NDArray[np.int32]  # (K,) first node of each tree, -1 for one without triangles


def forest(groups: Sequence[Floats]) -> Forest:
    """Return one tree for each array (T, 3, 3) of triangles' corners; `source` counts through."""
    bounds, links, triangles, sources = [], [], [], []
    roots: list[int] = []
    nodes = count = 0
    for corners in groups:
        corners = np.ascontiguousarray(corners, np.float32)
        if not len(corners):
            roots.append(-1)
            continue
        box, link, order = _tree(corners)
        leaf = link[:, 1] > 0
        link[leaf, 0] += count
        link[~leaf, 0] += nodes
        roots.append(nodes)
        sides = corners[order, 1:] - corners[order, :1]
        triangles.append(np.concatenate([corners[order, 0], sides.reshape(-1, 6)], axis=1))
        sources.append(order + count)
        bounds.append(box)
        links.append(link)
        nodes, count = nodes + len(box), count + len(corners)
    return Forest(
        bounds=np.concatenate([*bounds, np.empty((0, 6), np.float32)]),
        links=np.concatenate([*links, np.empty((0, 2), np.int32)]),
        triangles=np.concatenate([*triangles, np.empty((0, 9), np.float32)]),
        source=np.concatenate([*sources, np.empty(0, np.int32)]).astype(np.int32),
        roots=np.array(roots, np.int32),
    )


def _tree(corners: Floats) -> tuple[Floats, NDArray[np.int32], NDArray[np.int32]]:
    """Return boxes (N, 6) and links (N, 2) of one tree, and its triangles' order (T,)."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    order = np.arange(len(corners), dtype=np.int32)
    bounds = np.empty((2 * len(corners), 6), np.float32)
    links = np.empty((2 * len(corners), 2), np.int32)
    count = build(low, high, (low + high) / 2, order, bounds, links)
    return bounds[:count].copy(), links[:count].copy(), order


@inlined
def _cover(box: Array, low: Array, high: Array, number: Scalar) -> None:
    """Widen a box (6,) so that it covers one triangle's."""
    for axis in range(3):
        box[axis] = min(box[axis], low[number, axis])
        box[axis + 3] = max(box[axis + 3], high[number, axis])


@inlined
def _half_area(box: Array) -> Scalar:
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@inlined
def _clear(boxes: Array) -> None:
    for b in range(len(boxes)):
        for axis in range(3):
            boxes[b, axis], boxes[b, axis + 3] = FARTHEST, -FARTHEST


@making_kernel
def build(low: Array, high: Array, middle: Array, order: Array, bounds: Array, links: Array) -> int:
    """Fill a tree's boxes and links, and sort `order` by its leaves; return the nodes' number."""
    todo = np.empty((2 * STACK, 4), np.int64)  # first, end, the parent to link or -1, depth
    todo[0, 0], todo[0, 1], todo[0, 2], todo[0, 3] = 0, len(order), -1, 1
    waiting, nodes = 1, 0
    boxes = np.empty((BINS, 6), np.float32)
    sizes = np.empty(BINS, np.int64)
    right_cost = np.empty(BINS, np.float64)
    side = np.empty((1, 6), np.float32)
    span = np.empty((1, 6), np.float32)
    while waiting:
        waiting -= 1
        first, end = todo[waiting, 0], todo[waiting, 1]
        parent, depth = todo[waiting, 2], todo[waiting, 3]
        node = nodes
        nodes += 1
        if parent >= 0:
            links[parent, 0] = node
        _clear(bounds[node : node + 1])
        _clear(span)
        for n in range(first, end):
            _cover(bounds[node], low, high, order[n])
            _cover(span[0], middle, middle, order[n])
        count = end - first
        axis = 0
        for other in range(1, 3):
            if span[0, other + 3] - span[0, other] > span[0, axis + 3] - span[0, axis]:
                axis = other
        width = span[0, axis + 3] - span[0, axis]
        links[node, 0], links[node, 1] = first, count
        if count <= LEAF or width <= 0.0 or depth >= STACK:
            continue
        _clear(boxes)
        sizes[:] = 0
        scale = BINS * 0.9999 / width
        for n in range(first, end):
            b = int((middle[order[n], axis] - span[0, axis]) * scale)
            sizes[b] += 1
            _cover(boxes[b], low, high, order[n])
        _clear(side)
        number = 0
        for b in range(BINS - 1, 0, -1):
            number += sizes[b]
            if sizes[b]:
                _cover(side[0], boxes[:, :3], boxes[:, 3:], b)
            right_cost[b] = number * _half_area(side[0]) if number else 0.0
        _clear(side)
        number, split, best = 0, 0, np.inf
        for b in range(BINS - 1):
            number += sizes[b]
            if sizes[b]:
                _cover(side[0], boxes[:, :3], boxes[:, 3:], b)
            if number and number < count:
                cost = number * _half_area(side[0]) + right_cost[b + 1]
                if cost < best:
                    best, split = cost, b + 1
        if split == 0:
            continue
        at = first
        for n in range(first, end):
            if int((middle[order[n], axis] - span[0, axis]) * scale) < split:
                order[at], order[n] = order[n], order[at]
                at += 1
        links[node, 1] = 0
        todo[waiting, 0], todo[waiting, 1], todo[waiting, 2] = at, end, node
        todo[waiting, 3] = depth + 1
        todo[waiting + 1, 0], todo[waiting + 1, 1], todo[waiting + 1, 2] = first, at, -1
        todo[waiting + 1, 3] = depth + 1
        waiting += 2
    return nodes
