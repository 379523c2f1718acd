"""Collisions: which bodies hit each other, and whose step is undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from realmaster_live.minitown.models.objects import EnvironmentObject
from realmaster_live.minitown.plan.boxes import box_of, overlap
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.vehicle import velocity_of
from realmaster_live.minitown.transforms import Pose, Vector

HEADROOM = 3.0  # metres of height within which two bodies can collide
WALKER_MASS = 75.0  # kilograms, and a prop's


@dataclass(frozen=True)
class Collision:
    """Two actors touched; `impulse` is N s on the first one.

    `other` is 0 where it is `thing` that was touched, which stands still and is no actor.
    """

    actor: int
    other: int
    impulse: Vector
    thing: EnvironmentObject | None = None


def collide(bodies: Sequence[Actor], before: Mapping[int, Pose], dt: float) -> list[Collision]:
    """Undo the step of bodies that ran into each other; return the collisions, both ways.

    `before` has their poses at the start of the step of `dt` seconds.
    """
    solid = [actor for actor in bodies if actor.collides]
    found: list[Collision] = []
    if len(solid) < 2:
        return found
    places = np.array([actor.pose[:3] for actor in solid])
    radius = np.array([actor.box.radius for actor in solid])
    gap = np.linalg.norm(places[:, None, :2] - places[None, :, :2], axis=2)
    rise = np.abs(places[:, None, 2] - places[:, 2])
    near = (gap < radius[:, None] + radius) & (rise < HEADROOM)
    for i, j in np.argwhere(np.triu(near, 1)):
        a, b = solid[i], solid[j]
        if (a.vehicle is None and b.vehicle is None) or not overlap(a.box, b.box):
            continue
        va, vb = (velocity_of(before[one.id], one.pose, dt) for one in (a, b))
        mass = min(one.vehicle.body.mass if one.vehicle else WALKER_MASS for one in (a, b))
        impulse: Vector = (mass * (vb[0] - va[0]), mass * (vb[1] - va[1]), 0.0)
        back: Vector = (-impulse[0], -impulse[1], 0.0)
        found += [Collision(a.id, b.id, impulse), Collision(b.id, a.id, back)]
        _part(a, b, before, (va, vb))
    return found


def _part(
    a: Actor, b: Actor, before: Mapping[int, Pose], velocities: tuple[Vector, Vector]
) -> None:
    """Put back whichever of two overlapping bodies ran into the other; both if that is needed."""
    away = (b.pose.x - a.pose.x, b.pose.y - a.pose.y)
    was_clear = not overlap(box_of(before[a.id], a.extent), box_of(before[b.id], b.extent))
    for one, sign, velocity in ((a, 1.0, velocities[0]), (b, -1.0, velocities[1])):
        if sign * (away[0] * velocity[0] + away[1] * velocity[1]) > 0.0:
            _put_back(one, before)
    if was_clear and overlap(a.box, b.box):
        _put_back(a, before)
        _put_back(b, before)


def _put_back(actor: Actor, before: Mapping[int, Pose]) -> None:
    actor.pose = before[actor.id]
    if actor.vehicle is not None:
        actor.vehicle.stop()
