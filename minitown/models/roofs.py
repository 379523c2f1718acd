"""Roofs of buildings: flat with machinery, or pitched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realmaster_live.minitown.models.shapes import Pen


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Room for one building, metres, and how many floors it has."""

    width: float
    depth: float
    floors: int


def flat_roof(pen: Pen, plot: Plot, top: float, wall: str, rng: np.random.Generator) -> None:
    """Draw a flat roof behind a parapet."""
    width, depth = plot.width, plot.depth
    pen.quads("roof_flat", [[[0, 0, top - 0.3], [width, 0, top - 0.3],
                             [width, depth, top - 0.3], [0, depth, top - 0.3]]])  # fmt: skip
    pen.box("stone", (0, 0, top - 0.02), (width, 0.25, top + 0.06), "xXyYzZ")
    pen.box(wall, (0, depth - 0.25, top - 0.3), (width, depth, top), "yZ")
    machinery(pen, plot, top - 0.3, rng)


def machinery(pen: Pen, plot: Plot, z: float, rng: np.random.Generator) -> None:
    """Draw lift houses and fans on a flat roof."""
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(0.2, 0.65) * plot.width, rng.uniform(0.35, 0.65) * plot.depth
        w, d, h = rng.uniform(1.2, 2.8, 3)
        pen.box("steel" if rng.random() < 0.4 else "concrete", (x, y, z), (x + w, y + d, z + h))


def ridge_roof(pen: Pen, plot: Plot, top: float, eave: float, roof: str, wall: str) -> None:
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
