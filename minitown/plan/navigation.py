"""The navigation mesh of a town: convex polygons on the sidewalks and over the crossings.

The strip along each footpath is as wide as the places where the middle of a walker may be: clear of
the lamps and trees at the kerb, and of the fronts of the houses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.footpaths import Footpath, Footpaths, Gate
from realmaster_live.minitown.plan.layout import SIDEWALK_WIDTH
from realmaster_live.minitown.plan.network import make_network

SIDEWALK, CROSSWALK = 1, 2  # CARLA's numbers of areas that walkers move on
KERB_HEIGHT = 0.15
TO_ROAD, TO_HOUSES = 0.35, 1.3  # metres from a footpath's middle to the edges of its strip
CROSSING_HALF_WIDTH = 1.2
LONGEST_STEP = 10.0  # metres of one polygon along a footpath
MOST_TURN = math.radians(8.0)  # of a footpath along one polygon
RAMP = 0.4  # metres over which a crossing falls from the kerb's height to the road's

Polygon = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NavigationMesh:
    """Convex polygons that share vertices where one can walk from one to the next.

    Attributes:
        vertices: (N, 3) float64 metres.
        polygons: vertex numbers, counter-clockwise seen from above.
        areas: SIDEWALK or CROSSWALK for each polygon.
    """

    vertices: NDArray[np.float64]
    polygons: tuple[Polygon, ...]
    areas: tuple[int, ...]


@lru_cache(maxsize=4)
def make_navigation(seed: int) -> NavigationMesh:
    """Build the navigation mesh of town number `seed`."""
    paths = Footpaths(make_network(seed))
    builder = _Builder()
    edges: dict[tuple[int, int], Polygon] = {}
    for path, gates in zip(paths.paths, paths.gates, strict=True):
        for gate, edge in builder.strip(path, gates):
            edges[gate.crossing, gate.end] = edge
    for crossing in range(len(paths.crossings)):
        builder.crossing(edges[crossing, 0], edges[crossing, 1])
    return NavigationMesh(
        vertices=np.array(builder.vertices),
        polygons=tuple(builder.polygons),
        areas=tuple(builder.areas),
    )


class _Builder:
    def __init__(self) -> None:
        self.vertices: list[tuple[float, float, float]] = []
        self.polygons: list[Polygon] = []
        self.areas: list[int] = []

    def strip(self, path: Footpath, gates: list[Gate]) -> list[tuple[Gate, Polygon]]:
        """Cover a footpath; return the edge at which each gate's crossing begins."""
        sections = _sections(path, gates)
        pairs = [self._section(path, s) for s in sections]
        found: list[tuple[Gate, Polygon]] = []
        for n, s in enumerate(sections):
            (left, right), (next_left, next_right) = pairs[n], pairs[(n + 1) % len(pairs)]
            self._add((left, right, next_right, next_left), SIDEWALK)
            for gate in gates:
                begins = (gate.s - CROSSING_HALF_WIDTH) % path.length
                if math.isclose(s, begins, abs_tol=1e-6):
                    found.append((gate, (left, next_left)))
        return found

    def crossing(self, near: Polygon, far: Polygon) -> None:
        """Join the edges of two strips: level to the kerb, down, over the road and up again."""
        starts = np.array([self.vertices[n] for n in near])
        ends = np.array([self.vertices[n] for n in reversed(far)])
        ahead = ends - starts
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
        kerb = SIDEWALK_WIDTH / 2 - TO_ROAD
        last = near
        for base, sign, away, z, area in (
            (starts, 1.0, kerb - RAMP / 2, KERB_HEIGHT, SIDEWALK),
            (starts, 1.0, kerb + RAMP / 2, 0.0, CROSSWALK),
            (ends, -1.0, kerb + RAMP / 2, 0.0, CROSSWALK),
            (ends, -1.0, kerb - RAMP / 2, KERB_HEIGHT, CROSSWALK),
        ):
            points = base + sign * away * ahead
            row = (self._vertex(points[0], z), self._vertex(points[1], z))
            self._add((last[0], last[1], row[1], row[0]), area)
            last = row
        self._add((last[0], last[1], far[0], far[1]), SIDEWALK)

    def _section(self, path: Footpath, s: float) -> tuple[int, int]:
        """Add the two edge points of a strip; the road is on the left."""
        x, y = _direction(path, s)
        here, right = path.at(s), np.array([-y, x])
        left_point, right_point = here - TO_ROAD * right, here + TO_HOUSES * right
        return self._vertex(left_point, KERB_HEIGHT), self._vertex(right_point, KERB_HEIGHT)

    def _vertex(self, point: NDArray[np.float64], z: float) -> int:
        self.vertices.append((float(point[0]), float(point[1]), z))
        return len(self.vertices) - 1

    def _add(self, polygon: Polygon, area: int) -> None:
        self.polygons.append(polygon)
        self.areas.append(area)


def _sections(path: Footpath, gates: list[Gate]) -> list[float]:
    """Return arc lengths of a strip's cross-sections: both sides of gates, and bends between."""
    gaps = sorted((gate.s - CROSSING_HALF_WIDTH) % path.length for gate in gates) or [0.0]
    sections: list[float] = []
    for start, following in zip(gaps, [*gaps[1:], gaps[0] + path.length], strict=True):
        sections.append(start)
        last = start + 2 * CROSSING_HALF_WIDTH if gates else start
        if gates:
            sections.append(last % path.length)
        for s in np.arange(math.floor(last) + 1.0, following, 1.0):
            turned = _angle(_direction(path, last), _direction(path, s))
            near_end = following - s < 1.0
            if (turned > MOST_TURN or s - last >= LONGEST_STEP) and not near_end and s - last > 0.5:
                sections.append(float(s % path.length))
                last = s
    return sections


def _direction(path: Footpath, s: float) -> tuple[float, float]:
    x, y = path.at(s + 0.6) - path.at(s - 0.6)
    length = math.hypot(x, y)
    return x / length, y / length


def _angle(a: tuple[float, float], b: tuple[float, float]) -> float:
    return abs(math.atan2(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1]))
