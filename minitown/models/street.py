"""Things that stand along a street: lamps, lights, signs, benches, bins, fences, shelters.

Own axes: origin at the foot, x along the street, y away from the road (so the road is at -y).
"""

from __future__ import annotations

import numpy as np

from realmaster_live.minitown.models.shapes import Builder, Pen, frame, vec
from realmaster_live.minitown.transforms import Vector

POLES, LIGHTS, SIGNS, STATIC, FENCES = 6, 7, 8, 20, 5
MAST_REACH = 3.4
LIGHT_HEADS = ((0.0, 2.35), (MAST_REACH - 0.2, 5.25))  # y and lowest z of each, metres


def lamp(pen: Pen, style: int) -> None:
    """Draw a street lamp whose arm reaches over the road."""
    if style == 0:
        line = [[0, 0, 0], [0, 0, 5.6], [0, -0.25, 6.5], [0, -0.9, 7.0], [0, -1.9, 7.1]]
        pen.tube("steel", line, [0.09, 0.06, 0.05, 0.045, 0.04], sides=8)
        pen.box("steel", (-0.13, -2.4, 7.06), (0.13, -1.75, 7.16))
        pen.box("lens_lamp", (-0.1, -2.35, 7.04), (0.1, -1.85, 7.06), "xXyYz")
    else:
        pen.tube("pole_green", [[0, 0, 0], [0, 0, 0.5], [0, 0, 0.55], [0, 0, 4.0]],
                 [0.11, 0.1, 0.055, 0.045], sides=8)  # fmt: skip
        pen.tube("lens_lamp", [[0, 0, 4.0], [0, 0, 4.5]], [0.12, 0.2], sides=8)
        pen.tube(
            "pole_green", [[0, 0, 4.5], [0, 0, 4.56], [0, 0, 4.8]], [0.27, 0.22, 0.02], sides=8
        )
    pen.tube("iron", [[0, 0, 0], [0, 0, 0.12]], [0.16, 0.12], sides=8)


def light_pole(pen: Pen) -> None:
    """Draw the post and mast of a traffic light; y points to the middle of the road here."""
    pen.tube("iron", [[0, 0, -0.02], [0, 0, 3.4]], 0.07, sides=8)
    pen.tube("iron", [[0, 0, 3.4], [0, 0, 5.9]], [0.07, 0.06], sides=8, cap=True)
    pen.tube("iron", [[0, 0, 5.7], [0, MAST_REACH, 5.85]], [0.06, 0.045], sides=8, cap=True)
    pen.box("iron", (-0.16, -0.16, -0.02), (0.16, 0.16, 0.3))
    pen.box("steel", (-0.2, -0.14, 0.35), (-0.06, 0.14, 1.0))


def light_heads(builder: Builder) -> None:
    """Draw the two heads of a traffic light, one on the post, one on the mast; x is the face."""
    body = builder.pen(LIGHTS)
    for y, low in LIGHT_HEADS:
        body.box("iron", (0.06, y - 0.17, low), (0.28, y + 0.17, low + 1.05), "xXyYzZ")
        body.box("iron", (0.05, y - 0.28, low - 0.1), (0.06, y + 0.28, low + 1.15), "xX")
        for k, name in enumerate(("green", "yellow", "red")):
            z = low + 0.19 + 0.335 * k
            lens = builder.pen(LIGHTS, part=f"lamp_{name}")
            angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            rim = np.stack(
                [np.full(12, 0.285), y + 0.115 * np.cos(angle), z + 0.115 * np.sin(angle)], axis=-1
            )
            lens.fan(f"lens_{name}", rim)
            hood = np.linspace(-0.3, np.pi + 0.3, 9)
            rows = [
                np.stack([np.full(9, x), y + 0.13 * np.cos(hood), z + 0.13 * np.sin(hood)], axis=-1)
                for x in (0.28, 0.44)
            ]
            body.patch("iron", np.stack(rows))


def light_head_boxes() -> list[tuple[Vector, Vector]]:
    """Return middle and half size of each head that `light_heads` draws, hoods included."""
    return [((0.245, y, low + 0.525), (0.195, 0.28, 0.625)) for y, low in LIGHT_HEADS]


def sign(pen: Pen, face: int) -> None:
    """Draw a round sign that faces -x; faces: 30 limit, no parking, no entry, arrow."""
    pen.tube("steel", [[0, 0, 0], [0, 0, 2.75]], 0.03, sides=6)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    disc = np.stack([0 * angle, np.cos(angle), np.sin(angle)], axis=-1) * 0.32
    front = disc + vec(-0.05, 0, 2.45)
    centre = 0.25 + 0.5 * np.array([face % 2, 1 - face // 2])
    uvs = centre + 0.245 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    middle = np.concatenate([front.mean(axis=0)[None], front])
    index = np.arange(20)
    triangles = np.stack([0 * index, index + 1, (index + 1) % 20 + 1], axis=1)
    normals = np.tile([-1.0, 0, 0], (21, 1))
    pen.add("sign_faces", middle, normals, np.concatenate([[centre], uvs]), triangles)
    pen.fan("steel", front + vec(0.015, 0, 0))


def bench(pen: Pen) -> None:
    """Draw a wooden bench that looks at the road."""
    for x in (-0.75, 0.7):
        pen.box("iron", (x, -0.2, 0.0), (x + 0.05, 0.22, 0.42))
        pen.box("iron", (x, 0.18, 0.4), (x + 0.05, 0.25, 0.85))
    for y in (-0.2, -0.06, 0.08):
        pen.box("wood", (-0.85, y, 0.42), (0.85, y + 0.11, 0.46), "xXyYzZ")
    for z in (0.55, 0.7):
        pen.box("wood", (-0.85, 0.18, z), (0.85, 0.21, z + 0.11), "xXyYzZ")


def bin_(pen: Pen) -> None:
    """Draw a litter bin."""
    pen.tube("pole_green", [[0, 0, 0.05], [0, 0, 0.85]], [0.2, 0.24], sides=10)
    pen.tube("iron", [[0, 0, 0.85], [0, 0, 0.95], [0, 0, 1.0]], [0.26, 0.26, 0.02], sides=10)


def hydrant(pen: Pen) -> None:
    """Draw a fire hydrant."""
    line = [[0, 0, 0], [0, 0, 0.06], [0, 0, 0.07], [0, 0, 0.55], [0, 0, 0.6], [0, 0, 0.74]]
    pen.tube("hydrant", line, [0.16, 0.16, 0.11, 0.11, 0.14, 0.03], sides=10)
    pen.tube("hydrant", [[-0.2, 0, 0.42], [0.2, 0, 0.42]], 0.05, sides=6)


def mailbox(pen: Pen) -> None:
    """Draw a letter box on legs."""
    pen.box("mailbox", (-0.28, -0.25, 0.2), (0.28, 0.25, 1.05), "xXyYz")
    angle = np.linspace(0, np.pi, 7)
    rows = [np.stack([np.full(7, x), 0.25 * np.cos(angle), 1.05 + 0.2 * np.sin(angle)], axis=-1)
            for x in (-0.28, 0.28)]  # fmt: skip
    pen.patch("mailbox", np.stack(rows))
    for row in rows:
        pen.fan("mailbox", row)
    for x in (-0.22, 0.22):
        pen.box("iron", (x - 0.03, -0.2, 0.0), (x + 0.03, 0.2, 0.2))


def bollard(pen: Pen) -> None:
    """Draw a short iron post."""
    pen.tube("iron", [[0, 0, 0], [0, 0, 0.85], [0, 0, 0.95]], [0.07, 0.06, 0.01], sides=8)


def shelter(pen: Pen) -> None:
    """Draw a bus stop: glass back, roof and seat, open to the road."""
    for x in (-1.9, 1.85):
        for y in (-0.5, 0.7):
            pen.box("dark_trim", (x, y, 0.0), (x + 0.06, y + 0.06, 2.35))
    pen.box("dark_trim", (-2.05, -0.75, 2.35), (2.05, 0.85, 2.47), "xXyYzZ")
    pen.box("glass_rail", (-1.85, 0.72, 0.25), (1.85, 0.74, 2.2), "yYxXZ")
    pen.box("wood", (-1.4, 0.3, 0.42), (1.0, 0.65, 0.47), "xXyYzZ")
    pen.box("board_1", (1.84, -0.4, 0.4), (1.88, 0.6, 2.1))


def fence(pen: Pen, length: float, style: int) -> None:
    """Draw a garden fence along x from the origin: pales, or iron bars."""
    material, gap, wide, high = (("trim", 0.16, 0.1, 0.95), ("iron", 0.14, 0.02, 1.1))[style]
    x = np.arange(0.0, length, gap)[:, None, None]
    pale = np.array([[0, 0, 0.06], [wide, 0, 0.06], [wide, 0, high], [0, 0, high]])
    pen.quads(material, pale + np.concatenate([x, 0 * x, 0 * x], axis=-1))
    for z in (0.25, high - 0.2):
        pen.box(material, (0, 0.0, z), (length, 0.04, z + 0.07), "yYzZ")


def low_wall(pen: Pen, length: float) -> None:
    """Draw a brick garden wall along x from the origin."""
    pen.box("brick_red", (0, -0.11, 0.0), (length, 0.11, 0.7))
    pen.box("stone", (-0.03, -0.15, 0.7), (length + 0.03, 0.15, 0.77), "xXyYzZ")


def tree_pit(builder: Builder, x: float, y: float, heading: float, z: float) -> None:
    """Draw the square of soil that a street tree grows from."""
    pen = builder.pen(10, 0, frame(x, y, heading, z))
    half, rise = 0.6, 0.008
    pen.quads("soil", [[[-half, -half, rise], [half, -half, rise],
                        [half, half, rise], [-half, half, rise]]])  # fmt: skip
