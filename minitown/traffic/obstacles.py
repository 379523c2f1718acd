"""What stands still and stops vehicles: houses, poles, trunks, walls, furniture, parked cars."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from realmaster_live.minitown.models.objects import EnvironmentObject
from realmaster_live.minitown.plan.boxes import Box, box_of, parting
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.collisions import Collision
from realmaster_live.minitown.traffic.vehicle import velocity_of
from realmaster_live.minitown.transforms import ZERO, Pose, Vector, forward, wrap_deg

CELL_M = 10.0
STEP_M, MOST_STEPS = 0.3, 64  # a tick's way is looked at in steps, so that no pole is jumped over
CORNER = 0.6  # share of half a vehicle's width, from its side, that glances off things
CLEAR_M = 1e-3  # left between a vehicle and what stopped it


class _Contact(NamedTuple):
    """The first place where a way meets a thing, the last clear one, and (x, y) metres out."""

    thing: EnvironmentObject
    pose: Pose
    clear: Pose
    out: tuple[float, float]


class Obstacles:
    """Standing things, found by place on a grid."""

    def __init__(self, things: Iterable[EnvironmentObject] = ()) -> None:
        self._cells: dict[tuple[int, int], list[EnvironmentObject]] = defaultdict(list)
        for thing in things:
            if thing.footprint is not None:
                for cell in _cells(thing.footprint):
                    self._cells[cell].append(thing)

    def touched_by(self, box: Box) -> Iterator[EnvironmentObject]:
        """Yield what shares ground with a box."""
        return (thing for thing in self._near(box) if _parting(box, thing))

    def stop(self, actor: Actor, before: Pose, dt: float) -> Collision | None:
        """Keep a vehicle that drove on from `before` out of what stands in its way.

        It slides along a wall, stops at a pole before it and glances off one at its corner. What it
        stood in already does not hold it.
        """
        if actor.pose == before:
            return None
        start = box_of(before, actor.extent)
        near = self._near(start, box_of(actor.pose, actor.extent))
        held = [thing for thing in near if not _parting(start, thing)]
        contact = _first_contact(held, actor, before)
        if contact is None:
            return None
        vehicle = actor.vehicle
        assert vehicle is not None
        velocity = velocity_of(before, actor.pose, dt)
        pushed, kept = _glanced(contact, actor, velocity) or _pushed_out(contact, velocity)
        if any(_parting(box_of(pushed, actor.extent), other) for other in held):
            pushed, kept = contact.clear, ZERO
        vehicle.push(pushed, kept)
        actor.pose = pushed
        mass = vehicle.body.mass
        lost: Vector = (mass * (kept[0] - velocity[0]), mass * (kept[1] - velocity[1]), 0.0)
        return Collision(actor.id, 0, lost, contact.thing)

    def _near(self, *boxes: Box) -> list[EnvironmentObject]:
        """Return the things in the cells of the upright rectangle round all of the boxes."""
        cells = [self._cells[cell] for cell in _cells(*boxes) if cell in self._cells]
        return list({thing.id: thing for things in cells for thing in things}.values())


def _first_contact(
    things: Sequence[EnvironmentObject], actor: Actor, before: Pose
) -> _Contact | None:
    """Return where the straight way from `before` to where a body is first meets a thing."""
    if not things:
        return None
    way = math.hypot(actor.pose.x - before.x, actor.pose.y - before.y)
    steps = min(MOST_STEPS, max(1, math.ceil(way / STEP_M)))
    clear = before
    for step in range(1, steps + 1):
        pose = _between(before, actor.pose, step / steps)
        box = box_of(pose, actor.extent)
        for thing in things:
            out = _parting(box, thing)
            if out is not None:
                return _Contact(thing, pose, clear, out)
        clear = pose
    return None


def _pushed_out(contact: _Contact, velocity: Vector) -> tuple[Pose, Vector]:
    """Return where the shortest way out leads, and the part of the velocity along the thing."""
    pose, (x, y) = contact.pose, contact.out
    depth = math.hypot(x, y)
    nx, ny = x / depth, y / depth
    into = min(0.0, velocity[0] * nx + velocity[1] * ny)
    pushed = pose._replace(x=pose.x + x + CLEAR_M * nx, y=pose.y + y + CLEAR_M * ny)
    return pushed, (velocity[0] - into * nx, velocity[1] - into * ny, 0.0)


def _glanced(contact: _Contact, actor: Actor, velocity: Vector) -> tuple[Pose, Vector] | None:
    """Return where a vehicle glances off to whose corner meets a thing's; None where it does not.

    Its corner counts as cut at 45 degrees: it goes as far aside as it would have gone ahead, and
    keeps half of its velocity.
    """
    base, clear = contact.thing.footprint, contact.clear
    assert base is not None
    box = box_of(contact.pose, actor.extent)
    places = [box.local(x, y) for x, y in base.corners]
    inside = [y for x, y in places if abs(x) < box.half_length and abs(y) < box.half_width]
    if not inside or min(map(abs, inside)) < (1.0 - CORNER) * box.half_width:
        return None
    way = math.hypot(contact.pose.x - clear.x, contact.pose.y - clear.y)
    aside = -math.copysign(way, inside[0])
    fx, fy = forward(clear.yaw)
    pushed = clear._replace(x=clear.x - aside * fy, y=clear.y + aside * fx)
    return pushed, (0.5 * velocity[0], 0.5 * velocity[1], 0.0)


def _parting(box: Box, thing: EnvironmentObject) -> tuple[float, float] | None:
    assert thing.footprint is not None
    return parting(box, thing.footprint)


def _between(start: Pose, end: Pose, share: float) -> Pose:
    """Return the pose after a share of the way from start to end, at the end's height."""
    return end._replace(
        x=start.x + share * (end.x - start.x),
        y=start.y + share * (end.y - start.y),
        yaw=wrap_deg(start.yaw + share * wrap_deg(end.yaw - start.yaw)),
    )


def _cells(*boxes: Box) -> Iterator[tuple[int, int]]:
    """Yield the cells of the upright rectangle round boxes."""
    spans = [(*_half_span(box), box.x, box.y) for box in boxes]
    low_x, high_x = min(x - a for a, _, x, _ in spans), max(x + a for a, _, x, _ in spans)
    low_y, high_y = min(y - b for _, b, _, y in spans), max(y + b for _, b, _, y in spans)
    for i in range(int(low_x // CELL_M), int(high_x // CELL_M) + 1):
        for j in range(int(low_y // CELL_M), int(high_y // CELL_M) + 1):
            yield i, j


def _half_span(box: Box) -> tuple[float, float]:
    """Return half the width and height of the upright rectangle round a box."""
    cos, sin = (abs(part) for part in forward(box.yaw))
    return (
        box.half_length * cos + box.half_width * sin,
        box.half_length * sin + box.half_width * cos,
    )
