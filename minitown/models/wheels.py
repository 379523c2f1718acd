"""Wheels: a tyre and a rim of five spokes, round the y axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.bodies import Body
from realmaster_live.minitown.models.shapes import Builder

Array = NDArray[np.float64]


def tyre_width(body: Body) -> float:
    """Return the tyres' width, metres."""
    return 0.22 if body.wheel_radius < 0.4 else 0.28


def draw_wheel(builder: Builder, body: Body, part: str, place: Array, right: bool, semantic: int,
               instance: int, fine: bool, width: float | None = None) -> None:  # fmt: skip
    """Draw a tyre and a rim of five spokes round the y axis; the outer face looks out."""
    pen = builder.pen(semantic, instance, place, part)
    radius = body.wheel_radius
    half = (width or tyre_width(body)) / 2
    out = 1.0 if right else -1.0
    sides = 20 if fine else 10
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=-1)

    def turn(material: str, profile: list[tuple[float, float]]) -> None:
        rings = [circle * r + [0, y * out, 0] for r, y in profile]
        pen.patch(material, np.stack(rings))

    tread = [
        (0.66 * radius, half),
        (0.9 * radius, half),
        (radius, 0.7 * half),
        (radius, -0.7 * half),
    ]
    turn("tyre", tread if not fine else [*tread, (0.9 * radius, -half), (0.5 * radius, -half)])
    turn(
        "rim",
        [(0.68 * radius, half * 1.01), (0.62 * radius, half * 0.93), (0.60 * radius, half * 0.5)],
    )
    pen.fan("underbody", circle[:-1] * 0.62 * radius + [0, half * 0.45 * out, 0])
    spokes = []
    for k in range(5):
        a = 2 * np.pi * k / 5
        ahead = np.array([np.cos(a), 0, np.sin(a)])
        aside = np.array([-np.sin(a), 0, np.cos(a)])
        inner, outer = half * 0.72 * out, half * 0.9 * out
        spokes.append([
            aside * -0.10 * radius + [0, inner, 0],
            ahead * 0.63 * radius + aside * -0.075 * radius + [0, outer, 0],
            ahead * 0.63 * radius + aside * 0.075 * radius + [0, outer, 0],
            aside * 0.10 * radius + [0, inner, 0],
        ])  # fmt: skip
    pen.quads("rim", spokes)
    hub = circle[:-1:2] * 0.14 * radius + [0, half * 0.76 * out, 0]
    pen.fan("rim", hub)
