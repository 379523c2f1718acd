"""Rays through the town: what lies between two points, by the triangles that are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import StaticScene
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.transforms import Pose, Vector, matrix

Array = NDArray[np.float64]
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
    """What stands still in a town, ready for rays.

    `meshes` has the first triangle of every mesh, and `boxes` its (M, 2, 3) lowest and highest
    corners.
    """

    corner: Array  # (T, 3)
    sides: tuple[Array, Array]  # (T, 3) each
    label: NDArray[np.int64]  # (T,)
    meshes: NDArray[np.int64]  # (M,)
    boxes: Array  # (M, 2, 3)

    @classmethod
    def of(cls, corners: Array, label: int) -> Triangles:
        """Return triangles (T, 3, 3) as one mesh of a class."""
        return cls.joined([corners], [label])

    @classmethod
    def joined(cls, meshes: Sequence[Array], labels: Sequence[int]) -> Triangles:
        """Return meshes of triangles (T, 3, 3), none of them empty, each of one class."""
        a, b, c = np.concatenate(meshes).transpose(1, 0, 2)
        counts = [len(mesh) for mesh in meshes]
        boxes = [(mesh.min(axis=(0, 1)), mesh.max(axis=(0, 1))) for mesh in meshes]
        first = np.cumsum([0, *counts[:-1]])
        return cls(a, (b - a, c - a), np.repeat(labels, counts), first, np.array(boxes))

    def near(self, start: Array, way: Array, radius: float = 0.0) -> Triangles:
        """Return the triangles of the meshes whose boxes a ball on its way (3,) comes upon."""
        low, high = _spans(self.boxes[:, 0] - radius, self.boxes[:, 1] + radius, start, way)
        kept = (low <= high) & (low <= 1.0) & (high >= 0.0)
        counts = np.diff(self.meshes, append=len(self.label))
        rows = np.repeat(kept, counts)
        sides = (self.sides[0][rows], self.sides[1][rows])
        first = np.cumsum([0, *counts[kept]])[:-1]
        return Triangles(self.corner[rows], sides, self.label[rows], first, self.boxes[kept])


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
    meshes = [mesh for mesh in scene.meshes if len(mesh.triangles)]
    corners = [mesh.positions[mesh.triangles].astype(np.float64) for mesh in meshes]
    return Triangles.joined(corners, [mesh.semantic for mesh in meshes])


def crossings(triangles: Triangles, start: Array, way: Array) -> Array:
    """Return (T,) shares of a way where it crosses triangles, infinite where it does not.

    Start and way are (3,), or (T, 3) with one for each triangle (Moeller and Trumbore 1997).
    """
    first, second = triangles.sides
    p = np.cross(way, second)
    volume = (first * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = start - triangles.corner
        u = (t * p).sum(axis=1) / volume
        q = np.cross(t, first)
        v = (q * way).sum(axis=1) / volume
        share = (second * q).sum(axis=1) / volume
        met = (u >= 0) & (v >= 0) & (u + v <= 1) & (share >= 0) & (share <= 1)
    return np.where(met, share, np.inf)


def _of_scene(triangles: Triangles, start: Array, end: Array) -> list[tuple[float, int]]:
    """Return the shares of the way where triangles are met."""
    near = triangles.near(start, end - start)
    shares = crossings(near, start, end - start)
    return [(float(shares[n]), int(near.label[n])) for n in np.flatnonzero(np.isfinite(shares))]


def _of_ground(start: Array, end: Array) -> list[tuple[float, int]]:
    """Return where the plane of height 0 is met."""
    if start[2] == end[2] or (start[2] > 0) == (end[2] > 0):
        return []
    return [(float(start[2] / (start[2] - end[2])), GROUND_LABEL)]


def _of_box(actor: Actor, start: Array, end: Array) -> tuple[float, int] | None:
    """Return where a body's bounding box is entered, None where it is missed."""
    if not actor.moves:
        return None
    to_box = np.linalg.inv(matrix(actor.pose) @ matrix(Pose(*actor.box_centre)))
    a, b = ((to_box @ np.append(point, 1.0))[:3] for point in (start, end))
    half = np.asarray(actor.full_extent)
    low, high = _spans(-half[None], half[None], a, b - a)
    if not (low[0] <= high[0] and 0.0 <= low[0] <= 1.0):
        return None
    return float(low[0]), actor.semantic


def _spans(low: Array, high: Array, start: Array, way: Array) -> tuple[Array, Array]:
    """Return the shares of a way (3,) between which it is in upright boxes (N, 3) to (N, 3).

    The first share is above the second where a box is missed.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (low - start) / way, (high - start) / way
    inside = (low <= start) & (start <= high)
    first = np.where(way == 0, np.where(inside, -np.inf, np.inf), np.minimum(one, other))
    last = np.where(way == 0, np.where(inside, np.inf, -np.inf), np.maximum(one, other))
    return first.max(axis=1), last.min(axis=1)
