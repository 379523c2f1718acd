"""Oriented boxes on the ground: do two of them overlap, and how do they part?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.transforms import Pose, forward


class Box(NamedTuple):
    """A rectangle from above: centre and half sizes in metres, yaw in degrees."""

    x: float
    y: float
    half_length: float
    half_width: float
    yaw: float

    @property
    def radius(self) -> float:
        """Metres from the centre to a corner."""
        return math.hypot(self.half_length, self.half_width)

    @property
    def corners(self) -> Iterator[tuple[float, float]]:
        """Its four corners, metres."""
        fx, fy = forward(self.yaw)
        for i in (self.half_length, -self.half_length):
            for j in (self.half_width, -self.half_width):
                yield self.x + i * fx - j * fy, self.y + i * fy + j * fx

    def local(self, x: float, y: float) -> tuple[float, float]:
        """Return a point in the box's own axes: metres ahead of its middle, and to the right."""
        fx, fy = forward(self.yaw)
        dx, dy = x - self.x, y - self.y
        return dx * fx + dy * fy, dy * fx - dx * fy

    def outline(self) -> NDArray[np.float64]:
        """Return (9, 2) float64 metres: the corners, the middles of the sides, the centre."""
        fx, fy = forward(self.yaw)
        a, b = self.half_length, self.half_width
        local = np.array([(i * a, j * b) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        return np.asarray(local @ np.array([[fx, fy], [-fy, fx]]) + (self.x, self.y))


def box_of(pose: Pose, extent: tuple[float, float, float]) -> Box:
    """Return the ground box of a body of CARLA's half size `extent`, metres."""
    return Box(pose.x, pose.y, extent[0], extent[1], pose.yaw)


def overlap(a: Box, b: Box) -> bool:
    """Return whether two boxes share ground."""
    return parting(a, b) is not None


def parting(a: Box, b: Box) -> tuple[float, float] | None:
    """Return the shortest way, (x, y) metres, that takes `a` out of `b` (separating axes).

    None when they share no ground.
    """
    dx, dy = a.x - b.x, a.y - b.y
    if dx * dx + dy * dy > (a.radius + b.radius) ** 2:
        return None
    ax, ay = forward(a.yaw)
    bx, by = forward(b.yaw)
    cos, sin = abs(ax * bx + ay * by), abs(ax * by - ay * bx)
    shortest, least = (0.0, 0.0), math.inf
    for ux, uy, reach in (
        (ax, ay, a.half_length + b.half_length * cos + b.half_width * sin),
        (-ay, ax, a.half_width + b.half_length * sin + b.half_width * cos),
        (bx, by, b.half_length + a.half_length * cos + a.half_width * sin),
        (-by, bx, b.half_width + a.half_length * sin + a.half_width * cos),
    ):
        along = dx * ux + dy * uy
        depth = reach - abs(along)
        if depth <= 0.0:
            return None
        if depth < least:
            least, out = depth, math.copysign(depth, along)
            shortest = (out * ux, out * uy)
    return shortest
