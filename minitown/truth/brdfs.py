"""The town's materials and meshes as Mitsuba takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.surfaces import to_linear
from realmaster_live.minitown.scene import Floats, Material
from realmaster_live.minitown.truth.weathering import heights

GROUND_WORDS = ("asphalt", "pave", "plaza", "kerb", "gravel", "brick", "roof", "grass", "soil")
BUMP = 0.012
LEAF_TRANSMISSION = 1.0  # of the diffuse light, on principledthin's scale of 0 to 2
CROWN_GAIN = 2.3  # a crown is many leaves deep: light that leaves one meets the next
GLASS_WORDS = ("windows", "curtain", "shop", "facade", "glass", "car_glass")
GLASS_SPECULAR = 1.0  # Mitsuba's scale: a pane mirrors at both of its faces, twice a solid's
WET_DARKENING, WET_ROUGHNESS = 0.5, 0.05
DRYING = 0.3  # how much rougher than the puddles the highest places of a wet ground are
LIT_WORDS = ("windows", "shop")
PANE_ROUGHNESS, DARK_ROOM = 30, 0.28  # bytes; mean of a texture's colours
ROOM_LIGHT = np.array([0.13, 0.10, 0.06])  # radiance of what is white in a lit room
LAMP_RADIANCE = 2.2  # of emission 1, by day and night: a lamp that shows but does not blind


def bitmap(mi: Any, pixels: NDArray[Any]) -> dict[str, Any]:
    """Return a linear texture; a copy, since Mitsuba refuses read-only arrays."""
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.array(pixels, np.float32, order="C", copy=True)),
        "raw": True,
    }


def base_colour(mi: Any, material: Material, dark: float) -> Any:
    """Return colour times texture, linear, darkened by water."""
    plain = to_linear(np.asarray(material.base_color, np.float64)) * dark
    if material.texture is None:
        return {"type": "rgb", "value": [float(c) for c in plain]}
    return bitmap(mi, np.minimum(to_linear(material.texture / 255.0) * plain, 0.9))


def surface(mi: Any, material: Material, *, wetness: float) -> Any:
    """Return a textured material as a Mitsuba BSDF; `wetness` 0..1 for what rain reaches."""
    base = base_colour(
        mi, material, CROWN_GAIN if material.cutout else 1.0 - WET_DARKENING * wetness
    )
    if material.cutout:
        return mi.load_dict(
            {
                "type": "principledthin",
                "base_color": base,
                "roughness": 0.6,
                "diff_trans": LEAF_TRANSMISSION,
                "eta": 1.33,
            }
        )
    soak = soaked(wetness)
    roughness: Any
    if material.roughness_texture is not None:
        rough = material.roughness_texture.astype(np.float64) / 255.0
        rough = rough * (1 - soak) + WET_ROUGHNESS * soak
        roughness = bitmap(mi, np.maximum(rough, 0.05)[..., None])
    elif soak and material.texture is not None and material.name.startswith(GROUND_WORDS):
        wet = WET_ROUGHNESS + DRYING * heights(material)
        roughness = bitmap(mi, (material.roughness * (1 - soak) + wet * soak)[..., None])
    else:
        roughness = max(material.roughness * (1 - soak) + WET_ROUGHNESS * soak, 0.05)
    described: dict[str, Any] = {
        "type": "principled",
        "base_color": base,
        "roughness": roughness,
        "metallic": float(material.metallic),
        "specular": GLASS_SPECULAR if material.name.startswith(GLASS_WORDS) else 0.5,
    }
    if material.clearcoat:
        described |= {"clearcoat": float(material.clearcoat), "clearcoat_gloss": 0.96}
    if material.texture is not None and material.name.startswith(GROUND_WORDS):
        height = material.texture.mean(axis=-1, keepdims=True) / 255.0
        described = {
            "type": "bumpmap",
            "arbitrary": bitmap(mi, height),
            "scale": BUMP * (1 - 0.9 * soak),
            "nested": described,
        }
    return mi.load_dict({"type": "twosided", "nested": described})


def soaked(wetness: float) -> float:
    """Return how far water covers the roughness of what is wet; half as wet as can be is enough."""
    return 0.95 * min(1.6 * wetness, 1.0)


def lights_up(material: Material) -> bool:
    """Tell whether a material shines at night: lamps, and windows of rooms and shops."""
    return any(material.emission) or material.name.startswith(LIT_WORDS)


def glow(mi: Any, material: Material) -> Any:
    """Return the material's light as an area emitter that is seen, but not sampled for light.

    Of windows the panes shine in which the game shows curtains, blinds or goods.
    """
    emission = np.asarray(material.emission, np.float64)
    radiance: dict[str, Any]
    if material.name.startswith(LIT_WORDS) and material.texture is not None:
        assert material.roughness_texture is not None
        picture = material.texture / 255.0
        pane = material.roughness_texture < PANE_ROUGHNESS
        shown = pane & (picture.mean(axis=-1) > DARK_ROOM)
        radiance = bitmap(mi, to_linear(picture) * shown[..., None] * ROOM_LIGHT)
    else:
        colour = emission if emission.any() else np.asarray(material.base_color, np.float64)
        light = to_linear(colour) * LAMP_RADIANCE
        radiance = {"type": "rgb", "value": [float(c) for c in light]}
    return mi.load_dict({"type": "area", "sampling_weight": 0.0, "radiance": radiance})


def facing(
    positions: Floats,  # (V, 3)
    faces: NDArray[np.int32],  # (T, 3)
    outward: Floats,  # (T, 3) any length
) -> NDArray[np.int32]:
    """Return the faces wound so that each one's own normal agrees with `outward`."""
    a, b, c = (positions[faces[:, k]] for k in range(3))
    against = np.einsum("ij,ij->i", np.cross(b - a, c - a), outward) < 0
    return np.where(against[:, None], faces[:, ::-1], faces)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some triangles, placed in the world, CARLA's axes, and the number of their row of traits."""

    positions: Floats  # (V, 3)
    normals: Floats  # (V, 3)
    uvs: Floats  # (V, 2)
    triangles: NDArray[np.int32]  # (T, 3)
    traits: tuple[float, ...] = ()


def traits(
    material: Material, *, colour: tuple[float, float, float], wetness: float
) -> tuple[float, ...]:
    """Return a material without texture as six numbers: colour, roughness, metallic, clearcoat."""
    soak = soaked(wetness)
    linear = to_linear(np.asarray(colour, np.float64)) * (1.0 - WET_DARKENING * wetness)
    rough = max(material.roughness * (1 - soak) + WET_ROUGHNESS * soak, 0.05)
    return (*(float(c) for c in linear), rough, material.metallic, material.clearcoat)


def by_traits(mi: Any) -> Any:
    """Return the one BSDF of everything without texture; it reads the mesh's traits."""
    return mi.load_dict(
        {
            "type": "twosided",
            "nested": {
                "type": "principled",
                **{
                    name: {"type": "mesh_attribute", "name": f"vertex_{name}"}
                    for name in ("base_color", "roughness", "metallic", "clearcoat")
                },
                "clearcoat_gloss": 0.96,
                "specular": 0.5,
            },
        }
    )


def mesh(
    mi: Any,
    name: str,
    pieces: Sequence[Piece],
    bsdf: Any,
    *,
    emitter: Any | None = None,
    eye: NDArray[np.float64] | None = None,  # (3,) metres, CARLA's axes
) -> Any:
    """Return one Mitsuba mesh of the pieces; with an `eye`, every triangle turns towards it.

    An emitter shines to the front of its triangles only, so that lamps are made to face the eye.
    """
    starts = np.cumsum([0] + [len(piece.positions) for piece in pieces])
    mirror = np.array([1.0, -1.0, 1.0], np.float32)
    positions = np.concatenate([piece.positions for piece in pieces]) * mirror
    normals = np.concatenate([piece.normals for piece in pieces]) * mirror
    faces = np.concatenate(
        [piece.triangles + start for piece, start in zip(pieces, starts[:-1], strict=True)]
    )
    outward = normals[faces].sum(axis=1)
    if eye is not None:
        ahead = (eye * mirror - positions).astype(np.float32)
        normals = normals * np.where((normals * ahead).sum(axis=1) < 0, -1, 1)[:, None]
        outward = ahead[faces].sum(axis=1)
    properties = mi.Properties()
    properties["mesh_bsdf"] = bsdf
    if emitter is not None:
        properties["mesh_emitter"] = emitter
    made = mi.Mesh(
        name,
        len(positions),
        len(faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    if pieces[0].traits:
        rows = np.repeat(
            np.array([piece.traits for piece in pieces], np.float32), np.diff(starts), axis=0
        )
        made.add_attribute("vertex_base_color", 3, np.ascontiguousarray(rows[:, :3]).ravel())
        for column, attribute in enumerate(("roughness", "metallic", "clearcoat"), start=3):
            made.add_attribute(f"vertex_{attribute}", 1, np.ascontiguousarray(rows[:, column]))
    fields = mi.traverse(made)
    fields["vertex_positions"] = positions.astype(np.float32).ravel()
    fields["vertex_normals"] = normals.astype(np.float32).ravel()
    upright = np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * np.concatenate(
        [piece.uvs for piece in pieces]
    )
    fields["vertex_texcoords"] = upright.ravel()  # Mitsuba's v runs down, ours up
    fields["faces"] = facing(positions, faces, outward).astype(np.uint32).ravel()
    fields.update()
    return made
