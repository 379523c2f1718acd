"""Buildings of several kinds. A building's own axes: x along the street, y into the plot, z up.

The front stands at y = 0 and x runs from 0 to the width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from realmaster_live.minitown.models.facades import (
    Front,
    balcony,
    bay_count,
    entrance,
    face,
    panes,
    ribbon,
    shop,
    window_row,
)
from realmaster_live.minitown.models.materials import PLASTERS, SHOPS
from realmaster_live.minitown.models.roofs import Plot, flat_roof, machinery, ridge_roof
from realmaster_live.minitown.models.shapes import Pen

SIDES = {"brick": "facade_brick", "plast": "facade_plaster", "concr": "facade_concrete"}
SIDE_BAY_M, SIDE_FLOOR_M = 3.2, 3.0


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
        shop(pen, plot.width, base, rng)
    else:
        entrance(pen, plot.width, base, front, rng)
    for level in range(plot.floors - 1):
        window_row(pen, front, plot.width, base + level * floor, floor, rng)
    low = base + (plot.floors - 1) * floor
    pen.quads(wall, face(0, plot.width, low, top))
    pen.box("trim", (-0.02, -0.25, top - 0.3), (plot.width + 0.02, 0.05, top), "xXyzZ")
    pen.box("trim", (0, -0.06, base - 0.14), (plot.width, 0.02, base), "xXyzZ")
    if rng.random() < 0.65:
        ridge_roof(pen, plot, top, 0.0, str(rng.choice(["roof_red", "roof_slate"])), wall)
    else:
        flat_roof(pen, plot, top, wall, rng)
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
        shop(pen, plot.width, base, rng)
    else:
        entrance(pen, plot.width, base, front, rng)
    bays = bay_count(front, plot.width)
    porches = set(range(1, bays - 1, int(rng.integers(2, 4))))
    for level in range(plot.floors - 1):
        z = base + level * floor
        window_row(pen, front, plot.width, z, floor, rng)
        for bay in porches:
            centre = (bay + 0.5) * plot.width / bays
            balcony(pen, centre, z)
    pen.quads(wall, face(0, plot.width, top - 0.7, top))
    pen.box("trim", (-0.02, -0.1, top - 0.18), (plot.width + 0.02, 0.05, top), "xXyzZ")
    flat_roof(pen, plot, top, wall, rng)


def office(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a curtain office block with a recessed lobby and fins."""
    curtain = str(rng.choice(["curtain_blue", "curtain_grey", "curtain_green"]))
    floor, base = 3.7, 4.4
    top = base + (plot.floors - 1) * floor
    width, depth = plot.width, plot.depth
    pen.box("dark_trim", (0.8, 0.9, 0.0), (width - 0.8, depth - 0.4, base))
    panes(pen, str(rng.choice(SHOPS)), 0.8, width - 0.8, 0.0, base, 0.88, 6.0)
    pen.box("stone", (0, 0, base - 0.01), (width, depth, base), "z")
    for x in np.linspace(0.3, width - 0.9, max(2, int(width // 6))):
        pen.box("concrete", (x, 0.05, 0.0), (x + 0.6, 0.65, base))
    uv_floor = floor * 4
    for low, high in (((0, 0), (width, 0)), ((width, 0), (width, depth)),
                      ((width, depth), (0, depth)), ((0, depth), (0, 0))):  # fmt: skip
        long = abs(high[0] - low[0]) + abs(high[1] - low[1])
        corners = [[*low, base], [*high, base], [*high, top], [*low, top]]
        u, v = max(1, round(long / 1.6)) / 4, (top - base) / uv_floor
        pen.quads(curtain, [corners], [[[0, 0], [u, 0], [u, v], [0, v]]])
    if rng.random() < 0.6:
        for x in np.arange(0, width + 0.01, width / max(2, round(width / 3.2))):
            pen.box("steel", (x - 0.06, -0.28, base), (x + 0.06, 0.02, top), "xXy")
    else:
        for level in range(plot.floors):
            z = base + level * floor - 0.2
            pen.box("stone", (-0.12, -0.12, z), (width + 0.12, depth + 0.12, z + 0.4))
    pen.box("stone", (-0.05, -0.05, top), (width + 0.05, depth + 0.05, top + 0.7))
    pen.box("roof_flat", (0.4, 0.4, top + 0.71), (width - 0.4, depth - 0.4, top + 0.72), "Z")
    machinery(pen, plot, top + 0.7, rng)


def tower(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a concrete tower with ribbon windows round all sides."""
    floor, base = 3.1, 3.8
    top = base + (plot.floors - 1) * floor
    width, depth = plot.width, plot.depth
    frame = str(rng.choice(["windows_dark", "windows_white"]))
    pen.box("dark_trim", (0.6, 0.6, 0.0), (width - 0.6, depth - 0.6, base))
    panes(pen, str(rng.choice(SHOPS)), 0.6, width - 0.6, 0.0, base, 0.58, 6.0)
    for x in (0.0, width - 0.7):
        pen.box("concrete", (x, 0.0, 0.0), (x + 0.7, 0.7, base))
    for level in range(plot.floors):
        z = base + level * floor
        pen.box("concrete", (0, 0, z - 0.35), (width, depth, z + 0.95), "xXyYzZ")
        if level == plot.floors - 1:
            break
        inset = 0.22
        ribbon(pen, frame, inset, width - inset, inset, depth - inset, z + 0.95, z + floor - 0.35)
    for x in np.linspace(0, width, max(3, int(width // 5) + 1)):
        pen.box("concrete", (x - 0.2, -0.08, base), (x + 0.2, 0.25, top), "xXy")
    pen.box("roof_flat", (0.3, 0.3, top + 0.96), (width - 0.3, depth - 0.3, top + 0.97), "Z")
    machinery(pen, plot, top + 0.95, rng)


def house(pen: Pen, plot: Plot, rng: np.random.Generator) -> None:
    """Draw a detached house with a pitched roof and a porch."""
    wall = str(rng.choice([*PLASTERS, "brick_red", "brick_yellow"]))
    front = Front(wall=wall, frame="windows_white", bay=2.9, wide=1.4, high=1.35, sill=0.9)
    floor = 2.75
    top = plot.floors * floor + 0.3
    _shell(pen, plot, top, wall)
    entrance(pen, plot.width, floor + 0.1, front, rng)
    for level in range(1, plot.floors):
        window_row(pen, front, plot.width, level * floor + 0.1, floor, rng)
    pen.quads(wall, face(0, plot.width, plot.floors * floor + 0.1, top))
    roof = str(rng.choice(["roof_red", "roof_red", "roof_slate"]))
    ridge_roof(pen, plot, top, 0.5, roof, wall)
    x = plot.width * 0.72
    pen.box("brick_red", (x, plot.depth * 0.55, top), (x + 0.7, plot.depth * 0.55 + 0.7, top + 3.3))


KINDS: dict[str, Callable[[Pen, Plot, np.random.Generator], None]] = {
    "terrace": terrace,
    "apartments": apartments,
    "office": office,
    "tower": tower,
    "house": house,
}


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
