"""Lane paint: dashes, edge lines, stop lines, zebras, parking bays, arrows, manholes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.shapes import Builder, Pen, frame
from realmaster_live.minitown.plan.layout import CROSSING_DEPTH, LANE_WIDTH, Arm, Layout, Street

Array = NDArray[np.float64]

ROADS, ROAD_LINES = 1, 24
PAINT_Z = 0.012
PATCH_Z = 0.006
DASH_M, GAP_M = 3.0, 4.5
LINE_WIDTH = 0.14
BAY_M = 6.2  # length of a parking bay
BAY_MARGIN = 5.0  # metres from a street's ends that stay free of parked cars
ARROW = np.array(
    [[-1.6, -0.08], [0.4, -0.08], [0.4, -0.32], [1.6, 0.0], [0.4, 0.32], [0.4, 0.08], [-1.6, 0.08]]
)


def bays(street: Street) -> Array:
    """Return the starts of a street's parking bays, metres along it; (0,) where none may park."""
    room = street.path.length - 2 * BAY_MARGIN
    count = max(0, int(room // BAY_M)) if street.parking else 0
    return np.asarray(BAY_MARGIN + (room - count * BAY_M) / 2 + BAY_M * np.arange(count), float)


def paint_lines(builder: Builder, layout: Layout, rng: np.random.Generator) -> None:
    """Paint every street and junction arm."""
    pen = builder.pen(ROAD_LINES)
    for street in layout.streets.values():
        _middle(pen, street)
        edge = street.lanes * LANE_WIDTH
        for side in (-1, 1):
            if street.parking:
                for start in (*bays(street), *(bays(street)[-1:] + BAY_M)):
                    _across(pen, street, start, side * (edge + 0.05), side * street.half_width)
            else:
                _along(pen, street, side * edge, 0.0, street.path.length)
            if street.lanes > 1:
                _dashes(pen, street, side * LANE_WIDTH)
        _wear(builder, street, rng)
    for junction in layout.junctions.values():
        for arm in junction.arms:
            _mouth(builder, arm)
        x, y = junction.centre
        _disc(builder.pen(ROADS, 0, frame(x + 1.2, y - 0.7, 0.0)), 0.36)


def _strip(pen: Pen, street: Street, right: float, start: float, end: float, width: float) -> None:
    stations = street.path.stations(2.0)
    s = np.concatenate([[start], stations[(stations > start) & (stations < end)], [end]])
    if len(street.path.segments) == 1:
        s = np.array([start, end])
    x, y, heading = street.path.at(s).T
    lines = [
        np.stack([x - np.sin(heading) * d, y + np.cos(heading) * d, 0 * x + PAINT_Z], axis=-1)
        for d in (right - width / 2, right + width / 2)
    ]
    pen.strip("line_white", lines[0], lines[1])


def _along(pen: Pen, street: Street, right: float, start: float, end: float) -> None:
    _strip(pen, street, right, start, end, LINE_WIDTH)


def _across(pen: Pen, street: Street, s: float, start: float, end: float) -> None:
    x, y, heading = street.path.at(np.array([s]))[0]
    place = pen.builder.pen(pen.semantic, pen.instance, frame(x, y, heading))
    _rectangle(place, -0.05, 0.05, start, end)


def _dashes(pen: Pen, street: Street, right: float) -> None:
    count = int((street.path.length - 4.0) // (DASH_M + GAP_M))
    first = (street.path.length - count * (DASH_M + GAP_M) + GAP_M) / 2
    for number in range(count):
        start = first + number * (DASH_M + GAP_M)
        _along(pen, street, right, start, start + DASH_M)


def _middle(pen: Pen, street: Street) -> None:
    length = street.path.length
    if street.lanes > 1:
        for right in (-0.14, 0.14):
            _along(pen, street, right, 0.0, length)
        return
    solid = min(9.0, length / 4)
    _along(pen, street, 0.0, 0.0, solid)
    _along(pen, street, 0.0, length - solid, length)
    count = max(1, round((length - 2 * solid - GAP_M) / (DASH_M + GAP_M)))
    step = (length - 2 * solid - GAP_M) / count
    for number in range(count):
        start = solid + GAP_M + number * step
        _along(pen, street, 0.0, start, start + step - GAP_M)


def _mouth(builder: Builder, arm: Arm) -> None:
    """Paint the stop line, the zebra and, on avenues, arrows; local axes look up the arm."""
    x, y, heading = arm.pose(0.0)
    pen = builder.pen(ROAD_LINES, 0, frame(x, y, heading))
    street = arm.street
    stop = -street.lanes * LANE_WIDTH
    _rectangle(pen, 0.1, 0.55, stop, -0.12)
    low, high = -CROSSING_DEPTH + 0.6, -0.6
    count = int((2 * street.half_width - 0.6) // 1.0)
    for number in range(count):
        right = (number - (count - 1) / 2) * 1.0
        _rectangle(pen, low, high, right - 0.25, right + 0.25)
    if street.lanes > 1 and street.path.length > 30:
        for lane in range(street.lanes):
            place = frame(9.0, stop + (lane + 0.5) * LANE_WIDTH, math.pi, PAINT_Z)
            points = np.column_stack([ARROW, np.zeros(len(ARROW)), np.ones(len(ARROW))])
            outline = (place @ points.T).T[:, :3]
            pen.quads("line_white", [outline[[0, 1, 5, 6]], outline[[2, 3, 3, 4]]])


def _rectangle(pen: Pen, x0: float, x1: float, y0: float, y1: float) -> None:
    z = PAINT_Z
    pen.quads("line_white", [[[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]])


def _wear(builder: Builder, street: Street, rng: np.random.Generator) -> None:
    """Add manholes and repaired patches."""
    for _ in range(int(street.path.length // 25)):
        s = rng.uniform(4, street.path.length - 4)
        x, y, heading = street.path.at(np.array([s]))[0]
        pen = builder.pen(ROADS, 0, frame(x, y, heading))
        right = float(rng.uniform(-0.6, 0.6)) * LANE_WIDTH
        if rng.random() < 0.5:
            _disc(builder.pen(ROADS, 0, pen.pose @ frame(0, right, 0)), 0.33)
        else:
            long, wide = rng.uniform(0.8, 2.5), rng.uniform(0.4, 1.1)
            z = PATCH_Z
            corners = [[-long, right - wide, z], [long, right - wide, z]]
            corners += [[long, right + wide, z], [-long, right + wide, z]]
            pen.quads("asphalt_patch", [corners])


def _disc(pen: Pen, radius: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rim = np.stack([np.cos(angle) * radius, np.sin(angle) * radius, 0 * angle + PATCH_Z], axis=-1)
    pen.fan("manhole", rim)
