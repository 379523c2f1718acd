"""Every material of the town, with how many metres one repeat of its texture covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models import openings, textures
from realmaster_live.minitown.models.textures import Color, Picture
from realmaster_live.minitown.scene import Material

WALLS = (
    "brick_red",
    "brick_brown",
    "brick_yellow",
    "plaster_white",
    "plaster_sand",
    "plaster_rose",
)
PLASTERS = ("plaster_white", "plaster_sand", "plaster_rose", "plaster_blue", "plaster_ochre")
SHOPS = tuple(f"shop_{k}" for k in range(4))
BOARDS = tuple(f"board_{k}" for k in range(6))
AWNINGS = tuple(f"awning_{k}" for k in range(3))
LEAVES = ("leaf_green", "leaf_dark", "leaf_light", "leaf_autumn")
PAINTS: dict[str, Color] = {
    "paint_white": (0.80, 0.80, 0.79),
    "paint_silver": (0.55, 0.56, 0.57),
    "paint_grey": (0.28, 0.29, 0.30),
    "paint_black": (0.07, 0.07, 0.08),
    "paint_blue": (0.08, 0.17, 0.38),
    "paint_red": (0.50, 0.07, 0.07),
    "paint_green": (0.13, 0.24, 0.18),
    "paint_sand": (0.55, 0.49, 0.38),
}

TILES: dict[str, float] = {
    "asphalt": 7.0,
    "asphalt_patch": 5.0,
    "pavement": 2.0,
    "plaza": 2.4,
    "kerb": 1.0,
    "grass": 5.0,
    "soil": 3.0,
    "concrete": 3.0,
    "gravel": 3.0,
    "roof_red": 2.4,
    "roof_slate": 2.4,
    "bark": 1.2,
    "forest": 26.0,
    "wood": 1.5,
    **{name: 2.0 for name in WALLS if name.startswith("brick")},
    **{name: 3.0 for name in PLASTERS},
    **{name: 1.7 for name in LEAVES},
    **{name: 2.4 for name in AWNINGS},
}


@lru_cache(maxsize=1)
def make_materials() -> dict[str, Material]:
    """Return all materials by name; drawn once, the same in every town."""
    found = [*_ground(), *_walls(), *_openings(), *_plants(), *_street(), *_vehicles(), *_people()]
    return {material.name: material for material in found}


def _plain(name: str, color: Color, roughness: float, metallic: float = 0.0) -> Material:
    return Material(name=name, base_color=color, roughness=roughness, metallic=metallic)


def _textured(
    name: str,
    texture: Picture,
    roughness: float = 0.9,
    rough_map: NDArray[np.uint8] | None = None,
    tint: Color = (1.0, 1.0, 1.0),
) -> Material:
    return Material(
        name=name,
        base_color=tint,
        texture=texture,
        roughness=roughness,
        roughness_texture=rough_map,
    )


def _ground() -> list[Material]:
    asphalt = textures.asphalt()
    return [
        _textured("asphalt", asphalt, 0.85),
        _textured("asphalt_patch", asphalt, 0.8, tint=(0.80, 0.80, 0.81)),
        _textured("pavement", textures.slabs((0.55, 0.54, 0.52))),
        _textured("plaza", textures.slabs((0.58, 0.53, 0.47), 6, 6)),
        _textured("kerb", textures.slabs((0.60, 0.60, 0.58), 1, 1)),
        _textured("grass", textures.grass(), 1.0),
        _textured("soil", textures.speckle((0.30, 0.24, 0.18), 0.05, 21)),
        _textured("gravel", textures.speckle((0.50, 0.48, 0.45), 0.06, 23, 0.2)),
        _textured("line_white", textures.speckle((0.80, 0.80, 0.78), 0.03, 25, 0.8), 0.7),
        _plain("manhole", (0.25, 0.245, 0.24), 0.5),
    ]


def _walls() -> list[Material]:
    found = [
        _textured("brick_red", textures.brick((0.50, 0.27, 0.20), (0.60, 0.57, 0.53), 31)),
        _textured("brick_brown", textures.brick((0.38, 0.27, 0.21), (0.50, 0.47, 0.43), 33)),
        _textured("brick_yellow", textures.brick((0.66, 0.56, 0.40), (0.68, 0.64, 0.57), 35)),
        _textured("concrete", textures.concrete(47)),
        _textured("roof_red", textures.roof_tiles((0.50, 0.30, 0.23))),
        _textured("roof_slate", textures.roof_tiles((0.34, 0.34, 0.36))),
        _textured("wood", textures.speckle((0.42, 0.30, 0.20), 0.04, 51, 0.9), 0.7),
        _plain("stone", (0.66, 0.63, 0.58), 0.85),
        _plain("roof_flat", (0.36, 0.36, 0.36), 0.95),
        _plain("trim", (0.80, 0.79, 0.76), 0.6),
        _plain("dark_trim", (0.15, 0.15, 0.16), 0.5),
        _plain("door_green", (0.12, 0.25, 0.18), 0.4),
        _plain("door_red", (0.42, 0.10, 0.09), 0.4),
        _plain("door_blue", (0.12, 0.20, 0.34), 0.4),
    ]
    colors = ((0.80, 0.78, 0.73), (0.74, 0.66, 0.52), (0.70, 0.54, 0.47), (0.58, 0.64, 0.68))
    for number, (name, color) in enumerate(
        zip(PLASTERS, (*colors, (0.76, 0.60, 0.34)), strict=True)
    ):
        found.append(_textured(name, textures.plaster(color, 37 + 4 * number)))
    return found


def _openings() -> list[Material]:
    atlas_white, rough_white = openings.windows((0.82, 0.81, 0.78), 61)
    atlas_dark, rough_dark = openings.windows((0.16, 0.16, 0.17), 62)
    found = [
        _textured("windows_white", atlas_white, 0.3, rough_white),
        _textured("windows_dark", atlas_dark, 0.3, rough_dark),
        _plain("glass_rail", (0.35, 0.42, 0.44), 0.05),
    ]
    for name, tint, seed in (
        ("curtain_blue", (0.17, 0.25, 0.32), 63),
        ("curtain_grey", (0.20, 0.22, 0.23), 64),
        ("curtain_green", (0.16, 0.27, 0.25), 65),
    ):
        glass, rough = openings.curtain_wall(tint, seed)
        found.append(_textured(name, glass, 0.2, rough))
    for name, seed in zip(SHOPS, range(66, 70), strict=True):
        glass, rough = openings.shop_front(seed)
        found.append(_textured(name, glass, 0.3, rough))
    brick = textures.brick((0.48, 0.28, 0.21), (0.60, 0.57, 0.53), 31)
    for name, wall, seed in (
        ("facade_brick", brick, 71),
        ("facade_plaster", textures.plaster((0.74, 0.70, 0.62), 41), 72),
        ("facade_concrete", textures.concrete(47), 73),
    ):
        image, rough = openings.facade(wall, (0.78, 0.77, 0.74), seed)
        found.append(_textured(name, image, 0.85, rough))
    inks: tuple[tuple[Color, Color], ...] = (
        ((0.50, 0.08, 0.08), (0.90, 0.86, 0.76)),
        ((0.07, 0.20, 0.40), (0.92, 0.92, 0.92)),
        ((0.08, 0.28, 0.16), (0.90, 0.85, 0.60)),
        ((0.86, 0.82, 0.72), (0.18, 0.14, 0.12)),
        ((0.12, 0.12, 0.13), (0.85, 0.70, 0.30)),
        ((0.85, 0.50, 0.10), (0.15, 0.10, 0.08)),
    )
    for number, (board, ink) in enumerate(inks):
        found.append(_textured(BOARDS[number], textures.letters(board, ink, 90 + number), 0.5))
    cloths: tuple[tuple[Color, Color], ...] = (
        ((0.62, 0.12, 0.10), (0.85, 0.83, 0.78)),
        ((0.10, 0.30, 0.20), (0.85, 0.83, 0.76)),
        ((0.14, 0.20, 0.36), (0.14, 0.20, 0.36)),
    )
    for name, cloth in zip(AWNINGS, cloths, strict=True):
        found.append(_textured(name, textures.stripes(cloth, 8), 0.9))
    return found


def _plants() -> list[Material]:
    colors = ((0.34, 0.43, 0.19), (0.25, 0.36, 0.17), (0.42, 0.49, 0.22), (0.54, 0.42, 0.18))
    found = [
        Material(
            name=name,
            texture=textures.leaves(color, 101 + number),
            roughness=0.7,
            cutout=True,
        )
        for number, (name, color) in enumerate(zip(LEAVES, colors, strict=True))
    ]
    found.append(_textured("bark", textures.bark()))
    found.append(_textured("forest", textures.leaves((0.24, 0.32, 0.20), 108), 1.0))
    return found


def _street() -> list[Material]:
    red, yellow, green = (1.0, 0.12, 0.08), (1.0, 0.66, 0.08), (0.12, 1.0, 0.45)
    return [
        _plain("steel", (0.52, 0.53, 0.54), 0.45, 1.0),
        _plain("pole_green", (0.13, 0.19, 0.16), 0.45),
        _plain("iron", (0.11, 0.11, 0.12), 0.5),
        _plain("hydrant", (0.60, 0.10, 0.08), 0.4),
        _plain("mailbox", (0.10, 0.20, 0.42), 0.35),
        Material(
            name="lens_lamp",
            base_color=(0.80, 0.80, 0.76),
            roughness=0.2,
            emission=(1.0, 0.85, 0.6),
        ),
        _textured("sign_faces", openings.sign_faces(), 0.4),
        Material(name="lens_red", base_color=(0.30, 0.03, 0.03), roughness=0.3, emission=red),
        Material(name="lens_yellow", base_color=(0.32, 0.22, 0.03), roughness=0.3, emission=yellow),
        Material(name="lens_green", base_color=(0.03, 0.26, 0.14), roughness=0.3, emission=green),
    ]


def _vehicles() -> list[Material]:
    found = [
        Material(name="paint", base_color=(0.6, 0.6, 0.6), roughness=0.35, clearcoat=1.0,
                 paint=True),
        _plain("car_glass", (0.03, 0.035, 0.04), 0.04),
        _plain("car_trim", (0.045, 0.045, 0.05), 0.55),
        _plain("underbody", (0.02, 0.02, 0.02), 0.95),
        _plain("tyre", (0.06, 0.06, 0.06), 0.9),
        _plain("rim", (0.62, 0.63, 0.65), 0.3, 1.0),
        _plain("chrome", (0.80, 0.80, 0.82), 0.12, 1.0),
        _plain("seam", (0.02, 0.02, 0.02), 0.8),
        _plain("cargo_white", (0.80, 0.80, 0.78), 0.45),
        _textured("plate", openings.number_plate(), 0.4),
        Material(name="head_lamp", base_color=(0.42, 0.44, 0.47), roughness=0.08, clearcoat=1.0,
                 emission=(1.0, 0.97, 0.88)),
        Material(name="tail_lamp", base_color=(0.38, 0.02, 0.02), roughness=0.12, clearcoat=1.0,
                 emission=(1.0, 0.06, 0.03)),
        _plain("indicator", (0.75, 0.36, 0.05), 0.2),
    ]  # fmt: skip
    found += [
        Material(name=name, base_color=color, roughness=0.35, clearcoat=1.0)
        for name, color in PAINTS.items()
    ]
    return found


def _people() -> list[Material]:
    cloths: dict[str, Color] = {
        "cloth_jeans": (0.17, 0.22, 0.33),
        "cloth_black": (0.09, 0.09, 0.10),
        "cloth_khaki": (0.46, 0.40, 0.29),
        "cloth_red": (0.52, 0.12, 0.12),
        "cloth_blue": (0.16, 0.27, 0.47),
        "cloth_grey": (0.42, 0.42, 0.43),
        "cloth_white": (0.78, 0.77, 0.74),
        "cloth_green": (0.20, 0.33, 0.22),
    }
    found = [
        _textured(name, textures.speckle(color, 0.02, 120 + number, 0.5), 0.95)
        for number, (name, color) in enumerate(cloths.items())
    ]
    plain: dict[str, Color] = {
        "skin_light": (0.76, 0.57, 0.46),
        "skin_dark": (0.36, 0.23, 0.17),
        "hair_dark": (0.08, 0.06, 0.05),
        "hair_fair": (0.46, 0.34, 0.20),
        "shoe": (0.10, 0.08, 0.07),
    }
    return found + [_plain(name, color, 0.7) for name, color in plain.items()]
