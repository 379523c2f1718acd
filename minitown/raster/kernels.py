"""Compiled inner loops of the rasteriser: pose, project, cull, clip, fill.

A split kernel does the items `first`, `first + step`, ... and is run by several threads at once.

The picture is a visibility buffer: for each pixel the nearness q and the triangle's number.
q is 1/depth for a camera and -depth for the sun's parallel view: larger is nearer in both.
A view is a (3, 4) float32 matrix with rows right, up, forward that takes world points to view axes.
"""

from __future__ import annotations

import numpy as np

from realmaster_live.minitown.raster.arithmetic import down, up
from realmaster_live.minitown.raster.compilation import (
    Array,
    Scalar,
    inlined,
    making_kernel,
    split_kernel,
)

NEAR_M = 0.1
BLOCK = 1024  # vertices or triangles that one work item handles
BAND = 8  # rows; bands are dealt to the threads in turn: sky and road cost differently


@split_kernel
def pose_vertices(
    first: int,
    step: int,
    positions: Array,
    normals: Array,
    part: Array,
    source: Array,
    target: Array,
    matrices: Array,
    out: Array,
    out_normals: Array,
) -> None:
    """Place each instance's vertices.

    source: (I, 2) vertex range of the model. target: (I,) first vertex in `out`.
    matrices: (I, P, 3, 4) float32 per part. out, out_normals: (V, 3) float32.
    """
    for i in range(first, len(source), step):
        shift = target[i] - source[i, 0]
        for v in range(source[i, 0], source[i, 1]):
            m = matrices[i, part[v]]
            x, y, z = positions[v, 0], positions[v, 1], positions[v, 2]
            a, b, c = normals[v, 0], normals[v, 1], normals[v, 2]
            for k in range(3):
                out[v + shift, k] = m[k, 0] * x + m[k, 1] * y + m[k, 2] * z + m[k, 3]
                out_normals[v + shift, k] = m[k, 0] * a + m[k, 1] * b + m[k, 2] * c


@split_kernel
def project(
    first: int,
    step: int,
    positions: Array,
    blocks: Array,
    view: Array,
    focal: Scalar,
    cx: Scalar,
    cy: Scalar,
    perspective: bool,
    out: Array,
) -> None:
    """Project the vertices of `blocks` (B, 2) to pixels; out: (V, 3) float32 x, y, q.

    q is negative for a vertex before the near plane.
    """
    for b in range(first, len(blocks), step):
        for i in range(blocks[b, 0], blocks[b, 1]):
            x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
            right = view[0, 0] * x + view[0, 1] * y + view[0, 2] * z + view[0, 3]
            up = view[1, 0] * x + view[1, 1] * y + view[1, 2] * z + view[1, 3]
            depth = view[2, 0] * x + view[2, 1] * y + view[2, 2] * z + view[2, 3]
            if not perspective:
                out[i, 0] = cx + focal * right
                out[i, 1] = cy - focal * up
                out[i, 2] = -depth
            elif depth >= np.float32(NEAR_M):
                q = np.float32(1.0) / depth
                out[i, 0] = cx + focal * right * q
                out[i, 1] = cy - focal * up * q
                out[i, 2] = q
            else:
                out[i, 2] = np.float32(-1.0)


@split_kernel
def cull(
    first: int,
    step: int,
    screen: Array,
    triangles: Array,
    blocks: Array,
    width: int,
    height: int,
    perspective: bool,
    kept: Array,
    counts: Array,
) -> None:
    """List the triangles that may cover a pixel's centre.

    blocks: (B, 2) triangle ranges; block b writes its survivors from kept[blocks[b, 0]] on:
    counts[b, 0] whole ones from the front, counts[b, 1] that cross the near plane from the back.
    """
    for b in range(first, len(blocks), step):
        whole = 0
        crossing = 0
        for t in range(blocks[b, 0], blocks[b, 1]):
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            if perspective:
                behind = (screen[i, 2] < 0) + (screen[j, 2] < 0) + (screen[k, 2] < 0)
                if behind == 3:
                    continue
                if behind > 0:
                    crossing += 1
                    kept[blocks[b, 1] - crossing] = t
                    continue
            left = min(screen[i, 0], screen[j, 0], screen[k, 0])
            right = max(screen[i, 0], screen[j, 0], screen[k, 0])
            top = min(screen[i, 1], screen[j, 1], screen[k, 1])
            bottom = max(screen[i, 1], screen[j, 1], screen[k, 1])
            if right < 0 or bottom < 0 or left >= width or top >= height:
                continue
            half = np.float32(0.5)
            if down(left - half) == down(right - half) or down(top - half) == down(bottom - half):
                continue
            kept[blocks[b, 0] + whole] = t
            whole += 1
        counts[b, 0] = whole
        counts[b, 1] = crossing


@making_kernel
def clip_near(
    positions: Array,
    triangles: Array,
    blocks: Array,
    counts: Array,
    kept: Array,
    view: Array,
    focal: Scalar,
    cx: Scalar,
    cy: Scalar,
    out: Array,
    source: Array,
) -> int:
    """Cut the crossing triangles at the near plane; out: (N, 3, 3) x, y, q. Returns how many.

    Stops when `out` is full: the caller compares the answer with its length and grows it.
    """
    count = 0
    near = np.float32(NEAR_M)
    corner = np.zeros((3, 3), np.float32)
    cut = np.zeros((4, 3), np.float32)
    for b in range(len(blocks)):
        for n in range(counts[b, 1]):
            t = kept[blocks[b, 1] - 1 - n]
            for k in range(3):
                v = triangles[t, k]
                for r in range(3):
                    corner[k, r] = (
                        view[r, 0] * positions[v, 0]
                        + view[r, 1] * positions[v, 1]
                        + view[r, 2] * positions[v, 2]
                        + view[r, 3]
                    )
            m = 0
            for k in range(3):  # one number at a time: compiling an array's assignment takes 5 s
                nxt = (k + 1) % 3
                a, c = corner[k, 2], corner[nxt, 2]
                if a >= near:
                    for r in range(3):
                        cut[m, r] = corner[k, r]
                    m += 1
                if (a >= near) != (c >= near):
                    share = (near - a) / (c - a)
                    for r in range(2):
                        cut[m, r] = corner[k, r] + (corner[nxt, r] - corner[k, r]) * share
                    cut[m, 2] = near
                    m += 1
            for k in range(1, m - 1):
                if count == len(out):
                    return count
                for j, e in enumerate((0, k, k + 1)):
                    q = np.float32(1.0) / cut[e, 2]
                    out[count, j, 0] = cx + focal * cut[e, 0] * q
                    out[count, j, 1] = cy - focal * cut[e, 1] * q
                    out[count, j, 2] = q
                source[count] = t
                count += 1
    return count


@inlined
def fill_triangle(
    ax: float,
    ay: float,
    aq: float,
    bx: float,
    by: float,
    bq: float,
    cx: Scalar,
    cy: Scalar,
    cq: float,
    t: int,
    first: int,
    step: int,
    nearness: Array,
    winner: Array,
) -> None:
    """Put triangle t into every `step`-th band of rows, from band `first` on, where it is nearer.

    The plane is set up in double precision: a road's corner near the camera lies 1e5 px away.
    """
    height, width = nearness.shape
    y0 = max(0, down(min(ay, by, cy) - 0.5))
    y1 = min(height - 1, down(max(ay, by, cy) + 0.5))
    band = y0 // BAND
    band += (first - band) % step
    if band * BAND > y1:
        return
    abx, aby, acx, acy = bx - ax, by - ay, cx - ax, cy - ay
    area = np.float64(abx) * acy - np.float64(acx) * aby
    if abs(area) < 1e-6:
        return
    inverse = 1.0 / area
    x0 = max(0, down(min(ax, bx, cx) - 0.5))
    x1 = min(width - 1, down(max(ax, bx, cx) + 0.5))
    b_dx, b_dy = acy * inverse, -acx * inverse
    c_dx, c_dy = -aby * inverse, abx * inverse
    a_dx = -b_dx - c_dx
    q_dx = b_dx * (bq - aq) + c_dx * (cq - aq)
    fx = x0 + 0.5 - ax
    while band * BAND <= y1:
        for y in range(max(band * BAND, y0), min(band * BAND + BAND - 1, y1) + 1):
            fy = y + 0.5 - ay
            wb = b_dx * fx + b_dy * fy
            wc = c_dx * fx + c_dy * fy
            wa = 1.0 - wb - wc
            q = aq + wb * (bq - aq) + wc * (cq - aq)
            low = 0.0
            high = np.float64(x1 - x0)
            if b_dx > 0:
                low = max(low, -wb / b_dx)
            elif b_dx < 0:
                high = min(high, -wb / b_dx)
            elif wb < 0:
                continue
            if c_dx > 0:
                low = max(low, -wc / c_dx)
            elif c_dx < 0:
                high = min(high, -wc / c_dx)
            elif wc < 0:
                continue
            if a_dx > 0:
                low = max(low, -wa / a_dx)
            elif a_dx < 0:
                high = min(high, -wa / a_dx)
            elif wa < 0:
                continue
            begin, end = up(low), down(high) + 1
            if begin >= end:
                continue
            # slices and 32 bits, so that the compiler takes several pixels at once
            near, won = nearness[y, x0 + begin : x0 + end], winner[y, x0 + begin : x0 + end]
            for x in range(end - begin):
                here = np.float32(q + q_dx * np.float64(np.int32(begin + x)))
                is_nearer = here > near[x]
                near[x] = here if is_nearer else near[x]
                won[x] = np.int32(t) if is_nearer else won[x]
        band += step


@split_kernel
def fill(
    first: int,
    step: int,
    screen: Array,
    triangles: Array,
    blocks: Array,
    counts: Array,
    kept: Array,
    cut: Array,
    cut_source: Array,
    cuts: int,
    far: Scalar,
    nearness: Array,
    winner: Array,
) -> None:
    """Draw every listed triangle; nearness, winner: (H, W), `far` and -1 where nothing is."""
    height = len(nearness)
    for band in range(first * BAND, height, step * BAND):
        nearness[band : band + BAND] = far
        winner[band : band + BAND] = -1
    for b in range(len(blocks)):
        for n in range(blocks[b, 0], blocks[b, 0] + counts[b, 0]):
            t = kept[n]
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            fill_triangle(
                screen[i, 0], screen[i, 1], screen[i, 2],
                screen[j, 0], screen[j, 1], screen[j, 2],
                screen[k, 0], screen[k, 1], screen[k, 2],
                t, first, step, nearness, winner,
            )  # fmt: skip
    for n in range(cuts):
        fill_triangle(
            cut[n, 0, 0], cut[n, 0, 1], cut[n, 0, 2],
            cut[n, 1, 0], cut[n, 1, 1], cut[n, 1, 2],
            cut[n, 2, 0], cut[n, 2, 1], cut[n, 2, 2],
            cut_source[n], first, step, nearness, winner,
        )  # fmt: skip
