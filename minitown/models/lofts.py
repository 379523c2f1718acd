"""Lofted shells: sections joined along x, creased where sharp, with decals laid on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmaster_live.minitown.models.shapes import Pen, cross

Array = NDArray[np.float64]
Index = NDArray[np.int64]
CREASE = float(np.cos(np.radians(34)))


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A closed skin: points (V, 3), triangles (T, 3), one material name per triangle (T,)."""

    points: Array
    triangles: Index
    materials: NDArray[np.str_]


def loft(sections: Array, material_of: Callable[[int, int], str], ends: tuple[str, str]) -> Shell:
    """Join ring sections (S, R, 3) into a shell; `material_of(i, j)` paints quad i, j.

    The rings are closed from their last point to their first; `ends` paints the caps.
    """
    stations, ring = sections.shape[:2]
    points = sections.reshape(-1, 3)
    triangles, materials = [], []
    for i in range(stations - 1):
        for j in range(ring):
            a, b = i * ring + j, i * ring + (j + 1) % ring
            c, d = b + ring, a + ring
            triangles += [(a, b, c), (a, c, d)]
            materials += [material_of(i, j)] * 2
    caps = [points]
    for number, first in enumerate((0, (stations - 1) * ring)):
        centre = len(points) + number
        caps.append(sections[0 if number == 0 else -1].mean(axis=0)[None])
        for j in range(ring):
            triangles.append((centre, first + j, first + (j + 1) % ring))
            materials.append(ends[number])
    return Shell(
        points=np.concatenate(caps),
        triangles=np.array(triangles, np.int64),
        materials=np.array(materials),
    )


def draw_shell(pen: Pen, shell: Shell) -> None:
    """Draw a shell with one normal per corner, smooth but where faces meet sharply."""
    corners = shell.points[shell.triangles]
    face = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(face, axis=1)
    keep = area > 1e-9
    triangles, face = shell.triangles[keep], face[keep]
    middle = corners[keep].mean(axis=1)
    hub = shell.points.mean(axis=0) * [0, 1, 1] + middle * [1, 0, 0]
    face *= np.where(np.einsum("ij,ij->i", face, middle - hub) < 0, -1.0, 1.0)[:, None]
    unit = face / area[keep][:, None]
    _, weld = np.unique(np.round(shell.points, 5), axis=0, return_inverse=True)
    vertex = weld.reshape(-1)[triangles].reshape(-1)
    owner = np.repeat(np.arange(len(triangles)), 3)
    order = np.argsort(vertex, kind="stable")
    normals = face[owner].copy()
    for shift in range(1, int(np.bincount(vertex).max())):
        first, second = order[:-shift], order[shift:]
        same = vertex[first] == vertex[second]
        first, second = first[same], second[same]
        near = np.einsum("ij,ij->i", unit[owner[first]], unit[owner[second]]) > CREASE
        first, second = first[near], second[near]
        np.add.at(normals, first, face[owner[second]])
        np.add.at(normals, second, face[owner[first]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals.reshape(-1, 3, 3)
    names = shell.materials[keep]
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        _add_corners(pen, str(name), shell.points[triangles[own]], normals[own])


def _add_corners(pen: Pen, material: str, points: Array, normals: Array) -> None:
    flat = np.concatenate([points.reshape(-1, 3), normals.reshape(-1, 3)], axis=1)
    merged, index = np.unique(np.round(flat, 4), axis=0, return_inverse=True)
    unit = merged[:, 3:] / np.linalg.norm(merged[:, 3:], axis=1, keepdims=True)
    uvs = pen.flat_uvs(material, merged[:, :3], unit)
    pen.add(material, merged[:, :3], unit, uvs, index.reshape(-1, 3))


def project(shell: Shell, points: Array, direction: ArrayLike, lift: float) -> Array:
    """Move points (..., 3) along a direction onto the shell, then `lift` back from it.

    Points that miss the shell come back as not finite.
    """
    ray = np.asarray(direction, float)
    a, b, c = (shell.points[shell.triangles[:, k]] for k in range(3))
    e1, e2 = b - a, c - a
    p = cross(ray[None], e2)
    det = np.einsum("ij,ij->i", e1, p)
    valid = np.abs(det) > 1e-9
    inverse = 1 / np.where(valid, det, 1.0)
    flat = points.reshape(-1, 3)
    gap = flat[:, None] - a[None]
    u = np.einsum("kij,ij->ki", gap, p) * inverse
    q = cross(gap, e1[None])
    v = q @ ray * inverse
    t = np.einsum("kij,ij->ki", q, e2) * inverse
    slack = -1e-4
    t[~((u >= slack) & (v >= slack) & (u + v <= 1 - slack) & valid & (t > 0))] = np.inf
    best = t.min(axis=1)
    best = np.where(np.isfinite(best), best, np.nan)
    return (flat + ray * (best - lift)[:, None]).reshape(points.shape)


def decal(
    pen: Pen,
    shell: Shell,
    material: str,
    corners: ArrayLike,  # (4, 3) start points before the shell, in order round the patch
    direction: ArrayLike,
    lift: float = 0.008,
    grid: tuple[int, int] = (4, 6),
) -> None:
    """Lay a four-cornered patch on the shell, as seen along a direction.

    Rows or columns of it that lie beside the shell, over a wheel say, are left out.
    """
    a, b, c, d = np.asarray(corners, float)
    v, u = np.meshgrid(
        np.linspace(0, 1, grid[0] + 1), np.linspace(0, 1, grid[1] + 1), indexing="ij"
    )
    u3, v3 = u[..., None], v[..., None]
    flat = (1 - v3) * ((1 - u3) * a + u3 * b) + v3 * ((1 - u3) * d + u3 * c)
    points, uvs = project(shell, flat, direction, lift), np.stack([u, v], axis=-1)
    on = np.asarray(np.isfinite(points).all(axis=-1), bool)
    rows, columns = on.all(axis=1), on.all(axis=0)
    if columns.sum() > rows.sum():
        points, uvs = points[:, columns], uvs[:, columns]
    else:
        points, uvs = points[rows], uvs[rows]
    if min(points.shape[:2]) > 1:
        pen.patch(material, points, uvs)
