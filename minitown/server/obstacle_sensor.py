"""The obstacle sensor: what a ball that moves along the sensor's axis meets first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.wire.rpc import pack
from realmaster_live.errors import ActorError
from realmaster_live.minitown.server.rays import GROUND_LABEL, Triangles, crossings
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.transforms import Pose, matrix

OBSTACLE = "sensor.other.obstacle"
FARTHEST_M, WIDEST_M = 200.0, 10.0  # of the sensor's reach and of the ball's radius
MOST_SENSORS = 64
GROUND_M = 1e4  # half the side of the ground of a town that is not drawn

Array = NDArray[np.float64]
CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
SIDES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
CUBE_TRIANGLES = np.array([[q[i] for i in half] for q in SIDES for half in ((0, 1, 2), (0, 2, 3))])


@dataclass(frozen=True)
class Sweep:
    """What a sensor's attributes ask for; lengths in metres."""

    distance: float
    radius: float
    only_dynamics: bool

    @classmethod
    def of(cls, sensor: Actor) -> Sweep:
        """Read a sensor's attributes; raise ActorError where they are out of range."""
        distance, radius = sensor.number("distance", 5.0), sensor.number("hit_radius", 0.5)
        if not (0.0 <= distance <= FARTHEST_M and 0.0 <= radius <= WIDEST_M):
            raise ActorError(
                f"expected an obstacle sensor with a distance within 0..{FARTHEST_M:g} and a "
                f"hit_radius within 0..{WIDEST_M:g} metres, got {distance:g} and {radius:g}: set "
                "others"
            )
        dynamics = sensor.attributes["only_dynamics"].lower() in ("true", "1")
        return cls(distance, radius, dynamics)


@dataclass(frozen=True)
class Met:
    """What is met first: an actor, or None for the town itself, and metres on the way to it."""

    distance_m: float
    label: int
    actor: Actor | None


def first_met(
    sensor: Actor, sweep: Sweep, town: Triangles | None, actors: Iterable[Actor]
) -> Met | None:
    """Return what a sensor meets in front of it, itself and what it is mounted on left out."""
    start = np.asarray(sensor.pose.location)
    way = matrix(sensor.pose)[:3, 0] * sweep.distance
    found: list[Met] = []
    for actor in actors:
        if actor.id == sensor.parent or not _is_body(actor, sweep.only_dynamics):
            continue
        far = float(np.linalg.norm(np.asarray(actor.pose.location) - start))
        if far < sweep.distance + sweep.radius + 2.0 * sum(actor.full_extent):
            share = float(_shares(_box(actor), start, way, sweep.radius).min())
            found.append(Met(share * sweep.distance, actor.semantic, actor))
    if not sweep.only_dynamics:
        near = _ground() if town is None else town.near(start, way, sweep.radius)
        if len(near.label):
            shares = _shares(near, start, way, sweep.radius)
            first = int(shares.argmin())
            found.append(Met(float(shares[first]) * sweep.distance, int(near.label[first]), None))
    met = min(found, key=lambda one: one.distance_m, default=None)
    return met if met is not None and np.isfinite(met.distance_m) else None


def obstacle_body(sensor: list[Any], other: list[Any], distance_m: float) -> bytes:
    """Return an obstacle message's body of two actors' wire arrays."""
    return pack([sensor, other, distance_m])


def _is_body(actor: Actor, only_dynamics: bool) -> bool:
    return actor.moves and not (only_dynamics and actor.is_prop)


def _box(actor: Actor) -> Triangles:
    """Return the twelve triangles of a body's bounding box."""
    to_world = matrix(actor.pose) @ matrix(Pose(*actor.box_centre))
    corners = (CUBE * actor.full_extent) @ to_world[:3, :3].T + to_world[:3, 3]
    return Triangles.of(corners[CUBE_TRIANGLES], actor.semantic)


def _ground() -> Triangles:
    side = GROUND_M
    a, b, c, d = (-side, -side, 0.0), (side, -side, 0.0), (side, side, 0.0), (-side, side, 0.0)
    return Triangles.of(np.array([[a, b, c], [a, c, d]]), GROUND_LABEL)


def _shares(triangles: Triangles, start: Array, way: Array, radius: float) -> Array:
    """Return, for each triangle, the share of the way after which a ball meets it.

    (T,) float64, infinite where it is missed. A ball meets a triangle where its centre meets the
    triangle moved by the radius towards it, a round bar along a side, or a ball at a corner
    (Ericson 2005, section 5.5.6).
    """
    a, (first, second) = triangles.corner, triangles.sides
    normal = np.cross(first, second)
    size = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.divide(normal, size, out=np.zeros_like(normal), where=size > 0)
    height = ((start - a) * normal).sum(axis=1, keepdims=True)
    shares = crossings(triangles, start - np.copysign(radius, height) * normal, way)
    over = np.isfinite(crossings(triangles, start + (1.0 - height) * normal, -2.0 * normal))
    shares = np.where(over & (np.abs(height[:, 0]) <= radius), 0.0, shares)
    corners = (a, a + first, a + second)
    for corner, end in zip(corners, (*corners[1:], corners[0]), strict=True):
        shares = np.minimum(shares, _of_bar(corner, end - corner, start, way, radius))
        shares = np.minimum(shares, _of_quadratic(start - corner, way[None], radius))
    return shares


def _of_bar(foot: Array, along: Array, start: Array, way: Array, radius: float) -> Array:
    """Return the shares at which a round bar without ends is entered, infinite where missed."""
    length = (along * along).sum(axis=1, keepdims=True)
    along_unit = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
    out = start - foot
    first, more = (out * along_unit).sum(axis=1), (way * along_unit).sum(axis=1)
    shares = _of_quadratic(out - first[:, None] * along, way - more[:, None] * along, radius)
    with np.errstate(invalid="ignore"):
        place = first + shares * more
    return np.where((place >= 0.0) & (place <= 1.0), shares, np.inf)


def _of_quadratic(out: Array, way: Array, radius: float) -> Array:
    """Return the shares at which |out + share * way| falls to the radius; 0 where it is below."""
    a, b = (way * way).sum(axis=1), (out * way).sum(axis=1)
    c = (out * out).sum(axis=1) - radius * radius
    root = b * b - a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (-b - np.sqrt(root)) / a
    met = (root >= 0.0) & (a > 0.0) & (share >= 0.0) & (share <= 1.0)
    return np.where(c <= 0.0, 0.0, np.where(met, share, np.inf))
