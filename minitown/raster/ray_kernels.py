"""Compiled rays: the first triangle that each one meets, in the town and in what moves in it."""

from __future__ import annotations

import numpy as np

from realmaster_live.minitown.raster.compilation import (
    Array,
    Scalar,
    inlined,
    kernel,
    making_kernel,
    split,
)
from realmaster_live.minitown.raster.trees import STACK, Forest

BLOCK = 256  # rays that one thread takes at a time
TINY = 1e-12


@inlined
def entry(
    bounds: Array, node: Scalar,
    x: Scalar, y: Scalar, z: Scalar, ix: Scalar, iy: Scalar, iz: Scalar,
    nearest: Scalar,
) -> float:  # fmt: skip
    """Return the distance at which a ray enters a node's box, infinite where it does not.

    x, y, z: the ray's start. ix, iy, iz: one over its direction.
    """
    a, b = (bounds[node, 0] - x) * ix, (bounds[node, 3] - x) * ix
    first, last = max(0.0, min(a, b)), min(nearest, max(a, b))
    a, b = (bounds[node, 1] - y) * iy, (bounds[node, 4] - y) * iy
    first, last = max(first, min(a, b)), min(last, max(a, b))
    a, b = (bounds[node, 2] - z) * iz, (bounds[node, 5] - z) * iz
    first, last = max(first, min(a, b)), min(last, max(a, b))
    # a flat box must not be missed for its rounding
    return first if first <= last * (1.0 + 1e-7) + 1e-6 else np.inf


@inlined
def _over(part: Scalar) -> float:
    return 1.0 / part if abs(part) > TINY else 1.0 / TINY


@kernel
def nearest_in_tree(
    bounds: Array, links: Array, triangles: Array, root: Scalar,
    x: Scalar, y: Scalar, z: Scalar, dx: Scalar, dy: Scalar, dz: Scalar,
    nearest: Scalar, stack: Array, entries: Array,
) -> tuple[float, int]:  # fmt: skip
    """Return how far a ray gets in one tree, and the triangle that it meets there or -1.

    x, y, z: its start. dx, dy, dz: its direction, in whose lengths distances are. Beyond `nearest`
    nothing counts.
    """
    met = -1
    ix, iy, iz = _over(dx), _over(dy), _over(dz)
    waiting = 0
    distance = entry(bounds, root, x, y, z, ix, iy, iz, nearest)
    if distance < np.inf:
        stack[0], entries[0], waiting = root, distance, 1
    while waiting:
        waiting -= 1
        if entries[waiting] > nearest:
            continue
        node = stack[waiting]
        first, count = links[node, 0], links[node, 1]
        if count == 0:
            near, far = node + 1, first
            to_near = entry(bounds, near, x, y, z, ix, iy, iz, nearest)
            to_far = entry(bounds, far, x, y, z, ix, iy, iz, nearest)
            if to_far < to_near:
                near, far, to_near, to_far = far, near, to_far, to_near
            if to_far < np.inf:
                stack[waiting], entries[waiting] = far, to_far
                waiting += 1
            if to_near < np.inf:
                stack[waiting], entries[waiting] = near, to_near
                waiting += 1
            continue
        for t in range(first, first + count):  # Moeller and Trumbore 1997
            ax, ay, az = triangles[t, 3], triangles[t, 4], triangles[t, 5]
            bx, by, bz = triangles[t, 6], triangles[t, 7], triangles[t, 8]
            px, py, pz = dy * bz - dz * by, dz * bx - dx * bz, dx * by - dy * bx
            volume = ax * px + ay * py + az * pz
            if abs(volume) < TINY:
                continue
            share = 1.0 / volume
            tx, ty, tz = x - triangles[t, 0], y - triangles[t, 1], z - triangles[t, 2]
            u = (tx * px + ty * py + tz * pz) * share
            if u < 0.0 or u > 1.0:
                continue
            qx, qy, qz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
            v = (dx * qx + dy * qy + dz * qz) * share
            if v < 0.0 or u + v > 1.0:
                continue
            distance = (bx * qx + by * qy + bz * qz) * share
            if 0.0 < distance < nearest:
                nearest, met = distance, t
    return nearest, met


@kernel
def incidence(triangle: Array, direction: Array) -> float:
    """Return the cosine of the angle between a ray and a triangle's normal, from 0 to 1."""
    x = triangle[4] * triangle[8] - triangle[5] * triangle[7]
    y = triangle[5] * triangle[6] - triangle[3] * triangle[8]
    z = triangle[3] * triangle[7] - triangle[4] * triangle[6]
    size = np.sqrt(
        (x * x + y * y + z * z) * (direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    )
    return abs(x * direction[0] + y * direction[1] + z * direction[2]) / size if size > 0.0 else 0.0


@split
@making_kernel
def cast(
    first: int,
    step: int,
    trees: Forest,
    start: Array,
    directions: Array,
    reach: Scalar,
    balls: Array,
    parts: Array,
    part_root: Array,
    world_to_part: Array,
    distance: Array,
    source: Array,
    slot: Array,
    cosine: Array,
) -> None:
    """Find what each ray of unit length (R, 3) from one start (3,) meets first.

    Tree 0 is the town. balls: (I, 4) middle and radius of each moving thing, metres. parts:
    (I, 2) its range in part_root (P,) and world_to_part (P, 3, 4). Written, each (R,): metres
    (infinite where nothing is met), the triangle's number, the thing's or -1, and the cosine.
    """
    stack, entries = np.empty(STACK, np.int32), np.empty(STACK, np.float64)
    local, turned = np.empty(3), np.empty(3)
    bounds, links, triangles = trees.bounds, trees.links, trees.triangles
    for block in range(first * BLOCK, len(directions), step * BLOCK):
        for ray in range(block, min(block + BLOCK, len(directions))):
            direction = directions[ray]
            slot[ray], source[ray], cosine[ray] = -1, -1, 0.0
            best, met = reach, -1
            if trees.roots[0] >= 0:
                best, met = nearest_in_tree(
                    bounds, links, triangles, trees.roots[0],
                    start[0], start[1], start[2], direction[0], direction[1], direction[2],
                    best, stack, entries,
                )  # fmt: skip
                if met >= 0:
                    source[ray] = trees.source[met]
                    cosine[ray] = incidence(triangles[met], direction)
            for i in range(len(balls)):
                x, y, z = balls[i, 0] - start[0], balls[i, 1] - start[1], balls[i, 2] - start[2]
                along = x * direction[0] + y * direction[1] + z * direction[2]
                radius = balls[i, 3]
                if along < -radius or along - radius > best:
                    continue
                if x * x + y * y + z * z - along * along > radius * radius:
                    continue
                for p in range(parts[i, 0], parts[i, 1]):
                    m = world_to_part[p]
                    for k in range(3):
                        local[k] = (
                            m[k, 0] * start[0] + m[k, 1] * start[1] + m[k, 2] * start[2] + m[k, 3]
                        )
                        turned[k] = (
                            m[k, 0] * direction[0] + m[k, 1] * direction[1] + m[k, 2] * direction[2]
                        )
                    near, hit = nearest_in_tree(
                        bounds, links, triangles, part_root[p],
                        local[0], local[1], local[2], turned[0], turned[1], turned[2],
                        best, stack, entries,
                    )  # fmt: skip
                    if hit >= 0:
                        best, met = near, hit
                        source[ray], slot[ray] = trees.source[hit], i
                        cosine[ray] = incidence(triangles[hit], turned)
            distance[ray] = best if met >= 0 else np.inf
