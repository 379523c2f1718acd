"""A motorcycle and a bicycle, each with its rider. Model axes: x forward, z up from the road."""

from __future__ import annotations

import numpy as np

from realmaster_live.minitown.models.bodies import BODIES
from realmaster_live.minitown.models.people import Outfit, rider
from realmaster_live.minitown.models.shapes import Builder, Pen, frame

Point = tuple[float, float, float]


def _wheel(builder: Builder, name: str, part: str, x: float, width: float, spokes: int) -> Point:
    body = BODIES[name]
    radius = body.wheel_radius
    pen = builder.pen(body.semantic, 0, frame(x, 0, 0, radius), part)
    _torus(pen, "tyre", radius - width / 2, width / 2)
    _torus(pen, "rim", radius - width * 1.1, width * 0.28)
    angle = np.arange(spokes) * 2 * np.pi / spokes
    ahead = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=-1)
    aside = np.stack([-np.sin(angle), 0 * angle, np.cos(angle)], axis=-1)
    thick = 0.004 if spokes > 8 else 0.025
    tip = ahead * (radius - width)
    pen.quads("rim", np.stack(
        [aside * thick, tip + aside * thick, tip - aside * thick, -aside * thick], axis=1
    ))  # fmt: skip
    pen.tube("car_trim", [[0, -0.05, 0], [0, 0.05, 0]], 0.03, 8)
    return (x, 0.0, radius)


def _torus(pen: Pen, material: str, radius: float, thick: float) -> None:
    around = np.linspace(0, 2 * np.pi, 25)[None, :, None]
    section = np.linspace(0, 2 * np.pi, 9)[:, None, None]
    out = radius + thick * np.cos(section)
    grid = np.concatenate(
        [out * np.cos(around), thick * np.sin(section) + 0 * around, out * np.sin(around)], axis=-1
    )
    pen.patch(material, grid)


def motorcycle(builder: Builder) -> dict[str, Point]:
    """Draw a naked motorcycle with a rider; return its wheels' pivots."""
    body = BODIES["motorcycle"]
    front, back = body.wheelbase / 2 + 0.02, -body.wheelbase / 2 + 0.02
    pivots = {
        "wheel_fl": _wheel(builder, "motorcycle", "wheel_fl", front, 0.12, 6),
        "wheel_rl": _wheel(builder, "motorcycle", "wheel_rl", back, 0.16, 6),
    }
    pen = builder.pen(body.semantic)
    for y in (-0.1, 0.1):
        pen.tube("chrome", [[front, y, 0.31], [front - 0.28, y, 0.92]], 0.025, 8)
        pen.tube("car_trim", [[back, y, 0.31], [-0.12, y, 0.42]], 0.03, 6)
    pen.tube("paint", [[front - 0.24, 0, 0.86], [0.05, 0, 0.72], [-0.3, 0, 0.62]], 0.05, 8)
    pen.ball("car_trim", [0.08, 0, 0.42], [0.27, 0.16, 0.2], 6, 10)
    pen.box("rim", (-0.12, -0.17, 0.28), (0.26, 0.17, 0.42))
    pen.ball("paint", [0.2, 0, 0.82], [0.31, 0.17, 0.15], 7, 12)
    pen.ball("car_trim", [-0.35, 0, 0.78], [0.36, 0.14, 0.07], 6, 10)
    pen.ball("paint", [-0.62, 0, 0.80], [0.26, 0.11, 0.09], 6, 10)
    pen.ball("paint", [front, 0, 0.60], [0.26, 0.075, 0.06], 6, 10)
    pen.tube(
        "chrome", [[0.2, 0.16, 0.3], [-0.3, 0.19, 0.3], [-0.75, 0.2, 0.45]], [0.03, 0.04, 0.055], 8
    )
    pen.tube("car_trim", [[0.32, -0.36, 1.02], [0.42, -0.1, 0.98], [0.42, 0.1, 0.98],
                          [0.32, 0.36, 1.02]], 0.018, 6)  # fmt: skip
    builder.pen(body.semantic, part="head_light").ball(
        "head_lamp", [front - 0.16, 0, 0.86], [0.09, 0.1, 0.1], 6, 10
    )
    builder.pen(body.semantic, part="brake_light").ball(
        "tail_lamp", [-0.86, 0, 0.8], [0.04, 0.09, 0.04], 5, 8
    )
    outfit = Outfit(top="cloth_black", legs="cloth_jeans", skin="skin_light", hair="hair_dark")
    rider(builder, outfit, (-0.28, 0.0, 0.76), (0.32, 0.34, 1.02), (-0.02, 0.2, 0.3), "paint_red")
    return pivots


def bicycle(builder: Builder) -> dict[str, Point]:
    """Draw a bicycle with a rider; return its wheels' pivots."""
    body = BODIES["bicycle"]
    front, back = body.wheelbase / 2, -body.wheelbase / 2
    pivots = {
        "wheel_fl": _wheel(builder, "bicycle", "wheel_fl", front, 0.045, 16),
        "wheel_rl": _wheel(builder, "bicycle", "wheel_rl", back, 0.045, 16),
    }
    pen = builder.pen(body.semantic)
    head, crank, saddle = [0.36, 0, 0.88], [-0.08, 0, 0.29], [-0.22, 0, 0.86]
    for line in ([head, crank], [crank, saddle], [[0.34, 0, 0.82], [-0.2, 0, 0.76]]):
        pen.tube("paint", line, 0.022, 8)
    for y in (-0.045, 0.045):
        pen.tube("paint", [[front, y, 0.34], [0.37, y, 0.74], head], 0.014, 6)
        pen.tube("paint", [crank, [back, y, 0.34]], 0.012, 6)
        pen.tube("paint", [[-0.2, 0, 0.76], [back, y, 0.34]], 0.012, 6)
    pen.tube("car_trim", [[0.34, -0.28, 1.0], [0.38, -0.06, 0.98], [0.38, 0.06, 0.98],
                          [0.34, 0.28, 1.0]], 0.014, 6)  # fmt: skip
    pen.tube("chrome", [head, [0.38, 0, 0.98]], 0.016, 6)
    pen.ball("car_trim", [-0.24, 0, 0.9], [0.14, 0.075, 0.035], 5, 9)
    pen.tube("chrome", [[-0.08, -0.06, 0.29], [-0.08, 0.06, 0.29]], 0.09, 10)
    pen.box("car_trim", (-0.03, -0.2, 0.13), (0.07, 0.2, 0.15))
    outfit = Outfit(top="cloth_white", legs="cloth_black", skin="skin_light", hair="hair_dark")
    rider(builder, outfit, (-0.24, 0.0, 0.9), (0.34, 0.27, 1.02), (0.0, 0.14, 0.2), "paint_blue")
    return pivots
