"""Buildings of several kinds. A building's own axes: x along the street, y into the plot, z up.

The front stands at y = 0 and x runs from 0 to the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from realmaster_live.bridges.minitown.materials import AWNINGS, BOARDS, PLASTERS, SHOPS
from realmaster_live.bridges.minitown.openings import ATLAS
from realmaster_live.bridges.minitown.shapes import Pen

REVEAL_M = 0.14
DOORS = ("door_green", "door_red", "door_blue", "wood")
SIDES = {"brick": "facade_brick", "plast": "facade_plaster", "concr": "facade_concrete"}
SIDE_BAY_M, SIDE_FLOOR_M = 3.2, 3.0


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Room for one building, metres; `paint` tells which of a street's houses this one is."""

    width: float
    depth: float
    floors: int


@dataclass(frozen=True, kw_only=True)
class Front:
    """How a floor's windows stand in the wall: count, size and sill height, metres."""

    wall: str
    frame: str
    bay: float
    wide: float
    high: float
    sill: float


def terrace(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a brick or rendered town house, with a door, or a shop, below."""
    wall = str(rng.choice(["brick_red", "brick_brown", "brick_yellow", *PLASTERS[:3]]))
    front = Front(
        wall=wall,
        frame=str(rng.choice(["windows_white", "windows_white", "windows_dark"])),
        bay=float(rng.uniform(2.1, 2.7)),
        wide=1.15,
        high=1.75,
        sill=0.85,
    )
    floor = float(rng.uniform(3.0, 3.3))
    base = floor + 0.4
    top = base + (plot.floors - 1) * floor + 0.5
    _shell(pen, plot, top, wall)
    if rng.random() < 0.45:
        _shop(pen, plot.width, base, rng)
    else:
        _entrance(pen, plot.width, base, front, rng)
    for level in range(plot.floors - 1):
        _window_row(pen, front, plot.width, base + level * floor, floor, rng)
    low = base + (plot.floors - 1) * floor
    pen.quads(wall, _face(0, plot.width, low, top))
    pen.box("trim", (-0.02, -0.25, top - 0.3), (plot.width + 0.02, 0.05, top), "xXyzZ")
    pen.box("trim", (0, -0.06, base - 0.14), (plot.width, 0.02, base), "xXyzZ")
    if rng.random() < 0.65:
        _ridge_roof(pen, plot, top, 0.0, str(rng.choice(["roof_red", "roof_slate"])), wall)
    else:
        _flat_roof(pen, plot, top, wall, rng)
    chimney = rng.uniform(0.1, 0.6) * plot.width
    rise = top + rng.uniform(2.4, 3.4)
    pen.box(wall, (chimney, plot.depth * 0.42, top), (chimney + 0.9, plot.depth * 0.55, rise))


def apartments(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a rendered block of flats with balconies."""
    wall = str(rng.choice(PLASTERS))
    front = Front(
        wall=wall,
        frame=str(rng.choice(["windows_white", "windows_dark"])),
        bay=float(rng.uniform(2.8, 3.4)),
        wide=1.6,
        high=1.6,
        sill=0.9,
    )
    floor, base = 2.95, 3.3
    top = base + (plot.floors - 1) * floor + 0.7
    _shell(pen, plot, top, wall)
    if rng.random() < 0.5:
        _shop(pen, plot.width, base, rng)
    else:
        _entrance(pen, plot.width, base, front, rng)
    bays = _bays(front, plot.width)
    balcony = set(range(1, bays - 1, int(rng.integers(2, 4))))
    for level in range(plot.floors - 1):
        z = base + level * floor
        _window_row(pen, front, plot.width, z, floor, rng)
        for bay in balcony:
            centre = (bay + 0.5) * plot.width / bays
            _balcony(pen, centre, z)
    pen.quads(wall, _face(0, plot.width, top - 0.7, top))
    pen.box("trim", (-0.02, -0.1, top - 0.18), (plot.width + 0.02, 0.05, top), "xXyzZ")
    _flat_roof(pen, plot, top, wall, rng)


def office(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a glass office block with a recessed lobby and fins."""
    glass = str(rng.choice(["curtain_blue", "curtain_grey", "curtain_green"]))
    floor, base = 3.7, 4.4
    top = base + (plot.floors - 1) * floor
    width, depth = plot.width, plot.depth
    pen.box("dark_trim", (0.8, 0.9, 0.0), (width - 0.8, depth - 0.4, base))
    _panes(pen, str(rng.choice(SHOPS)), 0.8, width - 0.8, 0.0, base, 0.88, 6.0)
    pen.box("stone", (0, 0, base - 0.01), (width, depth, base), "z")
    for x in np.linspace(0.3, width - 0.9, max(2, int(width // 6))):
        pen.box("concrete", (x, 0.05, 0.0), (x + 0.6, 0.65, base))
    uv_floor = floor * 4
    for low, high in (((0, 0), (width, 0)), ((width, 0), (width, depth)),
                      ((width, depth), (0, depth)), ((0, depth), (0, 0))):  # fmt: skip
        long = abs(high[0] - low[0]) + abs(high[1] - low[1])
        corners = [[*low, base], [*high, base], [*high, top], [*low, top]]
        u, v = max(1, round(long / 1.6)) / 4, (top - base) / uv_floor
        pen.quads(glass, [corners], [[[0, 0], [u, 0], [u, v], [0, v]]])
    if rng.random() < 0.6:
        for x in np.arange(0, width + 0.01, width / max(2, round(width / 3.2))):
            pen.box("steel", (x - 0.06, -0.28, base), (x + 0.06, 0.02, top), "xXy")
    else:
        for level in range(plot.floors):
            z = base + level * floor - 0.2
            pen.box("stone", (-0.12, -0.12, z), (width + 0.12, depth + 0.12, z + 0.4))
    pen.box("stone", (-0.05, -0.05, top), (width + 0.05, depth + 0.05, top + 0.7))
    pen.box("roof_flat", (0.4, 0.4, top + 0.71), (width - 0.4, depth - 0.4, top + 0.72), "Z")
    _machinery(pen, plot, top + 0.7, rng)


def tower(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a concrete tower with ribbon windows round all sides."""
    floor, base = 3.1, 3.8
    top = base + (plot.floors - 1) * floor
    width, depth = plot.width, plot.depth
    frame = str(rng.choice(["windows_dark", "windows_white"]))
    pen.box("dark_trim", (0.6, 0.6, 0.0), (width - 0.6, depth - 0.6, base))
    _panes(pen, str(rng.choice(SHOPS)), 0.6, width - 0.6, 0.0, base, 0.58, 6.0)
    for x in (0.0, width - 0.7):
        pen.box("concrete", (x, 0.0, 0.0), (x + 0.7, 0.7, base))
    for level in range(plot.floors):
        z = base + level * floor
        pen.box("concrete", (0, 0, z - 0.35), (width, depth, z + 0.95), "xXyYzZ")
        if level == plot.floors - 1:
            break
        inset = 0.22
        _ring(pen, frame, inset, width - inset, inset, depth - inset, z + 0.95, z + floor - 0.35)
    for x in np.linspace(0, width, max(3, int(width // 5) + 1)):
        pen.box("concrete", (x - 0.2, -0.08, base), (x + 0.2, 0.25, top), "xXy")
    pen.box("roof_flat", (0.3, 0.3, top + 0.96), (width - 0.3, depth - 0.3, top + 0.97), "Z")
    _machinery(pen, plot, top + 0.95, rng)


def house(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a detached house with a pitched roof and a porch."""
    wall = str(rng.choice([*PLASTERS, "brick_red", "brick_yellow"]))
    front = Front(wall=wall, frame="windows_white", bay=2.9, wide=1.4, high=1.35, sill=0.9)
    floor = 2.75
    top = plot.floors * floor + 0.3
    _shell(pen, plot, top, wall)
    _entrance(pen, plot.width, floor + 0.1, front, rng)
    for level in range(1, plot.floors):
        _window_row(pen, front, plot.width, level * floor + 0.1, floor, rng)
    pen.quads(wall, _face(0, plot.width, plot.floors * floor + 0.1, top))
    roof = str(rng.choice(["roof_red", "roof_red", "roof_slate"]))
    _ridge_roof(pen, plot, top, 0.5, roof, wall)
    x = plot.width * 0.72
    pen.box("brick_red", (x, plot.depth * 0.55, top), (x + 0.7, plot.depth * 0.55 + 0.7, top + 3.3))


KINDS: dict[str, Callable[[Pen, Plot, np.random.Generator], None]] = {
    "terrace": terrace,
    "apartments": apartments,
    "office": office,
    "tower": tower,
    "house": house,
}


def _face(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> list[list[list[float]]]:
    return [[[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]]]


def _bays(front: Front, width: float) -> int:
    return max(1, round(width / front.bay))


def _shell(pen: Pen, plot: Plot, top: float, wall: str) -> None:
    """Draw the sides and the back with windows in the picture only."""
    width, depth = plot.width, plot.depth
    side = SIDES[wall[:5]]
    tint = wall if wall not in ("brick_red", "plaster_sand", "concrete") else side
    high = max(1, round(top / SIDE_FLOOR_M)) / 2
    deep, long = (max(1, round(size / SIDE_BAY_M)) / 2 for size in (depth, width))
    for material, corners, u in (
        (tint, [[0, depth, 0], [0, 0, 0], [0, 0, top], [0, depth, top]], deep),
        (tint, [[width, 0, 0], [width, depth, 0], [width, depth, top], [width, 0, top]], deep),
        (side, [[width, depth, 0], [0, depth, 0], [0, depth, top], [width, depth, top]], long),
    ):
        if material == side:
            pen.quads(side, [corners], [[[0, 0], [u, 0], [u, high], [0, high]]])
        else:
            pen.quads(material, [corners])


def _window_row(pen: Pen, front: Front, width: float, z: float, floor: float,
                rng: np.random.Generator, keep: tuple[int, int] = (0, 0)) -> None:  # fmt: skip
    """Draw one floor of the front: wall, reveals, sills and panes, without bays keep[0]:keep[1]."""
    count = _bays(front, width)
    bay = width / count
    low, high = z + front.sill, min(z + front.sill + front.high, z + floor - 0.2)
    wide = min(front.wide, bay - 0.5)
    spans = [(0.0, width)] if keep[0] == keep[1] else [(0.0, keep[0] * bay), (keep[1] * bay, width)]
    walls, panes, uvs = [], [], []
    for x0, x1 in spans:
        if x1 > x0:
            walls += _face(x0, x1, z, low) + _face(x0, x1, high, z + floor)
    for b in range(count):
        if keep[0] <= b < keep[1]:
            continue
        x0, x1 = b * bay, (b + 1) * bay
        a = (x0 + x1 - wide) / 2
        c = a + wide
        d = REVEAL_M
        walls += _face(x0, a, low, high) + _face(c, x1, low, high)
        walls += [
            [[a, 0, low], [a, d, low], [a, d, high], [a, 0, high]],
            [[c, d, low], [c, 0, low], [c, 0, high], [c, d, high]],
            [[a, d, high], [c, d, high], [c, 0, high], [a, 0, high]],
        ]
        panes += _face(a, c, low, high, d)
        column, row = rng.integers(ATLAS, size=2) / ATLAS
        k = 1 / ATLAS
        uvs.append([[column, row], [column + k, row], [column + k, row + k], [column, row + k]])
        pen.box("stone", (a - 0.1, -0.07, low - 0.09), (c + 0.1, d, low), "yZ")
    if walls:
        pen.quads(front.wall, walls)
        pen.quads(front.frame, panes, uvs)


def _entrance(pen: Pen, width: float, base: float, front: Front, rng: np.random.Generator) -> None:
    """Draw a ground floor with windows and one door up a step."""
    count = _bays(front, width)
    bay = width / count
    door = int(rng.integers(count))
    _window_row(pen, front, width, 0.0, base, rng, keep=(door, door + 1))
    x0, x1 = door * bay, (door + 1) * bay
    a, c = (x0 + x1) / 2 - 0.55, (x0 + x1) / 2 + 0.55
    d, low, high = 0.3, 0.18, 2.35
    pen.quads(front.wall, _face(x0, a, 0, base) + _face(c, x1, 0, base) + _face(a, c, high, base))
    pen.quads("trim", [
        [[a, 0, low], [a, d, low], [a, d, high], [a, 0, high]],
        [[c, d, low], [c, 0, low], [c, 0, high], [c, d, high]],
        [[a, d, high], [c, d, high], [c, 0, high], [a, 0, high]],
    ])  # fmt: skip
    pen.quads(str(rng.choice(DOORS)), _face(a, c, low, high, d))
    pen.box("chrome", (c - 0.18, d - 0.06, 1.15), (c - 0.13, d, 1.3), "xXyzZ")
    pen.box("stone", (a - 0.25, -0.45, 0.0), (c + 0.25, d, low))
    pen.box("trim", (a - 0.3, -0.5, high + 0.12), (c + 0.3, 0.0, high + 0.24), "xXyzZ")


def _shop(pen: Pen, width: float, base: float, rng: np.random.Generator) -> None:
    """Draw a shop front with a sign board and, at times, an awning."""
    deep = 0.3
    _panes(pen, str(rng.choice(SHOPS)), 0.25, width - 0.25, 0.0, base - 0.8, deep, 5.0)
    post = str(rng.choice(["dark_trim", "trim", "door_green", "door_blue"]))
    pen.box(post, (0, 0, 0), (0.25, deep, base - 0.8), "xXy")
    pen.box(post, (width - 0.25, 0, 0), (width, deep, base - 0.8), "xXy")
    pen.box(post, (0, -0.06, base - 0.85), (width, deep, base), "xXyzZ")
    board = str(rng.choice(BOARDS))
    wide = min(width - 0.4, 7.0)
    a = (width - wide) / 2
    corners = _face(a, a + wide, base - 0.78, base - 0.1, -0.09)
    u = wide / 3.2
    pen.quads(board, corners, [[[u, 0.25], [0, 0.25], [0, 0.75], [u, 0.75]]])
    door = rng.uniform(0.6, width - 1.6)
    pen.quads("dark_trim", _face(door, door + 1.0, 0.0, 2.2, deep - 0.03))
    pen.quads("car_glass", _face(door + 0.1, door + 0.9, 0.25, 2.1, deep - 0.05))
    if rng.random() < 0.5:
        z, out, drop = base - 0.85, -1.15, 0.55
        top = [[0.1, -0.05, z], [width - 0.1, -0.05, z]]
        edge = [[width - 0.1, out, z - drop], [0.1, out, z - drop]]
        lip = [[0.1, out, z - drop - 0.2], [width - 0.1, out, z - drop - 0.2]]
        u = width / 2.4
        cloth = [[[0, 1], [u, 1], [u, 0], [0, 0]], [[0, 0.2], [u, 0.2], [u, 0.4], [0, 0.4]]]
        pen.quads(str(rng.choice(AWNINGS)), [top + edge, lip + edge], cloth)


def _panes(pen: Pen, material: str, x0: float, x1: float, z0: float, z1: float, y: float,
           repeat_m: float) -> None:  # fmt: skip
    u = max(1, round((x1 - x0) / (repeat_m / 2))) / 2
    pen.quads(material, _face(x0, x1, z0, z1, y), [[[0, 0], [u, 0], [u, 1], [0, 1]]])


def _ring(pen: Pen, frame: str, x0: float, x1: float, y0: float, y1: float, z0: float,
          z1: float) -> None:  # fmt: skip
    corners, uvs = [], []
    for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)),
                 ((x0, y1), (x0, y0))):  # fmt: skip
        long = abs(b[0] - a[0]) + abs(b[1] - a[1])
        u = max(1, round(long / 1.7)) / ATLAS
        v = (int(z0 * 7) % ATLAS) / ATLAS
        corners.append([[*a, z0], [*b, z0], [*b, z1], [*a, z1]])
        uvs.append([[0, v], [u, v], [u, v + 1 / ATLAS], [0, v + 1 / ATLAS]])
    pen.quads(frame, corners, uvs)


def _balcony(pen: Pen, x: float, z: float) -> None:
    pen.box("trim", (x - 1.3, -1.1, z - 0.12), (x + 1.3, 0.0, z + 0.04), "xXyzZ")
    pen.box("glass_rail", (x - 1.28, -1.08, z + 0.1), (x + 1.28, 0.0, z + 0.95), "xXy")
    pen.box("dark_trim", (x - 1.32, -1.12, z + 0.95), (x + 1.32, -1.04, z + 1.02), "xXyzZ")


def _flat_roof(pen: Pen, plot: Plot, top: float, wall: str, rng: np.random.Generator) -> None:
    width, depth = plot.width, plot.depth
    pen.quads("roof_flat", [[[0, 0, top - 0.3], [width, 0, top - 0.3],
                             [width, depth, top - 0.3], [0, depth, top - 0.3]]])  # fmt: skip
    pen.box("stone", (0, 0, top - 0.02), (width, 0.25, top + 0.06), "xXyYzZ")
    pen.box(wall, (0, depth - 0.25, top - 0.3), (width, depth, top), "yZ")
    _machinery(pen, plot, top - 0.3, rng)


def _machinery(pen: Pen, plot: Plot, z: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(0.2, 0.65) * plot.width, rng.uniform(0.35, 0.65) * plot.depth
        w, d, h = rng.uniform(1.2, 2.8, 3)
        pen.box("steel" if rng.random() < 0.4 else "concrete", (x, y, z), (x + w, y + d, z + h))


def _ridge_roof(pen: Pen, plot: Plot, top: float, eave: float, roof: str, wall: str) -> None:
    """Draw a roof whose ridge runs along the street, with gables at both ends."""
    width, depth = plot.width, plot.depth
    rise = depth * 0.36
    ridge = top + rise
    drop = eave * 0.72
    a, b = -eave, width + eave
    slopes = [
        [[a, -eave, top - drop], [b, -eave, top - drop],
         [b, depth / 2, ridge], [a, depth / 2, ridge]],
        [[b, depth + eave, top - drop], [a, depth + eave, top - drop],
         [a, depth / 2, ridge], [b, depth / 2, ridge]],
    ]  # fmt: skip
    long = float(np.hypot(depth / 2 + eave, rise + drop)) / 2.4
    u = (b - a) / 2.4
    pen.quads(roof, slopes, [[[0, 0], [u, 0], [u, long], [0, long]]] * 2)
    for x in (0.0, width):
        gable = [
            [x, 0, top],
            [x, depth, top],
            [x, depth / 2, ridge - 0.05],
            [x, depth / 2, ridge - 0.05],
        ]
        pen.quads(wall, [gable])
    if eave:
        pen.box(
            "trim", (a, -eave - 0.06, top - drop - 0.14), (b, -eave + 0.06, top - drop), "xXyzZ"
        )
