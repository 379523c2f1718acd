"""People: walkers whose limbs swing, and riders that sit. Axes: x forward, z up from the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from realmaster_live.minitown.models.shapes import Builder, Pen, vec

Point = tuple[float, float, float]
PEDESTRIAN, RIDER = 12, 13
RIDER_TORSO = (  # share of the way from hip to chest, half depth, half width
    (-0.15, 0.08, 0.12), (0.0, 0.13, 0.17), (0.4, 0.115, 0.155), (0.85, 0.12, 0.185),
    (1.08, 0.08, 0.13), (1.16, 0.05, 0.05),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """Clothes and build; `skirt` and `bag` add what the names say. height in metres."""

    top: str
    legs: str
    skin: str
    hair: str
    height: float = 1.76
    long_hair: bool = False
    coat: bool = False
    bag: bool = False


OUTFITS = {
    "walker_a": Outfit(top="cloth_blue", legs="cloth_jeans", skin="skin_light", hair="hair_dark"),
    "walker_b": Outfit(
        top="cloth_red", legs="cloth_black", skin="skin_light", hair="hair_fair",
        height=1.67, long_hair=True, coat=True,
    ),
    "walker_c": Outfit(
        top="cloth_grey", legs="cloth_khaki", skin="skin_dark", hair="hair_dark",
        height=1.82, bag=True,
    ),
    "walker_d": Outfit(
        top="cloth_green", legs="cloth_jeans", skin="skin_dark", hair="hair_dark",
        height=1.65, long_hair=True,
    ),
}  # fmt: skip


def walker(builder: Builder, outfit: Outfit) -> dict[str, Point]:
    """Draw a walker; return the points that its limbs turn about."""
    k = outfit.height / 1.76
    hip, shoulder = 0.92 * k, 1.43 * k
    body = builder.pen(PEDESTRIAN)
    _torso(body, outfit, k)
    _head(body, outfit, np.array([0.01, 0, 1.64 * k]), k)
    pivots: dict[str, Point] = {}
    for sign, side in ((-1, "l"), (1, "r")):
        leg = builder.pen(PEDESTRIAN, part=f"leg_{side}")
        y = sign * 0.095 * k
        line = np.array([[0, y, hip], [0.01, y, 0.66], [0.015, y, 0.49], [-0.005, y, 0.32],
                         [-0.02, y, 0.09]]) * [1, 1, k]  # fmt: skip
        line[0, 2] = hip
        leg.tube(outfit.legs, line, np.array([0.095, 0.078, 0.062, 0.058, 0.042]) * k, 10)
        leg.ball("shoe", [0.05, y, 0.055], [0.14 * k, 0.048 * k, 0.055], 5, 9)
        pivots[f"leg_{side}"] = (0.0, y, hip)
        arm = builder.pen(PEDESTRIAN, part=f"arm_{side}")
        y = sign * 0.215 * k
        xs, zs = [0, -0.005, -0.01, 0.02, 0.04], [1.405, 1.30, 1.14, 0.95, 0.88]
        ys = y * np.array([0.86, 0.97, 1.05, 1.1, 1.1])
        line = np.stack([xs, ys, np.array(zs) * k], axis=-1)
        arm.ball(outfit.top, line[0], np.array([0.062, 0.066, 0.056]) * k, 6, 9)
        arm.tube(outfit.top, line, np.array([0.058, 0.055, 0.046, 0.038, 0.034]) * k, 9, cap=True)
        arm.ball(outfit.skin, line[-1] + vec(0.01, 0, -0.06), [0.035, 0.03, 0.075], 5, 8)
        pivots[f"arm_{side}"] = (0.0, y, shoulder)
    return pivots


def _rings(pen: Pen, material: str, rows: ArrayLike, k: float = 1.0, sides: int = 14) -> None:
    """Draw a round body from rows of (z, x, half depth, half width)."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    grid = [
        np.stack([x + deep * np.cos(angle), wide * np.sin(angle), z + 0 * angle], axis=-1)
        for z, x, deep, wide in np.asarray(rows, float)
    ]
    pen.patch(material, np.stack(grid) * k)


def _torso(pen: Pen, outfit: Outfit, k: float) -> None:
    hips = [
        [0.80, 0, 0.05, 0.10],
        [0.84, 0, 0.105, 0.165],
        [0.92, 0, 0.115, 0.172],
        [1.02, 0, 0.10, 0.15],
    ]
    _rings(pen, outfit.legs, hips, k)
    chest = [[0.95, 0, 0.122, 0.176], [1.05, 0, 0.108, 0.157], [1.18, 0.005, 0.115, 0.165],
             [1.32, 0.01, 0.122, 0.186], [1.40, 0.0, 0.105, 0.185], [1.455, -0.005, 0.07, 0.12],
             [1.485, 0, 0.055, 0.06]]  # fmt: skip
    if outfit.coat:
        chest = [[0.58, 0, 0.17, 0.22], [0.75, 0, 0.15, 0.20], *chest]
    _rings(pen, outfit.top, chest, k)
    if outfit.bag:
        pen.ball("cloth_black", [-0.15 * k, 0, 1.24 * k], [0.12, 0.155, 0.21], 6, 10)


def _head(pen: Pen, outfit: Outfit, centre: ArrayLike, k: float) -> None:
    middle = np.asarray(centre, float)
    neck = [middle + vec(-0.01, 0, -0.19 * k), middle + vec(0, 0, -0.05 * k)]
    pen.tube(outfit.skin, neck, 0.05 * k, 9)
    pen.ball(outfit.skin, middle, [0.098 * k, 0.077 * k, 0.12 * k], 8, 12)
    pen.ball(outfit.skin, middle + vec(0.098 * k, 0, -0.01), [0.018, 0.014, 0.022], 4, 6)
    pen.ball(outfit.hair, middle + vec(-0.02, 0, 0.025), [0.098 * k, 0.086 * k, 0.115 * k], 7, 12)
    if outfit.long_hair:
        pen.ball(outfit.hair, middle + vec(-0.065, 0, -0.08), [0.05, 0.085, 0.15], 6, 10)


def rider(builder: Builder, outfit: Outfit, seat: Point, grips: Point, pedal: Point,
          helmet: str) -> None:  # fmt: skip
    """Draw somebody on a seat with hands at `grips` and feet at `pedal` (the right side's)."""
    pen = builder.pen(RIDER)
    hip = np.array(seat) + vec(0, 0, 0.09)
    reach = np.array([grips[0], 0, grips[2]]) - hip
    lean = np.array([reach[0] * 0.45, 0, 0])
    chest = hip + vec(0, 0, 0.42) + lean
    angle = np.linspace(0, 2 * np.pi, 13)
    rings = []
    for along, deep, wide in RIDER_TORSO:
        middle = hip + (chest - hip) * along
        rings.append(
            np.stack(
                [middle[0] + deep * np.cos(angle), wide * np.sin(angle), middle[2] + 0 * angle],
                axis=-1,
            )
        )
    pen.patch(outfit.top, np.stack(rings))
    head = chest + vec(0.09, 0, 0.27)
    _head(pen, outfit, head, 0.98)
    pen.ball(helmet, head + vec(-0.01, 0, 0.045), [0.135, 0.105, 0.115], 7, 12)
    for sign in (-1, 1):
        side = np.array([1, sign, 1])
        shoulder = chest + vec(0, sign * 0.19, -0.02)
        hand = np.array(grips) * side
        elbow = (shoulder + hand) / 2 + vec(-0.05, sign * 0.06, -0.09)
        pen.tube(outfit.top, [shoulder, elbow, hand], [0.058, 0.046, 0.036], 8)
        pen.ball("cloth_black", hand, [0.05, 0.045, 0.04], 5, 8)
        foot = np.array(pedal) * side
        thigh = hip + vec(0, sign * 0.10, -0.05)
        bend = (thigh + foot) / 2 + vec(0.24, 0, 0.10)
        pen.tube(outfit.legs, [thigh, bend, foot + vec(0, 0, 0.06)], [0.09, 0.066, 0.045], 9)
        pen.ball("shoe", foot + vec(0.05, 0, 0.02), [0.14, 0.048, 0.05], 5, 8)
