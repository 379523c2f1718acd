"""The town's triangles in flat arrays, cut into near cubes that can be culled as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.pose import parts_of
from realmaster_live.minitown.scene import Floats, Mesh, Model

Ints = NDArray[np.int32]
CELL_M = 24.0


class Arrays(NamedTuple):
    """Flat geometry: V vertices, T triangles. NamedTuple, so that compiled code takes it whole.

    surface: row of the material. instance: label. slot: which posed instance, -1 for the town.
    density: texture repeats a metre, for the choice of the texture's level.
    """

    positions: Floats  # (V, 3)
    normals: Floats  # (V, 3)
    uvs: Floats  # (V, 2)
    triangles: Ints  # (T, 3)
    surface: Ints  # (T,)
    semantic: NDArray[np.uint8]  # (T,)
    instance: Ints  # (T,)
    slot: Ints  # (T,)
    density: Floats  # (T,)


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Pieces of the static town: vertex and triangle ranges with bounds, (C, ...) each."""

    vertices: NDArray[np.int64]  # (C, 2)
    triangles: NDArray[np.int64]  # (C, 2)
    low: NDArray[np.float64]  # (C, 3) metres
    high: NDArray[np.float64]  # (C, 3) metres


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """One model's place in the arrays of all models, and its part names in matrix order."""

    model: Model
    parts: tuple[str, ...]
    vertices: tuple[int, int]
    triangles: tuple[int, int]
    radius: float


def texture_density(positions: Floats, uvs: Floats, triangles: Ints) -> Floats:
    """Return texture repeats a metre (T,) float32."""
    a, b, c = (positions[triangles[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    p, q, r = (uvs[triangles[:, k]].astype(np.float64) for k in range(3))
    flat = (q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]
    return np.asarray(np.sqrt(np.abs(flat) / np.maximum(area, 1e-9)), np.float32)


def concatenate(meshes: Sequence[Mesh], surfaces: Mapping[str, int]) -> Arrays:
    """Return the meshes one after the other."""
    starts = np.cumsum([0] + [len(mesh.positions) for mesh in meshes])
    counts = [len(mesh.triangles) for mesh in meshes]

    def stack(parts: list[NDArray[np.float32]], width: int) -> Floats:
        return np.concatenate([*parts, np.empty((0, width), np.float32)]).astype(np.float32)

    positions = stack([mesh.positions for mesh in meshes], 3)
    uvs = stack([mesh.uvs for mesh in meshes], 2)
    triangles = np.concatenate(
        [mesh.triangles + start for mesh, start in zip(meshes, starts[:-1], strict=True)]
        + [np.empty((0, 3), np.int32)]
    ).astype(np.int32)
    return Arrays(
        positions=positions,
        normals=stack([mesh.normals for mesh in meshes], 3),
        uvs=uvs,
        triangles=triangles,
        surface=np.repeat([surfaces[mesh.material] for mesh in meshes], counts).astype(np.int32),
        semantic=np.repeat([mesh.semantic for mesh in meshes], counts).astype(np.uint8),
        instance=np.repeat([mesh.instance for mesh in meshes], counts).astype(np.int32),
        slot=np.full(len(triangles), -1, np.int32),
        density=texture_density(positions, uvs, triangles),
    )


def in_chunks(whole: Arrays) -> tuple[Arrays, Chunks]:
    """Return the triangles sorted into cells of 24 m, vertices doubled at the borders."""
    centres = whole.positions[whole.triangles].mean(axis=1)
    cells = np.floor(centres[:, :2] / CELL_M).astype(np.int64)
    keys, inverse = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    sizes = np.bincount(inverse.reshape(-1), minlength=len(keys))
    ends = np.cumsum(sizes)
    vertex_ids: list[NDArray[np.int64]] = []
    triangles = np.empty_like(whole.triangles)
    vertices = np.zeros((len(keys), 2), np.int64)
    low, high = np.zeros((len(keys), 3)), np.zeros((len(keys), 3))
    start = 0
    for chunk, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        members = order[end - size : end]
        used, local = np.unique(whole.triangles[members].astype(np.int64), return_inverse=True)
        vertex_ids.append(used)
        triangles[end - size : end] = local.reshape(-1, 3) + start
        vertices[chunk] = start, start + len(used)
        low[chunk] = whole.positions[used].min(axis=0)
        high[chunk] = whole.positions[used].max(axis=0)
        start += len(used)
    ids = np.concatenate([*vertex_ids, np.empty(0, np.int64)])
    arrays = Arrays(
        positions=whole.positions[ids],
        normals=whole.normals[ids],
        uvs=whole.uvs[ids],
        triangles=triangles,
        surface=whole.surface[order],
        semantic=whole.semantic[order],
        instance=whole.instance[order],
        slot=whole.slot[order],
        density=whole.density[order],
    )
    chunks = Chunks(
        vertices=vertices,
        triangles=np.stack([ends - sizes, ends], axis=1),
        low=low,
        high=high,
    )
    return arrays, chunks


def pack_models(
    models: Mapping[str, Model], surfaces: Mapping[str, int]
) -> tuple[Arrays, NDArray[np.int32], dict[str, PackedModel]]:
    """Return all models' geometry, the part number of each vertex (V,), and who lies where.

    `triangles` count from each model's own first vertex, and `slot` holds the part number.
    """
    meshes: list[Mesh] = []
    packed: dict[str, PackedModel] = {}
    vertex_parts: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    triangle_parts: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    bases: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    v = t = 0
    for name, model in models.items():
        parts = parts_of(model)
        v0, t0, radius = v, t, 0.0
        for mesh in model.meshes:
            part = parts.index(mesh.part)
            vertex_parts.append(np.full(len(mesh.positions), part, np.int32))
            triangle_parts.append(np.full(len(mesh.triangles), part, np.int32))
            bases.append(np.full(len(mesh.triangles), v0, np.int32))
            radius = max(radius, float(np.linalg.norm(mesh.positions, axis=1).max(initial=0.0)))
            v, t = v + len(mesh.positions), t + len(mesh.triangles)
            meshes.append(mesh)
        packed[name] = PackedModel(
            model=model, parts=parts, vertices=(v0, v), triangles=(t0, t), radius=radius
        )
    whole = concatenate(meshes, surfaces)
    arrays = whole._replace(
        triangles=whole.triangles - np.concatenate(bases)[:, None],
        slot=np.concatenate(triangle_parts),
    )
    return arrays, np.concatenate(vertex_parts), packed
