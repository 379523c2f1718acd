"""The file of a navigation mesh that CARLA's client reads, in the format of the library Detour.

A set of tiles (here one): a header of the set, the tile's reference and size, then the tile: its
header, vertices, polygons, room for links, and a fan of triangles for each polygon. Detour has y
upwards, so CARLA's y and z change places.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np

from realmaster_live.minitown.plan.navigation import NavigationMesh, Polygon

SET_MAGIC, SET_VERSION = 0x4D534554, 1  # "MSET"
TILE_MAGIC, TILE_VERSION = 0x444E4156, 7  # "DNAV"
SET_HEADER = struct.Struct("<3i5f2i")
TILE_REFERENCE = struct.Struct("<Ii")
TILE_HEADER = struct.Struct("<5iI9i3f3f3ff")
POLYGON = struct.Struct("<I6H6HHBB")
DETAIL = struct.Struct("<IIBBxx")
TRIANGLE = struct.Struct("<4B")
LINK_BYTES = 12
MOST_CORNERS = 6
NO_LINK = 0xFFFFFFFF
WALKER_HEIGHT, WALKER_RADIUS, STEP_HEIGHT = 1.8, 0.3, 0.3  # metres
MARGIN = 1.0  # metres of the tile around the mesh
FIRST_EDGE, INNER_EDGE, LAST_EDGE = 1 << 0, 1 << 2, 1 << 4  # edges of a triangle on the boundary


def detour_file(mesh: NavigationMesh) -> bytes:
    """Return the file's bytes; each polygon's flag is the bit of its area."""
    low = (mesh.vertices.min(axis=0) - MARGIN).astype(np.float32)[[0, 2, 1]]
    high = (mesh.vertices.max(axis=0) + MARGIN).astype(np.float32)[[0, 2, 1]]
    count = len(mesh.polygons)
    edges = sum(len(polygon) for polygon in mesh.polygons)
    triangles = edges - 2 * count
    header = TILE_HEADER.pack(
        *(TILE_MAGIC, TILE_VERSION, 0, 0, 0, 0),
        *(count, len(mesh.vertices), edges, count, 0, triangles, 0, 0, count),
        *(WALKER_HEIGHT, WALKER_RADIUS, STEP_HEIGHT),
        *low.tolist(),
        *high.tolist(),
        1.0,
    )
    tile = b"".join(
        (
            header,
            mesh.vertices[:, [0, 2, 1]].astype("<f4").tobytes(),
            *_polygons(mesh),
            bytes(LINK_BYTES * edges),
            *_details(mesh.polygons),
            *_triangles(mesh.polygons),
        )
    )
    polygon_bits = math.ceil(math.log2(count + 1))
    width, depth = float(high[0] - low[0]), float(high[2] - low[2])
    return b"".join(
        (
            SET_HEADER.pack(
                *(SET_MAGIC, SET_VERSION, 1), *low.tolist(), width, depth, 1, 1 << polygon_bits
            ),
            TILE_REFERENCE.pack(1 << polygon_bits, len(tile)),
            tile,
        )
    )


def _polygons(mesh: NavigationMesh) -> Iterator[bytes]:
    owner = {edge: n for n, polygon in enumerate(mesh.polygons) for edge in _edges(polygon)}
    for polygon, area in zip(mesh.polygons, mesh.areas, strict=True):
        spare = (0,) * (MOST_CORNERS - len(polygon))
        # a neighbour's number counts from 1: 0 is the mesh's border
        beside = (owner.get((b, a), -1) + 1 for a, b in _edges(polygon))
        yield POLYGON.pack(
            NO_LINK, *polygon, *spare, *beside, *spare, 1 << area, len(polygon), area
        )


def _edges(polygon: Polygon) -> Iterator[tuple[int, int]]:
    return zip(polygon, (*polygon[1:], polygon[0]), strict=True)


def _details(polygons: tuple[Polygon, ...]) -> Iterator[bytes]:
    first = 0
    for polygon in polygons:
        yield DETAIL.pack(0, first, 0, len(polygon) - 2)
        first += len(polygon) - 2


def _triangles(polygons: tuple[Polygon, ...]) -> Iterator[bytes]:
    for polygon in polygons:
        for corner in range(2, len(polygon)):
            flags = INNER_EDGE
            flags |= FIRST_EDGE if corner == 2 else 0
            flags |= LAST_EDGE if corner == len(polygon) - 1 else 0
            yield TRIANGLE.pack(0, corner - 1, corner, flags)
