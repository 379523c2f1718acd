"""The plan of a town by seed: streets, and the junctions where they meet.

A grid of crossings with uneven spacing, a ring of streets outside, some inner streets missing, some
bent, one or two avenues of two lanes each way. Axes as in `paths`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.paths import Path, through

LANE_WIDTH = 3.5
PARKING_WIDTH = 2.2
GUTTER_WIDTH = 0.5
SIDEWALK_WIDTH = 3.2
CORNER_TANGENT = 4.5  # metres from where two kerb lines would meet to where the rounding starts
CROSSING_DEPTH = 4.2  # metres of straight kerb inside a junction arm, for the zebra

Edge = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Street:
    """A road between two junctions; its path is the middle line, metres.

    Attributes:
        id: also its OpenDRIVE road id. start, end: junction ids.
        lanes: driving lanes each way. parking: whether cars park along both kerbs.
    """

    id: int
    start: int
    end: int
    path: Path
    lanes: int
    parking: bool

    @property
    def edge_width(self) -> float:
        """Width between the outermost driving lane and the kerb."""
        return PARKING_WIDTH if self.parking else GUTTER_WIDTH

    @property
    def half_width(self) -> float:
        """Distance from the middle line to either kerb."""
        return self.lanes * LANE_WIDTH + self.edge_width

    @property
    def speed_limit(self) -> float:
        """Metres a second: 50 km/h on avenues, 30 elsewhere."""
        return 13.9 if self.lanes > 1 else 8.33


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One street's end at a junction; `heading` points away from the junction, radians."""

    street: Street
    at_end: bool
    heading: float
    mouth: tuple[float, float]

    def pose(self, right: float, outward: float = 0.0) -> tuple[float, float, float]:
        """Return x, y, heading at `right` of the arm and `outward` of its mouth, facing away."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x = self.mouth[0] + cos * outward - sin * right
        return x, self.mouth[1] + sin * outward + cos * right, self.heading


@dataclass(frozen=True, kw_only=True)
class Junction:
    """Three or four arms, clockwise from above; `reach` is from the centre to each mouth."""

    id: int
    centre: tuple[float, float]
    reach: float
    arms: tuple[Arm, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Streets and junctions by id."""

    seed: int
    streets: dict[int, Street]
    junctions: dict[int, Junction]


@dataclass(frozen=True, kw_only=True)
class _Chain:
    ends: Edge
    points: NDArray[np.float64]
    lanes: int
    parking: bool


@lru_cache(maxsize=4)
def make_layout(seed: int) -> Layout:
    """Draw the plan of town number `seed`; the same seed gives the same plan."""
    rng = np.random.default_rng([seed, 1])
    columns, rows = int(rng.integers(3, 5)), int(rng.integers(3, 5))
    nodes = _nodes(rng, columns, rows)
    edges = _edges(rng, columns, rows)
    chains = _chains(rng, nodes, edges)
    reach = _reaches(nodes, chains)
    streets = {i: _street(i, chain, reach) for i, chain in enumerate(chains)}
    junctions = {}
    for node, distance in reach.items():
        arms = [_arm(s, at_end) for s in streets.values() for at_end in _ends_at(s, node)]
        arms.sort(key=lambda arm: arm.heading % (2 * math.pi))
        x, y = nodes[node]
        junctions[_junction_id(node)] = Junction(
            id=_junction_id(node), centre=(x, y), reach=distance, arms=tuple(arms)
        )
    return Layout(seed=seed, streets=streets, junctions=junctions)


def _junction_id(node: int) -> int:
    return 500 + node


def _ends_at(street: Street, node: int) -> list[bool]:
    junction = _junction_id(node)
    return [flag for flag, end in ((False, street.start), (True, street.end)) if end == junction]


def _nodes(rng: np.random.Generator, columns: int, rows: int) -> NDArray[np.float64]:
    x = np.cumsum([0.0, *rng.uniform(70, 110, columns - 1)])
    y = np.cumsum([0.0, *rng.uniform(70, 110, rows - 1)])
    grid = np.stack(np.meshgrid(x - x.mean(), y - y.mean()), axis=-1).reshape(-1, 2)
    grid += rng.uniform(-3, 3, grid.shape)
    corners = [0, columns - 1, (rows - 1) * columns, rows * columns - 1]
    grid[corners] *= 1 - rng.uniform(0, 0.12, (4, 1))
    return grid


def _edges(rng: np.random.Generator, columns: int, rows: int) -> dict[Edge, int]:
    """Return lanes each way for every edge that stays."""
    edges: dict[Edge, int] = {}
    inner = []
    avenue_row = int(rng.integers(1, rows - 1))
    avenue_column = int(rng.integers(1, columns - 1)) if rng.random() < 0.4 else -1
    for row in range(rows):
        for column in range(columns):
            node = row * columns + column
            if column + 1 < columns:
                edges[node, node + 1] = 2 if row == avenue_row else 1
                if 0 < row < rows - 1 and row != avenue_row:
                    inner.append((node, node + 1))
            if row + 1 < rows:
                edges[node, node + columns] = 2 if column == avenue_column else 1
                if 0 < column < columns - 1 and column != avenue_column:
                    inner.append((node, node + columns))
    for _ in range(1 if columns * rows < 12 else int(rng.integers(1, 3))):
        edge = inner.pop(int(rng.integers(len(inner)))) if inner else None
        if edge and all(sum(node in other for other in edges) > 2 for node in edge):
            del edges[edge]
    return edges


def _chains(
    rng: np.random.Generator, nodes: NDArray[np.float64], edges: dict[Edge, int]
) -> list[_Chain]:
    """Join edges at nodes of degree two, so that every chain ends at junctions."""
    neighbours: dict[int, list[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    chains = []
    seen: set[Edge] = set()
    for start in sorted(node for node, near in neighbours.items() if len(near) > 2):
        for first in neighbours[start]:
            if (start, first) in seen:
                continue
            walk = [start, first]
            while len(neighbours[walk[-1]]) == 2:
                walk += [node for node in neighbours[walk[-1]] if node != walk[-2]]
            seen |= {(walk[0], walk[1]), (walk[-1], walk[-2])}
            lanes = edges[min(start, first), max(start, first)]
            points = nodes[walk]
            if len(walk) == 2 and lanes == 1 and rng.random() < 0.35:
                points = _bend(rng, points)
            parking = lanes == 1 and rng.random() < 0.7
            chains.append(
                _Chain(ends=(start, walk[-1]), points=points, lanes=lanes, parking=parking)
            )
    return chains


def _bend(rng: np.random.Generator, points: NDArray[np.float64]) -> NDArray[np.float64]:
    side = points[1] - points[0]
    normal = np.array([-side[1], side[0]]) / np.linalg.norm(side)
    middle = points[0] + side * rng.uniform(0.45, 0.55) + normal * rng.choice([-1, 1]) * 5.0
    return np.stack([points[0], middle, points[1]])


def _reaches(nodes: NDArray[np.float64], chains: list[_Chain]) -> dict[int, float]:
    """Return each junction node's distance from the centre to the mouths of its arms."""
    arms: dict[int, list[tuple[float, float]]] = {}
    for chain in chains:
        for node, near, far in (
            (chain.ends[0], chain.points[0], chain.points[1]),
            (chain.ends[1], chain.points[-1], chain.points[-2]),
        ):
            heading = math.atan2(far[1] - near[1], far[0] - near[0])
            edge = PARKING_WIDTH if chain.parking else GUTTER_WIDTH
            arms.setdefault(node, []).append((heading, chain.lanes * LANE_WIDTH + edge))
    reach = {}
    for node, found in arms.items():
        found.sort()
        best = 0.0
        for (h0, w0), (h1, w1) in zip(found, [*found[1:], found[0]], strict=True):
            angle = (h1 - h0) % (2 * math.pi)
            if angle < math.radians(150):
                wide, narrow = max(w0, w1), min(w0, w1)
                best = max(best, (wide + narrow * math.cos(angle)) / math.sin(angle))
        reach[node] = best + CORNER_TANGENT + CROSSING_DEPTH
    return reach


def _street(index: int, chain: _Chain, reach: dict[int, float]) -> Street:
    points = chain.points.copy()
    for end, inner in ((0, 1), (-1, -2)):
        side = chain.points[inner] - chain.points[end]
        points[end] += side / np.linalg.norm(side) * reach[chain.ends[end]]
    return Street(
        id=index,
        start=_junction_id(chain.ends[0]),
        end=_junction_id(chain.ends[1]),
        path=through(points, tangent_m=16.0),
        lanes=chain.lanes,
        parking=chain.parking,
    )


def _arm(street: Street, at_end: bool) -> Arm:
    x, y, heading = street.path.at(np.array([street.path.length if at_end else 0.0]))[0]
    outward = heading + math.pi if at_end else heading
    return Arm(street=street, at_end=at_end, heading=float(outward), mouth=(float(x), float(y)))
