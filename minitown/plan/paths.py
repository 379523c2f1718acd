"""Plan-view curves made of straight lines and arcs, as OpenDRIVE describes them.

CARLA's axes seen from above: x forward, y right; headings in radians turn clockwise, so a positive
curvature turns right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A straight line, or an arc where `curvature` (1 / metres) is not zero."""

    x: float
    y: float
    heading: float
    length: float
    curvature: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Path:
    """Segments laid end to end."""

    segments: tuple[Segment, ...]

    @cached_property
    def length(self) -> float:
        """Length along the curve, metres."""
        return sum(segment.length for segment in self.segments)

    def at(self, s: Points) -> Points:
        """Return (N, 3) x, y, heading at distances `s` (N,), clamped to the ends."""
        starts = np.cumsum([0.0, *(segment.length for segment in self.segments)])
        s = np.clip(np.asarray(s, float), 0.0, starts[-1])
        index = np.clip(np.searchsorted(starts, s, side="right") - 1, 0, len(self.segments) - 1)
        table = np.array([(g.x, g.y, g.heading, g.curvature) for g in self.segments])[index]
        x, y, heading, curvature = table.T
        along = s - starts[index]
        turned = heading + curvature * along
        bent = np.abs(curvature) > 1e-12
        k = np.where(bent, curvature, 1.0)
        dx = np.where(bent, (np.sin(turned) - np.sin(heading)) / k, np.cos(heading) * along)
        dy = np.where(bent, (np.cos(heading) - np.cos(turned)) / k, np.sin(heading) * along)
        return np.stack([x + dx, y + dy, turned], axis=-1)

    def stations(self, step: float) -> Points:
        """Return distances at most `step` apart, both ends and all segment joints included."""
        values = [np.zeros(1)]
        start = 0.0
        for segment in self.segments:
            count = max(1, math.ceil(segment.length / step))
            values.append(start + segment.length * np.arange(1, count + 1) / count)
            start += segment.length
        return np.concatenate(values)

    def sample(self, step: float) -> Points:
        """Return (N, 3) x, y, heading at `stations(step)`."""
        return self.at(self.stations(step))

    def offset(self, right: float) -> Path:
        """Return the parallel curve `right` metres to the right (negative: to the left)."""
        moved = []
        for g in self.segments:
            scale = 1.0 - g.curvature * right
            moved.append(
                Segment(
                    x=g.x - math.sin(g.heading) * right,
                    y=g.y + math.cos(g.heading) * right,
                    heading=g.heading,
                    length=g.length * scale,
                    curvature=g.curvature / scale,
                )
            )
        return Path(segments=tuple(moved))


def through(points: Points, tangent_m: float) -> Path:
    """Return a path along the polyline (N, 2) whose corners are rounded by arcs.

    Each arc leaves its corner's two sides `tangent_m` from the corner, or less on short sides.
    """
    points = np.asarray(points, float)
    sides = np.linalg.norm(np.diff(points, axis=0), axis=1)
    headings = np.arctan2(*np.diff(points, axis=0).T[::-1])
    cuts = [
        0.0,
        *(min(tangent_m, 0.45 * a, 0.45 * b) for a, b in pairwise(sides)),
    ]
    cuts.append(0.0)
    segments = []
    for i, (side, heading) in enumerate(zip(sides, headings, strict=True)):
        direction = np.array([math.cos(heading), math.sin(heading)])
        start = points[i] + direction * cuts[i]
        straight = side - cuts[i] - cuts[i + 1]
        segments.append(_segment(start, heading, straight))
        if i + 1 < len(sides):
            corner = points[i + 1] - direction * cuts[i + 1]
            segments += _arc(corner, heading, headings[i + 1], cuts[i + 1])
    return Path(segments=tuple(segments))


def connect(
    start: Sequence[float], end: Sequence[float], tangent_limit_m: float = math.inf
) -> Path:
    """Return line-arc-line between two poses (x, y, heading) whose lines cross ahead.

    The arc starts no further than `tangent_limit_m` from where the lines cross.
    """
    (x0, y0, h0), (x1, y1, h1) = start, end
    gap = np.array([x1 - x0, y1 - y0])
    turn = _wrap(h1 - h0)
    if abs(turn) < 1e-6:
        return Path(segments=(_segment(np.array([x0, y0]), h0, float(np.linalg.norm(gap))),))
    ahead = np.array([math.cos(h0), math.sin(h0)])
    beyond = np.array([math.cos(h1), math.sin(h1)])
    first, last = np.linalg.solve(np.stack([ahead, beyond], axis=-1), gap)
    tangent = float(min(first, last, tangent_limit_m))
    if tangent <= 0:
        raise ValueError(f"connect needs lines that cross ahead; got {start} and {end}.")
    origin = np.array([x0, y0])
    arcs = _arc(origin + ahead * (first - tangent), h0, h1, tangent)
    corner = origin + ahead * first
    parts = [_segment(origin, h0, first - tangent), *arcs]
    parts.append(_segment(corner + beyond * tangent, h1, last - tangent))
    return Path(segments=tuple(part for part in parts if part.length > 1e-6))


def _segment(start: Points, heading: float, length: float, curvature: float = 0.0) -> Segment:
    return Segment(
        x=float(start[0]),
        y=float(start[1]),
        heading=float(heading),
        length=float(length),
        curvature=float(curvature),
    )


def _arc(start: Points, heading: float, next_heading: float, tangent: float) -> list[Segment]:
    turn = _wrap(next_heading - heading)
    if abs(turn) < 1e-6:
        return [_segment(start, heading, 2 * tangent)]
    curvature = math.tan(turn / 2) / tangent
    return [_segment(start, heading, turn / curvature, curvature)]


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
