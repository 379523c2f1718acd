"""Asphalt, kerbs, sidewalks and the ground of the blocks, fitted to the town's plan."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.shapes import Builder, frame
from realmaster_live.minitown.plan.layout import (
    CROSSING_DEPTH,
    SIDEWALK_WIDTH,
    Arm,
    Junction,
    Layout,
    Street,
)

Array = NDArray[np.float64]

KERB_HEIGHT = 0.15
KERB_WIDTH = 0.18
ROADS, SIDEWALKS, TERRAIN = 1, 2, 10
HORIZON_M = 900.0


def raise_to(points: Array, z: float) -> Array:
    """Return (N, 3) points at height z over (N, 2)."""
    return np.column_stack([points[:, :2], np.full(len(points), z)])


def place_along(road: Street, s: float, right: float, flip: bool, z: float = KERB_HEIGHT) -> Array:
    """Return the pose at `s` along a street, x along it (against it when flipped)."""
    x, y, heading = road.path.at(np.array([s]))[0]
    x, y = x - math.sin(heading) * right, y + math.cos(heading) * right
    return frame(x, y, heading + (math.pi if flip else 0.0), z)


def side_line(street: Street, right: float, step: float = 6.0) -> Array:
    """Return (N, 2) points `right` of a street's middle line, same count for every `right`."""
    stations = street.path.stations(step) if _straight(street) else street.path.stations(2.0)
    x, y, heading = street.path.at(stations).T
    return np.stack([x - np.sin(heading) * right, y + np.cos(heading) * right], axis=-1)


def _straight(street: Street) -> bool:
    return len(street.path.segments) == 1


def corner_lines(first: Arm, second: Arm) -> tuple[Array, Array]:
    """Return the kerb and the sidewalk's back edge (N, 2) from one arm to the next clockwise."""
    kerb_a = first.street.half_width
    kerb_b = -second.street.half_width
    start, end = first.pose(kerb_a), second.pose(kerb_b)
    a = np.array(first.pose(kerb_a, -CROSSING_DEPTH)[:2])
    b = np.array(second.pose(kerb_b, -CROSSING_DEPTH)[:2])
    reach = 0.38 * np.linalg.norm(b - a)
    control_a = a - reach * np.array([math.cos(first.heading), math.sin(first.heading)])
    control_b = b - reach * np.array([math.cos(second.heading), math.sin(second.heading)])
    t = np.linspace(0, 1, 9)[:, None]
    curve = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * control_a
    curve += 3 * t**2 * (1 - t) * control_b + t**3 * b
    kerb = np.concatenate([[start[:2]], curve, [end[:2]]])
    back_a = np.array(first.pose(kerb_a + SIDEWALK_WIDTH)[:2])
    back_b = np.array(second.pose(kerb_b - SIDEWALK_WIDTH)[:2])
    if (second.heading - first.heading) % (2 * math.pi) < math.radians(150):
        headings = np.array([first.heading, second.heading])
        lines = np.stack([np.cos(headings), np.sin(headings)])
        along = np.linalg.solve(lines * [1, -1], back_b - back_a)
        corner = back_a + along[0] * lines[:, 0]
    else:
        corner = (back_a + back_b) / 2
    half = (len(kerb) - 1) // 2
    fractions = np.linspace(0, 1, half + 1)[:, None]
    back = np.concatenate(
        [back_a + (corner - back_a) * fractions, (corner + (back_b - corner) * fractions)[1:]]
    )
    return kerb, back


def lay_ground(builder: Builder, layout: Layout, loops: Sequence[Sequence[tuple[Street, bool]]],
               covers: Sequence[str]) -> list[Array]:  # fmt: skip
    """Draw roads, sidewalks and blocks; `covers` names each loop's ground material.

    Returns each loop's inner edge as an (N, 2) polygon, where the sidewalk ends.
    """
    corners = {}
    for junction in layout.junctions.values():
        _junction(builder, junction)
        for i, arm in enumerate(junction.arms):
            before = junction.arms[i - 1]
            corners[arm.street.id, not arm.at_end] = corner_lines(before, arm)
    for street in layout.streets.values():
        _street(builder, street)
    outlines = []
    for loop in loops:
        lines = []
        for street, backwards in loop:
            # Sides of one loop run the way that keeps the block on their right.
            side = street.half_width + SIDEWALK_WIDTH
            edge = side_line(street, -side if backwards else side)
            lines.append(edge[::-1] if backwards else edge)
            lines.append(corners[street.id, backwards][1][::-1][1:-1])
        outlines.append(np.concatenate(lines))
    outer = int(np.argmax([abs(signed_area(outline)) for outline in outlines]))
    for number, (outline, cover) in enumerate(zip(outlines, covers, strict=True)):
        pen = builder.pen(TERRAIN)
        if number == outer:
            _outside(builder, outline, cover)
        else:
            points = raise_to(outline, KERB_HEIGHT)
            up = np.tile([0.0, 0.0, 1.0], (len(points), 1))
            pen.add(cover, points, up, pen.flat_uvs(cover, points, up), triangulate(outline))
    return outlines


def _street(builder: Builder, street: Street) -> None:
    road = builder.pen(ROADS)
    half = street.half_width
    middle = [raise_to(side_line(street, right), 0.0) for right in (-half, 0.0, half)]
    road.strip("asphalt", middle[0], middle[1])
    road.strip("asphalt", middle[1], middle[2])
    for sign in (-1, 1):
        _kerb_and_walk(
            builder,
            side_line(street, sign * half),
            side_line(street, sign * (half + KERB_WIDTH)),
            side_line(street, sign * (half + SIDEWALK_WIDTH)),
        )


def _kerb_and_walk(builder: Builder, kerb: Array, top: Array, back: Array) -> None:
    walk = builder.pen(SIDEWALKS)
    low, edge, inner, far = (
        raise_to(line, z)
        for line, z in ((kerb, 0.0), (kerb, KERB_HEIGHT), (top, KERB_HEIGHT), (back, KERB_HEIGHT))
    )
    walk.strip("kerb", low, edge)
    walk.strip("kerb", edge, inner)
    walk.strip("pavement", inner, far)


def _junction(builder: Builder, junction: Junction) -> None:
    rims = []
    for i, arm in enumerate(junction.arms):
        kerb, back = corner_lines(arm, junction.arms[(i + 1) % len(junction.arms)])
        inward = back - kerb
        inward /= np.linalg.norm(inward, axis=1, keepdims=True)
        _kerb_and_walk(builder, kerb, kerb + inward * KERB_WIDTH, back)
        rims.append(kerb)
    rim = raise_to(np.concatenate(rims), 0.0)
    builder.pen(ROADS).fan("asphalt", rim, np.array([*junction.centre, 0.0]))


def _outside(builder: Builder, outline: Array, cover: str) -> None:
    """Draw the land outside the ring as bands between the outline and the horizon."""
    pen = builder.pen(TERRAIN)
    closed = np.concatenate([outline, outline[:1]])
    angle = np.arctan2(closed[:, 1], closed[:, 0])
    outward = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    near = closed + outward * 60
    far = outward * HORIZON_M
    rings = [raise_to(line, KERB_HEIGHT) for line in (closed, near, far)]
    pen.strip(cover, rings[0], rings[1])
    pen.strip("grass", rings[1], rings[2])


def signed_area(polygon: Array) -> float:
    """Return the area of an (N, 2) polygon, its sign telling which way it runs."""
    x, y = polygon.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def triangulate(polygon: Array) -> NDArray[np.int64]:
    """Cut a simple (N, 2) polygon into (N - 2, 3) triangles by clipping its ears."""
    order = list(range(len(polygon)))
    if signed_area(polygon) < 0:
        order.reverse()
    found = []
    while len(order) > 3:
        for k in range(len(order)):
            a, b, c = order[k - 1], order[k], order[(k + 1) % len(order)]
            p, q, r = polygon[a], polygon[b], polygon[c]
            turn = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
            if turn < -1e-9:
                continue
            rest = polygon[[i for i in order if i not in (a, b, c)]]
            if turn < 1e-9 or not _inside_triangle(rest, p, q, r):
                found.append((a, b, c))
                order.pop(k)
                break
        else:
            raise ValueError("triangulate needs a simple polygon; its sides cross.")
    return np.array([*found, tuple(order)], np.int64)


def _inside_triangle(points: Array, p: Array, q: Array, r: Array) -> bool:
    inside = np.ones(len(points), bool)
    for a, b in ((p, q), (q, r), (r, p)):
        side = (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0])
        inside &= side >= -1e-9
    return bool(inside.any())
