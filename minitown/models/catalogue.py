"""Every model of the town, and the parked cars for its parking bays."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models import cycles, people, street
from realmaster_live.minitown.models.bodies import (
    BODIES,
    PROP_EXTENTS,
    STATIC,
    WALKER_EXTENT,
    prop_model,
)
from realmaster_live.minitown.models.cars import draw_car, wheel_places
from realmaster_live.minitown.models.designs import DESIGNS
from realmaster_live.minitown.models.materials import TILES
from realmaster_live.minitown.models.shapes import Builder
from realmaster_live.minitown.scene import Mesh, Model

Point = tuple[float, float, float]


@lru_cache(maxsize=1)
def make_models() -> dict[str, Model]:
    """Return every model by name; built once, the same in every town."""
    models = [_vehicle(name) for name in DESIGNS]
    models += [_cycle("motorcycle", cycles.motorcycle), _cycle("bicycle", cycles.bicycle)]
    models += [_walker(name) for name in people.OUTFITS]
    builder = Builder(tiles=TILES)
    street.light_heads(builder)
    extent = (0.3, street.MAST_REACH / 2, 3.0)
    models.append(Model(name="traffic_light", meshes=_own(builder), extent=extent))
    models += [_prop(size) for size in PROP_EXTENTS]
    return {model.name: model for model in models}


def draw_parked(
    builder: Builder, name: str, paint: str, pose: NDArray[np.float64], instance: int
) -> None:
    """Draw a still car, coarser than the model, with a paint of its own."""
    builder.pen(BODIES[name].semantic, instance, pose).stamp(_still(name), paint)


@lru_cache(maxsize=8)
def _still(name: str) -> Builder:
    drawing = Builder(tiles=TILES)
    draw_car(drawing, name, DESIGNS[name], "paint", BODIES[name].semantic, fine=False)
    drawing.merge()
    return drawing


def _own(builder: Builder) -> tuple[Mesh, ...]:
    """Return a model's meshes, whose instance is given only when it is placed."""
    meshes = []
    for key, pieces in list(builder.pieces.items()):
        builder.pieces = {(key[0], key[1], 1, key[3]): pieces}
        for mesh in builder.meshes():
            meshes.append(
                Mesh(
                    positions=mesh.positions,
                    normals=mesh.normals,
                    uvs=mesh.uvs,
                    triangles=mesh.triangles,
                    material=mesh.material,
                    semantic=mesh.semantic,
                    part=mesh.part,
                )
            )
    return tuple(meshes)


def _vehicle(name: str) -> Model:
    body, design = BODIES[name], DESIGNS[name]
    builder = Builder(tiles=TILES)
    draw_car(builder, name, design, "paint", body.semantic)
    pivots: dict[str, Point] = {
        part: (x, y, body.wheel_radius) for part, (x, y) in wheel_places(body, design).items()
    }
    return Model(name=name, meshes=_own(builder), extent=body.extent, pivots=pivots)


def _cycle(name: str, draw: Callable[[Builder], dict[str, Point]]) -> Model:
    builder = Builder(tiles=TILES)
    pivots = draw(builder)
    return Model(name=name, meshes=_own(builder), extent=BODIES[name].extent, pivots=pivots)


def _prop(size: str) -> Model:
    builder = Builder(tiles=TILES)
    x, y, z = extent = PROP_EXTENTS[size]
    builder.pen(STATIC).box("wood", (-x, -y, 0.0), (x, y, 2 * z), "xXyYZ")
    return Model(name=prop_model(size), meshes=_own(builder), extent=extent)


def _walker(name: str) -> Model:
    builder = Builder(tiles=TILES)
    pivots = people.walker(builder, people.OUTFITS[name])
    return Model(name=name, meshes=_own(builder), extent=WALKER_EXTENT, pivots=pivots)
