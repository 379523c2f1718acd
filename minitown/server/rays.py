"""Rays through the town: what lies between two points, by the triangles that are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import StaticScene
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.transforms import Pose, Vector, matrix

GROUND_LABEL = 1  # CARLA's road: the ground of a town that is not drawn
APART_M = 0.05  # hits of one thing that are nearer to each other count once


@dataclass(frozen=True, order=True)
class Hit:
    """A place where a ray hits something; `distance_m` is from the ray's start."""

    distance_m: float
    location: Vector
    label: int


@dataclass(frozen=True, eq=False)
class Triangles:
    """What stands still in a town, ready for rays."""

    corner: NDArray[np.float64]  # (T, 3)
    sides: tuple[NDArray[np.float64], NDArray[np.float64]]  # (T, 3) each
    label: NDArray[np.int64]  # (T,)


def hits(
    triangles: Triangles | None, actors: Iterable[Actor], start: Vector, end: Vector
) -> list[Hit]:
    """Return what a ray from `start` to `end` hits, nearest first."""
    a, b = np.asarray(start), np.asarray(end)
    length = float(np.linalg.norm(b - a))
    if length < 1e-9:
        return []
    found = _of_ground(a, b) if triangles is None else _of_scene(triangles, a, b)
    found += [entry for actor in actors if (entry := _of_box(actor, a, b)) is not None]
    ordered = [
        Hit(share * length, (float(x), float(y), float(z)), label)
        for share, label in found
        for x, y, z in [a + share * (b - a)]
    ]
    kept: list[Hit] = []
    for hit in sorted(ordered):
        last = kept[-1] if kept else None
        if last is None or hit.label != last.label or hit.distance_m - last.distance_m > APART_M:
            kept.append(hit)
    return kept


def triangles_of(scene: StaticScene) -> Triangles:
    """Return the triangles of a town."""
    corners = [mesh.positions[mesh.triangles].astype(np.float64) for mesh in scene.meshes]
    labels = [np.full(len(mesh.triangles), mesh.semantic) for mesh in scene.meshes]
    a, b, c = np.concatenate(corners).transpose(1, 0, 2)
    return Triangles(a, (b - a, c - a), np.concatenate(labels))


def _of_scene(
    triangles: Triangles, start: NDArray[np.float64], end: NDArray[np.float64]
) -> list[tuple[float, int]]:
    """Return the shares of the ray at which it crosses triangles (Moeller and Trumbore 1997)."""
    way = end - start
    first, second = triangles.sides
    p = np.cross(way, second)
    volume = (first * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = start - triangles.corner
        u = (t * p).sum(axis=1) / volume
        q = np.cross(t, first)
        v = (q @ way) / volume
        share = (second * q).sum(axis=1) / volume
        crosses = (u >= 0) & (v >= 0) & (u + v <= 1) & (share >= 0) & (share <= 1)
    numbers = np.flatnonzero(crosses)
    return [(float(share[n]), int(triangles.label[n])) for n in numbers]


def _of_ground(start: NDArray[np.float64], end: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Return where the ray crosses the plane of height 0."""
    if start[2] == end[2] or (start[2] > 0) == (end[2] > 0):
        return []
    return [(float(start[2] / (start[2] - end[2])), GROUND_LABEL)]


def _of_box(
    actor: Actor, start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[float, int] | None:
    """Return where a body's bounding box is entered by the ray, None where it misses."""
    if not actor.moves:
        return None
    to_box = np.linalg.inv(matrix(actor.pose) @ matrix(Pose(*actor.box_centre)))
    a, b = ((to_box @ np.append(point, 1.0))[:3] for point in (start, end))
    half, way = np.asarray(actor.full_extent), b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (-half - a) / way, (half - a) / way
    inside = np.abs(a) <= half
    low = np.where(way == 0, np.where(inside, -np.inf, np.inf), np.minimum(near, far)).max()
    high = np.where(way == 0, np.where(inside, np.inf, -np.inf), np.maximum(near, far)).min()
    if not (low <= high and 0.0 <= low <= 1.0):
        return None
    return float(low), actor.semantic
