"""Fronts of buildings: window rows, entrances, shops, balconies; x along the wall, z up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realmaster_live.minitown.models.materials import AWNINGS, BOARDS, SHOPS
from realmaster_live.minitown.models.openings import ATLAS
from realmaster_live.minitown.models.shapes import Pen

REVEAL_M = 0.14
DOORS = ("door_green", "door_red", "door_blue", "wood")


@dataclass(frozen=True, kw_only=True)
class Front:
    """How a floor's windows stand in the wall: count, size and sill height, metres."""

    wall: str
    frame: str
    bay: float
    wide: float
    high: float
    sill: float


def face(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> list[list[list[float]]]:
    """Return one upright quad of the front, `y` behind its plane."""
    return [[[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]]]


def bay_count(front: Front, width: float) -> int:
    """Return how many bays of windows fit in a width."""
    return max(1, round(width / front.bay))


def window_row(pen: Pen, front: Front, width: float, z: float, floor: float,
                rng: np.random.Generator, keep: tuple[int, int] = (0, 0)) -> None:  # fmt: skip
    """Draw one floor of the front: wall, reveals, sills and glass, without bays keep[0]:keep[1]."""
    count = bay_count(front, width)
    bay = width / count
    low, high = z + front.sill, min(z + front.sill + front.high, z + floor - 0.2)
    wide = min(front.wide, bay - 0.5)
    spans = [(0.0, width)] if keep[0] == keep[1] else [(0.0, keep[0] * bay), (keep[1] * bay, width)]
    walls, glass, uvs = [], [], []
    for x0, x1 in spans:
        if x1 > x0:
            walls += face(x0, x1, z, low) + face(x0, x1, high, z + floor)
    for b in range(count):
        if keep[0] <= b < keep[1]:
            continue
        x0, x1 = b * bay, (b + 1) * bay
        a = (x0 + x1 - wide) / 2
        c = a + wide
        d = REVEAL_M
        walls += face(x0, a, low, high) + face(c, x1, low, high)
        walls += [
            [[a, 0, low], [a, d, low], [a, d, high], [a, 0, high]],
            [[c, d, low], [c, 0, low], [c, 0, high], [c, d, high]],
            [[a, d, high], [c, d, high], [c, 0, high], [a, 0, high]],
        ]
        glass += face(a, c, low, high, d)
        column, row = rng.integers(ATLAS, size=2) / ATLAS
        k = 1 / ATLAS
        uvs.append([[column, row], [column + k, row], [column + k, row + k], [column, row + k]])
        pen.box("stone", (a - 0.1, -0.07, low - 0.09), (c + 0.1, d, low), "yZ")
    if walls:
        pen.quads(front.wall, walls)
        pen.quads(front.frame, glass, uvs)


def entrance(pen: Pen, width: float, base: float, front: Front, rng: np.random.Generator) -> None:
    """Draw a ground floor with windows and one door up a step."""
    count = bay_count(front, width)
    bay = width / count
    door = int(rng.integers(count))
    window_row(pen, front, width, 0.0, base, rng, keep=(door, door + 1))
    x0, x1 = door * bay, (door + 1) * bay
    a, c = (x0 + x1) / 2 - 0.55, (x0 + x1) / 2 + 0.55
    d, low, high = 0.3, 0.18, 2.35
    pen.quads(front.wall, face(x0, a, 0, base) + face(c, x1, 0, base) + face(a, c, high, base))
    pen.quads("trim", [
        [[a, 0, low], [a, d, low], [a, d, high], [a, 0, high]],
        [[c, d, low], [c, 0, low], [c, 0, high], [c, d, high]],
        [[a, d, high], [c, d, high], [c, 0, high], [a, 0, high]],
    ])  # fmt: skip
    pen.quads(str(rng.choice(DOORS)), face(a, c, low, high, d))
    pen.box("chrome", (c - 0.18, d - 0.06, 1.15), (c - 0.13, d, 1.3), "xXyzZ")
    pen.box("stone", (a - 0.25, -0.45, 0.0), (c + 0.25, d, low))
    pen.box("trim", (a - 0.3, -0.5, high + 0.12), (c + 0.3, 0.0, high + 0.24), "xXyzZ")


def shop(pen: Pen, width: float, base: float, rng: np.random.Generator) -> None:
    """Draw a shop front with a sign board and, at times, an awning."""
    deep = 0.3
    panes(pen, str(rng.choice(SHOPS)), 0.25, width - 0.25, 0.0, base - 0.8, deep, 5.0)
    post = str(rng.choice(["dark_trim", "trim", "door_green", "door_blue"]))
    pen.box(post, (0, 0, 0), (0.25, deep, base - 0.8), "xXy")
    pen.box(post, (width - 0.25, 0, 0), (width, deep, base - 0.8), "xXy")
    pen.box(post, (0, -0.06, base - 0.85), (width, deep, base), "xXyzZ")
    board = str(rng.choice(BOARDS))
    wide = min(width - 0.4, 7.0)
    a = (width - wide) / 2
    corners = face(a, a + wide, base - 0.78, base - 0.1, -0.09)
    u = wide / 3.2
    pen.quads(board, corners, [[[u, 0.25], [0, 0.25], [0, 0.75], [u, 0.75]]])
    door = rng.uniform(0.6, width - 1.6)
    pen.quads("dark_trim", face(door, door + 1.0, 0.0, 2.2, deep - 0.03))
    pen.quads("car_glass", face(door + 0.1, door + 0.9, 0.25, 2.1, deep - 0.05))
    if rng.random() < 0.5:
        z, out, drop = base - 0.85, -1.15, 0.55
        top = [[0.1, -0.05, z], [width - 0.1, -0.05, z]]
        edge = [[width - 0.1, out, z - drop], [0.1, out, z - drop]]
        lip = [[0.1, out, z - drop - 0.2], [width - 0.1, out, z - drop - 0.2]]
        u = width / 2.4
        cloth = [[[0, 1], [u, 1], [u, 0], [0, 0]], [[0, 0.2], [u, 0.2], [u, 0.4], [0, 0.4]]]
        pen.quads(str(rng.choice(AWNINGS)), [top + edge, lip + edge], cloth)


def panes(pen: Pen, material: str, x0: float, x1: float, z0: float, z1: float, y: float,
           repeat_m: float) -> None:  # fmt: skip
    """Draw shop windows whose picture repeats about every `repeat_m`."""
    u = max(1, round((x1 - x0) / (repeat_m / 2))) / 2
    pen.quads(material, face(x0, x1, z0, z1, y), [[[0, 0], [u, 0], [u, 1], [0, 1]]])


def ribbon(pen: Pen, frame: str, x0: float, x1: float, y0: float, y1: float, z0: float,
          z1: float) -> None:  # fmt: skip
    """Draw a band of windows round a rectangle."""
    corners, uvs = [], []
    for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)),
                 ((x0, y1), (x0, y0))):  # fmt: skip
        long = abs(b[0] - a[0]) + abs(b[1] - a[1])
        u = max(1, round(long / 1.7)) / ATLAS
        v = (int(z0 * 7) % ATLAS) / ATLAS
        corners.append([[*a, z0], [*b, z0], [*b, z1], [*a, z1]])
        uvs.append([[0, v], [u, v], [u, v + 1 / ATLAS], [0, v + 1 / ATLAS]])
    pen.quads(frame, corners, uvs)


def balcony(pen: Pen, x: float, z: float) -> None:
    """Draw a balcony in front of x, its floor at z."""
    pen.box("trim", (x - 1.3, -1.1, z - 0.12), (x + 1.3, 0.0, z + 0.04), "xXyzZ")
    pen.box("glass_rail", (x - 1.28, -1.08, z + 0.1), (x + 1.28, 0.0, z + 0.95), "xXy")
    pen.box("dark_trim", (x - 1.32, -1.12, z + 0.95), (x + 1.32, -1.04, z + 1.02), "xXyzZ")
