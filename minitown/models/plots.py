"""What stands on the blocks: plots cut along the streets, buildings, gardens, parks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models import foliage, street
from realmaster_live.minitown.models.buildings import KINDS
from realmaster_live.minitown.models.ground import KERB_HEIGHT, side_line
from realmaster_live.minitown.models.roofs import Plot
from realmaster_live.minitown.models.shapes import Builder, frame
from realmaster_live.minitown.plan.layout import SIDEWALK_WIDTH, Street

Array = NDArray[np.float64]

BUILDING, VEGETATION, TERRAIN = 3, 9, 10


@dataclass(frozen=True, kw_only=True)
class Block:
    """A kind of block: its ground, and its buildings as (kind, weight, width, depth, floors)."""

    cover: str
    mix: tuple[tuple[str, float, tuple[float, float], float, tuple[int, int]], ...]
    setback: float
    gap: tuple[float, float]
    garden: bool = False


BLOCKS = {
    "terraces": Block(
        cover="plaza",
        mix=(
            ("terrace", 0.7, (6.5, 11.0), 11.0, (3, 5)),
            ("apartments", 0.3, (14.0, 20.0), 12.0, (4, 6)),
        ),
        setback=0.1,
        gap=(0.0, 0.0),
    ),
    "centre": Block(
        cover="plaza",
        mix=(
            ("office", 0.45, (18.0, 28.0), 15.0, (4, 8)),
            ("tower", 0.25, (16.0, 22.0), 15.0, (7, 13)),
            ("apartments", 0.3, (15.0, 22.0), 13.0, (5, 7)),
        ),
        setback=1.2,
        gap=(0.5, 4.0),
    ),
    "suburb": Block(
        cover="grass",
        mix=(
            ("house", 0.85, (9.0, 13.0), 8.5, (1, 3)),
            ("terrace", 0.15, (9.0, 14.0), 10.0, (2, 4)),
        ),
        setback=4.5,
        gap=(3.0, 7.0),
        garden=True,
    ),
    "park": Block(cover="grass", mix=(), setback=0.0, gap=(0.0, 0.0)),
}


def build_block(
    builder: Builder,
    block: Block,
    loop: Sequence[tuple[Street, bool]],
    outline: Array,  # (N, 2) the sidewalks' inner edge
    outside: bool,
    ids: Iterator[int],
    rng: np.random.Generator,
) -> None:
    """Fill a block; an outside one is the land round the whole town."""
    taken: list[Array] = []
    if not block.mix:
        _park(builder, outline, ids, rng)
        return
    for road, backwards in loop:
        side = road.half_width + SIDEWALK_WIDTH
        edge = side_line(road, -side if backwards else side)
        _row(builder, block, edge[::-1] if backwards else edge, outline, outside, taken, ids, rng)
    if not outside:
        _trees(builder, outline, taken, ids, rng, 5 if block.garden else 3)


def _row(builder: Builder, block: Block, edge: Array, outline: Array, outside: bool,
         taken: list[Array], ids: Iterator[int], rng: np.random.Generator) -> None:  # fmt: skip
    """Place buildings along one street's edge (N, 2), the block on the right."""
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(edge, axis=0), axis=1))])
    s = -6.0 if not block.garden else 0.0
    weights = np.array([item[1] for item in block.mix])
    while s < run[-1] + 6.0:
        kind, _, widths, depth, floors = block.mix[rng.choice(len(weights), p=weights)]
        width = float(rng.uniform(*widths))
        for shrink in (1.0, 0.75, 0.55):
            pose = _pose(edge, run, s, width * shrink, block.setback)
            base = rectangle(pose, width * shrink, depth)
            if _fits(base, outline, outside, taken):
                width *= shrink
                break
        else:
            s += 1.5
            continue
        taken.append(base)
        plot = Plot(width=width, depth=depth, floors=int(rng.integers(*floors)))
        KINDS[kind](builder.pen(BUILDING, next(ids), pose), plot, rng)
        if block.garden:
            _garden(builder, pose, plot, block.setback, ids, rng)
        s += width + float(rng.uniform(*block.gap))


def _pose(edge: Array, run: Array, s: float, width: float, setback: float) -> Array:
    """Return the pose of a plot whose front runs from s to s + width, past the ends too."""
    ends = []
    for where in (s, s + width):
        over = where - np.clip(where, 0.0, run[-1])
        point = np.array([np.interp(where, run, edge[:, k]) for k in (0, 1)])
        step = edge[1] - edge[0] if over < 0 else edge[-1] - edge[-2]
        ends.append(point + over * step / np.linalg.norm(step))
    heading = float(np.arctan2(*(ends[1] - ends[0])[::-1]))
    inward = np.array([-np.sin(heading), np.cos(heading)]) * setback
    return frame(ends[0][0] + inward[0], ends[0][1] + inward[1], heading, KERB_HEIGHT)


def rectangle(pose: Array, width: float, depth: float, margin: float = 0.0) -> Array:
    """Return the (4, 2) corners of a plot."""
    low, x, y = -margin, width + margin, depth + margin
    corners = np.array([[low, low, 0, 1], [x, low, 0, 1], [x, y, 0, 1], [low, y, 0, 1]], float)
    return (corners @ pose.T)[:, :2]


def inside(points: Array, polygon: Array) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in a polygon (M, 2)."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]
    spans = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(a[:, 1] == b[:, 1], 1.0, b[:, 1] - a[:, 1])
    left = x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0])
    return np.asarray((spans & left).sum(axis=1) % 2 == 1)


def _apart(first: Array, second: Array) -> bool:
    """Tell whether two rectangles (4, 2) have a line between them."""
    for box in (first, second):
        for axis in (box[1] - box[0], box[3] - box[0]):
            a, b = first @ axis, second @ axis
            slack = 0.02 * np.linalg.norm(axis)
            if a.max() < b.min() + slack or b.max() < a.min() + slack:
                return True
    return False


def _fits(base: Array, outline: Array, outside: bool, taken: Sequence[Array]) -> bool:
    middle = base.mean(axis=0)
    ring = np.concatenate([base, (base + np.roll(base, 1, axis=0)) / 2])
    within = inside(middle + (ring - middle) * 0.998, outline)
    if within.any() if outside else not within.all():
        return False
    reach = np.linalg.norm(base - middle, axis=1).max()
    for other in taken:
        away = np.linalg.norm(other.mean(axis=0) - middle)
        if away < reach + np.linalg.norm(other[2] - other[0]) and not _apart(base, other):
            return False
    return True


def _garden(builder: Builder, pose: Array, plot: Plot, setback: float, ids: Iterator[int],
            rng: np.random.Generator) -> None:  # fmt: skip
    """Draw a path to the door, a boundary along the sidewalk, bushes and a tree."""
    front = pose @ frame(0, -setback, 0)
    path = builder.pen(TERRAIN, 0, front)
    z = 0.012
    for a, b, cover in ((plot.width - 2.9, plot.width - 0.1, "gravel"), (0.42, 0.5, "pavement")):
        if cover == "pavement":
            a, b = plot.width * a - 0.5, plot.width * b + 0.1
        path.quads(cover, [[[a, 0, z], [b, 0, z], [b, setback, z], [a, setback, z]]])
    kind = int(rng.integers(4))
    long = plot.width - 3.2
    bound = front @ frame(0, 0.35, 0)
    if kind == 0:
        foliage.hedge(builder.pen(VEGETATION, next(ids), bound), long * 0.4, rng)
    elif kind in (1, 2):
        street.fence(builder.pen(street.FENCES, next(ids), bound), long * 0.4, kind - 1)
    else:
        street.low_wall(builder.pen(4, next(ids), bound), long * 0.4)
    for x in rng.uniform(0.5, long * 0.9, 2):
        place = pose @ frame(float(x), -0.7, 0)
        foliage.bush(builder.pen(VEGETATION, next(ids), place), rng)
    if rng.random() < 0.4:
        place = front @ frame(1.2, setback * 0.5, 0)
        foliage.tree(builder.pen(VEGETATION, next(ids), place), rng, float(rng.uniform(4, 6.5)))


def _trees(builder: Builder, outline: Array, taken: Sequence[Array], ids: Iterator[int],
           rng: np.random.Generator, count: int) -> None:  # fmt: skip
    """Plant trees in what is left of a block."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    for point in rng.uniform(low, high, (count * 3, 2)):
        if count <= 0:
            return
        spot = point + 2.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        if inside(spot, outline).all() and all(_apart(spot, other) for other in taken):
            pose = frame(float(point[0]), float(point[1]), 0.0, KERB_HEIGHT)
            height = float(rng.uniform(6, 10))
            foliage.tree(builder.pen(VEGETATION, next(ids), pose), rng, height)
            count -= 1


def _park(builder: Builder, outline: Array, ids: Iterator[int], rng: np.random.Generator) -> None:
    """Draw an iron fence all round, a crossing of paths, trees and benches."""
    middle = outline.mean(axis=0)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        step = b - a
        long = float(np.linalg.norm(step))
        if long < 4.0:
            continue
        count = int(long // 9.0) or 1
        heading = float(np.arctan2(step[1], step[0]))
        for k in range(count):
            start = a + step * (k / count)
            pose = frame(float(start[0]), float(start[1]), heading, KERB_HEIGHT)
            pose = pose @ frame(0.6, 0.3, 0)
            street.fence(builder.pen(street.FENCES, next(ids), pose), long / count - 1.2, 1)
    for angle in (0.4, 0.4 + np.pi / 2):
        radius = 0.42 * float(np.ptp(outline, axis=0).min())
        pose = frame(float(middle[0]), float(middle[1]), angle, KERB_HEIGHT + 0.01)
        path = [[[-radius, -1.2, 0], [radius, -1.2, 0], [radius, 1.2, 0], [-radius, 1.2, 0]]]
        builder.pen(TERRAIN, 0, pose).quads("gravel", path)
        for along in (-0.5, 0.5):
            seat = pose @ frame(radius * along, 1.9, 0)
            street.bench(builder.pen(street.STATIC, next(ids), seat))
    blocked = []
    for angle in (0.4, 0.4 + np.pi / 2):
        pose = frame(float(middle[0]), float(middle[1]), angle)
        blocked.append(rectangle(pose @ frame(-30, -1.5, 0), 60.0, 3.0))
    _trees(builder, outline, blocked, ids, rng, 14)
