"""Pens that draw boxes, tubes and patches, and the builder that sorts them into meshes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmaster_live.minitown.scene import Mesh

Array = NDArray[np.float64]
Key = tuple[str, int, int, str]
Piece = tuple[Array, Array, Array, NDArray[np.int64]]
Index = NDArray[np.signedinteger[Any]]
Nested = ArrayLike | Sequence[object]
CELL_M = 40.0


def vec(*values: float) -> Array:
    """Return the values as one float array."""
    return np.array(values, float)


def _two_triangles(first: Index, a: int, b: int, c: int) -> Index:
    """Split quads into triangles: corners (N, 1) and the steps to each one's other corners."""
    return np.concatenate([first + np.array([0, a, b]), first + np.array([0, b, c])])


def cross(a: Array, b: Array) -> Array:
    """Return the cross products of (..., 3) vectors; several times faster than numpy's."""
    shape = a.shape if a.shape == b.shape else np.broadcast_shapes(a.shape, b.shape)
    result = np.empty(shape)
    for axis, (first, second) in enumerate(((1, 2), (2, 0), (0, 1))):
        result[..., axis] = a[..., first] * b[..., second] - a[..., second] * b[..., first]
    return result


def lengths(vectors: Array) -> Array:
    """Return the lengths (..., 1) of vectors (..., N); quicker than numpy's norm where few."""
    return np.sqrt(np.add.reduce(vectors * vectors, axis=-1, keepdims=True))


def frame(x: float, y: float, heading: float, z: float = 0.0) -> Array:
    """Return the (4, 4) pose of something that stands at x, y and faces `heading` radians."""
    cos, sin = np.cos(heading), np.sin(heading)
    return np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]])


@dataclass(kw_only=True)
class Builder:
    """Collects pieces of surface; `tiles` gives metres to one repeat of a material's texture.

    `poses` keeps the first pose that each object was drawn in.
    """

    tiles: Mapping[str, float]
    pieces: dict[Key, list[Piece]] = field(default_factory=dict)
    poses: dict[int, Array] = field(default_factory=dict)

    def pen(
        self, semantic: int, instance: int = 0, pose: Array | None = None, part: str = ""
    ) -> Pen:
        """Return a pen for one object, which draws in the object's own axes."""
        pose = np.eye(4) if pose is None else pose
        if instance:
            self.poses.setdefault(instance, pose)
        return Pen(builder=self, semantic=semantic, instance=instance, pose=pose, part=part)

    def merge(self) -> None:
        """Join the pieces of each mesh, so that stamping them is quick."""
        for pieces in self.pieces.values():
            pieces[:] = [_merge(pieces)]

    def meshes(self) -> tuple[Mesh, ...]:
        """Return one mesh per material and object; ground is cut into 40 m cells."""
        found = []
        for key, pieces in self.pieces.items():
            merged = _merge(pieces)
            parts = [merged] if key[2] else _by_cell(merged)
            found += [_mesh(key, piece) for piece in parts]
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Draws surfaces of one object into a Builder, each with a material's name."""

    builder: Builder
    semantic: int
    instance: int
    pose: Array
    part: str

    @cached_property
    def _pose_parts(self) -> tuple[Array, Array, Array]:
        """The pose's turn and scale (3, 3) for rows, its shift (3,), and the turn alone (3, 3)."""
        turn = self.pose[:3, :3]
        return turn.T, self.pose[:3, 3], turn.T / np.sqrt((turn[:, 0] ** 2).sum())

    def add(
        self, material: str, points: Array, normals: Array, uvs: Array, triangles: Index
    ) -> None:
        """Add triangles (T, 3) into points (V, 3) with normals (V, 3) and uvs (V, 2)."""
        turn, shift, turn_only = self._pose_parts
        key = (material, self.semantic, self.instance, self.part)
        piece = (points @ turn + shift, normals @ turn_only, uvs, np.asarray(triangles, np.int64))
        self.builder.pieces.setdefault(key, []).append(piece)

    def stamp(self, drawing: Builder, paint: str = "paint") -> None:
        """Add a copy of all that a builder holds, as one thing; `paint` replaces "paint"."""
        for (material, _, _, _), pieces in drawing.pieces.items():
            self.add(paint if material == "paint" else material, *_merge(pieces))

    def quads(self, material: str, corners: Nested, uvs: Nested | None = None) -> None:
        """Add flat quads (N, 4, 3); without uvs (N, 4, 2) the texture lies in metres."""
        points = np.asarray(corners, float).reshape(-1, 4, 3)
        normal = cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
        normal /= np.maximum(lengths(normal), 1e-12)
        normals = np.repeat(normal[:, None], 4, axis=1)
        if uvs is None:
            uvs = self.flat_uvs(material, points, normals)
        count = np.arange(len(points))[:, None] * 4
        triangles = _two_triangles(count, 1, 2, 3)
        flat = np.asarray(uvs, float).reshape(-1, 2)
        self.add(material, points.reshape(-1, 3), normals.reshape(-1, 3), flat, triangles)

    def flat_uvs(self, material: str, points: Array, normals: Array) -> Array:
        """Return (..., 2) texture places of points in metres, seen along the main axis."""
        n = np.abs(normals)
        flat = n[..., 2] > 0.75
        uvs = np.empty((*points.shape[:-1], 2))
        sideways = ~flat & (n[..., 0] > n[..., 1])
        uvs[..., 0] = np.where(sideways, points[..., 1], points[..., 0])
        uvs[..., 1] = np.where(flat, points[..., 1], points[..., 2])
        return uvs / self.builder.tiles.get(material, 1.0)

    def box(
        self, material: str, low: Sequence[float], high: Sequence[float], faces: str = "xXyYZ"
    ) -> None:
        """Add a box's faces: x X y Y z Z, small letters on the low side."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        sides = {
            "x": [[x0, y1, z0], [x0, y0, z0], [x0, y0, z1], [x0, y1, z1]],
            "X": [[x1, y0, z0], [x1, y1, z0], [x1, y1, z1], [x1, y0, z1]],
            "y": [[x0, y0, z0], [x1, y0, z0], [x1, y0, z1], [x0, y0, z1]],
            "Y": [[x1, y1, z0], [x0, y1, z0], [x0, y1, z1], [x1, y1, z1]],
            "z": [[x0, y1, z0], [x1, y1, z0], [x1, y0, z0], [x0, y0, z0]],
            "Z": [[x0, y0, z1], [x1, y0, z1], [x1, y1, z1], [x0, y1, z1]],
        }
        self.quads(material, [sides[name] for name in faces])

    def patch(self, material: str, points: Array, uvs: Array | None = None) -> None:
        """Add a smooth surface through a grid of points (R, C, 3), uvs (R, C, 2)."""
        down, across = np.gradient(points, axis=0), np.gradient(points, axis=1)
        if np.abs(points[0] - points[-1]).max() < 1e-9:
            down[0] = down[-1] = points[1] - points[-2]
        if np.abs(points[:, 0] - points[:, -1]).max() < 1e-9:
            across[:, 0] = across[:, -1] = points[:, 1] - points[:, -2]
        normals = cross(across, down)
        size = lengths(normals)
        for end, beside in ((0, 1), (-1, -2)):  # a row may close in a single point
            if size[end].max() < 1e-9:
                normals[end] = normals[beside].mean(axis=0)
                size[end] = lengths(normals[end])
        normals /= np.maximum(size, 1e-12)
        if uvs is None:
            uvs = self.flat_uvs(material, points, normals)
        rows, columns = points.shape[:2]
        corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
        triangles = _two_triangles(corner, 1, columns + 1, columns)
        flat = (points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2))
        self.add(material, *flat, triangles)

    def strip(self, material: str, left: Array, right: Array) -> None:
        """Add the flat band between two lines of points (N, 3)."""
        self.quads(material, np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1))

    def tube(
        self, material: str, points: Nested, radii: Nested, sides: int = 8, cap: bool = False
    ) -> None:
        """Add a round tube along points (N, 3) with radii (N,); `cap` closes its far end."""
        line = np.asarray(points, float)
        radius: Array = np.broadcast_to(np.asarray(radii, float), (len(line),))
        along = np.gradient(line, axis=0)
        along /= np.maximum(lengths(along), 1e-12)
        aside = cross(along, np.where(np.abs(along[:, 2:]) > 0.9, [1.0, 0, 0], [0, 0, 1.0]))
        aside /= lengths(aside)
        other = cross(along, aside)
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.cos(angle)[:, None, None] * aside + np.sin(angle)[:, None, None] * other
        grid = (line + ring * radius[:, None]).transpose(1, 0, 2)
        run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        tile = self.builder.tiles.get(material, 1.0)
        around = np.broadcast_to(angle * float(radius.max()) / tile, grid.shape[:2])
        uvs = np.stack([around, np.broadcast_to(run[:, None] / tile, grid.shape[:2])], axis=-1)
        self.patch(material, grid, uvs)
        if cap:
            self.fan(material, grid[-1, :-1])

    def fan(self, material: str, rim: Array, centre: Array | None = None) -> None:
        """Add a flat polygon (N, 3) as triangles round its centre."""
        middle = rim.mean(axis=0) if centre is None else centre
        points = np.concatenate([middle[None], rim])
        count = len(rim)
        index = np.arange(count)
        normal = cross(rim[1] - rim[0], rim[2] - rim[1])
        if abs(normal[2]) > np.hypot(normal[0], normal[1]):
            normal = normal * np.sign(normal[2])
        normals = np.repeat(normal[None] / np.linalg.norm(normal), count + 1, axis=0)
        triangles = np.stack([0 * index, index + 1, (index + 1) % count + 1], axis=1)
        self.add(material, points, normals, self.flat_uvs(material, points, normals), triangles)

    def ball(
        self, material: str, centre: Nested, radii: Nested, rings: int = 6, sides: int = 10
    ) -> None:
        """Add an ellipsoid with radii (3,)."""
        lat = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)[:, None]
        lon = np.linspace(0, 2 * np.pi, sides + 1)[None]
        unit = np.stack(
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon], axis=-1
        )
        radii = np.asarray(radii, float)
        points = unit * radii + np.asarray(centre, float)
        normals = unit / radii
        normals /= lengths(normals)
        uvs = np.stack([lon + 0 * lat, lat + 0 * lon], axis=-1) * radii.max()
        columns = sides + 1
        corner = (np.arange(rings)[:, None] * columns + np.arange(sides)).reshape(-1, 1)
        triangles = _two_triangles(corner, 1, columns + 1, columns)
        uvs = uvs / self.builder.tiles.get(material, 1.0)
        flat = (points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2))
        self.add(material, *flat, triangles)


def _merge(pieces: Sequence[Piece]) -> Piece:
    starts = np.cumsum([0, *(len(piece[0]) for piece in pieces)])[:-1]
    triangles = [piece[3] + start for piece, start in zip(pieces, starts, strict=True)]
    points, normals, uvs = (np.concatenate([piece[k] for piece in pieces]) for k in range(3))
    return points, normals, uvs, np.concatenate(triangles)


def _by_cell(piece: Piece) -> list[Piece]:
    points, normals, uvs, triangles = piece
    cell = np.floor(points[triangles].mean(axis=1)[:, :2] / CELL_M).astype(int)
    _, owner = np.unique(cell, axis=0, return_inverse=True)
    parts = []
    for number in range(owner.max() + 1):
        own = triangles[owner.reshape(-1) == number]
        used, index = np.unique(own, return_inverse=True)
        parts.append((points[used], normals[used], uvs[used], index.reshape(-1, 3)))
    return parts


def _mesh(key: Key, piece: Piece) -> Mesh:
    points, normals, uvs, triangles = piece
    return Mesh(
        positions=np.ascontiguousarray(points, np.float32),
        normals=np.ascontiguousarray(normals, np.float32),
        uvs=np.ascontiguousarray(uvs - np.floor(uvs.min(axis=0)), np.float32),
        triangles=np.ascontiguousarray(triangles, np.int32),
        material=key[0],
        semantic=key[1],
        instance=key[2],
        part=key[3],
    )
