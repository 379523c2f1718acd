"""Cars, vans, pickups, trucks and buses as lofted bodies; x forward, z up from the road.

A body is a row of sections. Each section's side swells out to the shoulder, leans in above it
(tumblehome) and arches over to the middle; its lower edge rises over the wheels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.bodies import BODIES, Body
from realmaster_live.minitown.models.lofts import Shell, decal, draw_shell, loft
from realmaster_live.minitown.models.shapes import Builder, frame
from realmaster_live.minitown.models.wheels import draw_wheel, tyre_width

Array = NDArray[np.float64]
Line = tuple[tuple[float, float], ...]

ROWS = 10
COARSE = (0, 2, 4, 5, 6, 7, 9)  # the rows that a parked car keeps
UNDER = -1
SWELL = np.array([[0.0, 0.93], [0.12, 0.985], [0.5, 1.0], [0.82, 0.985], [1.0, 0.955]])


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a car is drawn. Lines are (x, value) points from nose to tail; x in half lengths.

    Attributes:
        top: height of hood, screen, roof and boot, in car heights. belt: height of the shoulder.
        plan: half width, in car half widths. under: ground clearance, metres.
        screen, rear: x range of windscreen and rear window. glass: x ranges of side windows.
        axle: x of the front axle, metres. lean: tumblehome, metres in per metre up.
        seams: x of the door gaps. cladding: dark plastic below. lamp, tail: heights of the lamps,
            in car heights. frame_from: x behind which a truck is a bare frame.
    """

    top: Line
    belt: Line
    plan: Line
    under: float
    screen: tuple[float, float]
    rear: tuple[float, float]
    glass: tuple[tuple[float, float], ...]
    axle: float
    seams: tuple[float, ...]
    lean: float = 0.30
    cladding: bool = False
    lamp: tuple[float, float] = (0.60, 0.76)
    tail: tuple[float, float] = (0.70, 0.86)
    frame_from: float = -2.0


def draw_car(
    builder: Builder,
    name: str,
    design: Design,
    paint: str,
    semantic: int,
    instance: int = 0,
    pose: Array | None = None,
    fine: bool = True,
) -> None:
    """Draw a car into the builder: with its moving parts when `fine`, else as one still thing."""
    body = BODIES[name]
    shell = _shell(body, design, paint, fine)
    pen = builder.pen(semantic, instance, pose)
    draw_shell(pen, shell)
    _lamps(builder, shell, body, design, semantic, instance, pose, fine)
    if fine:
        _details(builder, shell, body, design, paint, semantic, instance, pose)
    if name == "truck":
        half, wide, top = body.extent[0], body.extent[1], 2 * body.extent[2]
        pen.box("cargo_white", (-half, -wide, 1.05), (0.40 * half, wide, top), "xXyYzZ")
        pen.box("car_trim", (-half - 0.02, -wide * 0.9, 0.5), (-half + 0.08, wide * 0.9, 0.62))
    for part, (x, y) in wheel_places(body, design).items():
        base = np.eye(4) if pose is None else pose
        place = base @ frame(x, y, 0.0, body.wheel_radius)
        draw_wheel(builder, body, part if fine else "", place, y > 0, semantic, instance, fine)


def wheel_places(body: Body, design: Design) -> dict[str, tuple[float, float]]:
    """Return each wheel's x and y, metres."""
    side = body.extent[1] - 0.03 - tyre_width(body) / 2
    front, back = design.axle, design.axle - body.wheelbase
    return {
        "wheel_fl": (front, -side),
        "wheel_fr": (front, side),
        "wheel_rl": (back, -side),
        "wheel_rr": (back, side),
    }


def _stations(body: Body, design: Design, fine: bool) -> Array:
    half = body.extent[0]
    arch = body.wheel_radius * 1.16
    marks = {x * half for line in (design.top, design.plan) for x, _ in line}
    marks |= {x * half for span in (design.screen, design.rear, *design.glass) for x in span}
    spread = (1.0, 0.98, 0.88, 0.68, 0.38, 0.0) if fine else (1.0, 0.92, 0.7, 0.3)
    arches = [
        axle + sign * arch * f
        for axle in (design.axle, design.axle - body.wheelbase)
        for f in spread
        for sign in (-1, 1)
    ]
    near = 0.012 if fine else 0.045
    chosen = [half, -half]
    for x in [*arches, *sorted(marks)]:  # what shapes the wheel arches goes first
        if abs(x) < half and min(abs(x - other) for other in chosen) > near:
            chosen.append(x)
    return np.array(sorted(chosen, reverse=True))


def _at(line: Line, x: Array, half: float) -> Array:
    places = np.array(line)[::-1]
    return np.asarray(np.interp(x / half, places[:, 0], places[:, 1]))


def _shell(body: Body, design: Design, paint: str, fine: bool) -> Shell:
    half, wide, height = body.extent[0], body.extent[1], 2 * body.extent[2]
    x = _stations(body, design, fine)
    crown = 0.025
    top = _at(design.top, x, half) * height - crown
    belt = np.minimum(_at(design.belt, x, half) * height, top - 0.03)
    width = _at(design.plan, x, half) * wide
    low = design.under + 0.16 * np.clip(np.abs(x) / half - 0.86, 0, 1) / 0.14
    low = np.minimum(low, belt - 0.12)
    base = low.copy()
    arch = body.wheel_radius * 1.16
    for axle in (design.axle, design.axle - body.wheelbase):
        rise = np.sqrt(np.clip(arch**2 - (x - axle) ** 2, 0, None))
        low = np.where(rise > 0, np.maximum(low, body.wheel_radius + rise), low)
    low = np.minimum(low, belt - 0.06)
    rows = np.empty((len(x), ROWS, 2))
    for row, part in enumerate((0.0, 0.14, 0.48, 0.8, 1.0)):
        z = low + part * (belt - low)
        swell = np.interp((z - base) / (belt - base), SWELL[:, 0], SWELL[:, 1])
        rows[:, row] = np.stack([width * swell, z], axis=-1)
    rise = top - belt
    for row, part in ((5, 0.07), (6, 0.84), (7, 0.975)):
        y = 0.945 * width - design.lean * rise * part
        if row == 7:
            y = y - np.minimum(0.07, 0.4 * width)
        rows[:, row] = np.stack([np.maximum(y, 0.1), belt + rise * part], axis=-1)
    rows[:, 8] = np.stack([0.5 * rows[:, 7, 0], top + 0.7 * crown], axis=-1)
    rows[:, 9] = np.stack([0 * x, top + crown], axis=-1)
    if not fine:
        rows = rows[:, COARSE]
    ring = np.concatenate([rows, rows[:, -2::-1] * [-1, 1]], axis=1)
    ends = (paint, paint if design.frame_from < -1 else "car_trim")
    sides = list(COARSE[1:]) if not fine else list(range(1, ROWS))
    kinds = [row - 1 for row in sides] + [row - 1 for row in sides[::-1]] + [UNDER]
    sections = np.concatenate(
        [np.broadcast_to(x[:, None, None], (*ring.shape[:2], 1)), ring], axis=-1
    )
    return loft(sections, lambda i, j: _material(design, paint, x / half, i, kinds[j]), ends)


def _material(design: Design, paint: str, x: Array, i: int, row: int) -> str:
    """Name the surface between stations i, i + 1 below row `row` + 1 of a section."""
    middle = (x[i] + x[i + 1]) / 2
    if row == UNDER:
        return "underbody"
    if middle < design.frame_from:
        return "car_trim"
    if row >= 7:
        spans = (design.screen, design.rear)
        return "car_glass" if any(a > middle > b for a, b in spans) else paint
    if row == 5:
        if any(a > middle > b for a, b in design.glass):
            return "car_glass"
        inner = design.glass and design.glass[0][0] > middle > design.glass[-1][1]
        return "car_trim" if inner else paint
    return "car_trim" if row == 0 and design.cladding else paint


def _lamps(builder: Builder, shell: Shell, body: Body, design: Design, semantic: int,
           instance: int, pose: Array | None, fine: bool) -> None:  # fmt: skip
    half, wide, height = body.extent[0], body.extent[1], 2 * body.extent[2]
    cells = (3, 5) if fine else (1, 2)
    for sign in (-1, 1):
        for part, material, (low, high), ahead, inner in (
            ("head_light", "head_lamp", design.lamp, 1, 0.50),
            ("brake_light", "tail_lamp", design.tail, -1, 0.62),
        ):
            pen = builder.pen(semantic, instance, pose, part if fine else "")
            x = ahead * (half + 1)
            a, b = sign * wide * inner, sign * wide * 0.86
            low_z, high_z = low * height, high * height
            corners = [[x, a, low_z], [x, b, low_z + 0.03], [x, b, high_z], [x, a, high_z - 0.04]]
            decal(pen, shell, material, corners, [-ahead, 0, 0], 0.012, cells)
    pen = builder.pen(semantic, instance, pose)
    low = design.under
    grille = (design.lamp[0] * height - 0.03, design.lamp[1] * height - 0.03)
    for ahead, (bottom, top), y in (
        (1, grille, 0.48 * wide),
        (1, (low + 0.19, low + 0.29), 0.60 * wide),
        (-1, (low + 0.19, low + 0.27), 0.60 * wide),
    ):
        x = ahead * (half + 1)
        corners = [[x, -y, bottom], [x, y, bottom], [x, y * 1.06, top], [x, -y * 1.06, top]]
        cells = (2, 6) if fine else (1, 4)
        decal(pen, shell, "car_trim", corners, [-ahead, 0, 0], 0.006, cells)
    for ahead, bottom in ((1, grille[0] - 0.12), (-1, design.tail[0] * height - 0.02)):
        x, side = ahead * (half + 1), -ahead * 0.26
        top = bottom + 0.115
        corners = [[x, side, bottom], [x, -side, bottom], [x, -side, top], [x, side, top]]
        decal(pen, shell, "plate", corners, [-ahead, 0, 0], 0.02, (1, 1))


def _details(builder: Builder, shell: Shell, body: Body, design: Design, paint: str,
             semantic: int, instance: int, pose: Array | None) -> None:  # fmt: skip
    """Add door gaps, handles, mirrors, a badge and chrome."""
    pen = builder.pen(semantic, instance, pose)
    half, wide, height = body.extent[0], body.extent[1], 2 * body.extent[2]
    belt = float(_at(design.belt, np.array([0.0]), half)[0]) * height
    for sign in (-1, 1):
        y = sign * (wide + 1)
        for x in np.array(design.seams) * half:
            low = design.under + 0.12
            corners = [[x, y, low], [x + 0.012, y, low], [x + 0.012, y, belt], [x, y, belt]]
            decal(pen, shell, "seam", corners, [0, -sign, 0], 0.004, (4, 1))
        for x in np.array(design.seams[1:]) * half + 0.12:
            z = belt - 0.13
            corners = [[x, y, z], [x + 0.17, y, z], [x + 0.17, y, z + 0.03], [x, y, z + 0.03]]
            decal(pen, shell, paint, corners, [0, -sign, 0], 0.022, (1, 2))
        place = design.glass[0][0] * half - 0.16 if design.glass else 0.5 * half
        reach = wide * 0.945
        z = belt + 0.07
        pen.ball(paint, [place, sign * (reach + 0.10), z + 0.04], [0.075, 0.115, 0.075], 5, 8)
        near, far = sorted((sign * reach * 0.95, sign * (reach + 0.05)))
        pen.box("car_trim", (place - 0.03, near, z - 0.02), (place + 0.03, far, z + 0.02))
    x = half + 1
    low = design.lamp[0] * height + 0.02
    corners = [[x, -0.06, low], [x, 0.06, low], [x, 0.06, low + 0.06], [x, -0.06, low + 0.06]]
    decal(pen, shell, "chrome", corners, [-1, 0, 0], 0.014, (1, 1))
