"""Trees, hedges, bushes and the wooded horizon. Crowns are lumpy balls with loose leaf cards."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.materials import LEAVES, TILES
from realmaster_live.minitown.models.shapes import Builder, Pen, frame

Array = NDArray[np.float64]

GROWN_M = 7.5
KINDS = 5
CARDS = 80
CARD_M = 0.29


def tree(pen: Pen, rng: np.random.Generator, height: float, leaf: str | None = None) -> None:
    """Draw a broad-leaved tree with its foot at the origin, one of a few turned and scaled."""
    leaf = leaf or str(rng.choice(LEAVES, p=[0.45, 0.25, 0.22, 0.08]))
    drawing = _grown(leaf, int(rng.integers(KINDS)))
    pose = pen.pose @ frame(0, 0, float(rng.uniform(0, 2 * np.pi)))
    pose[:3, :3] *= height / GROWN_M
    pen.builder.pen(pen.semantic, pen.instance, pose).stamp(drawing)


@lru_cache(maxsize=len(LEAVES) * KINDS)
def _grown(leaf: str, kind: int) -> Builder:
    """Draw one of the trees, GROWN_M high."""
    rng = np.random.default_rng([kind, LEAVES.index(leaf), 9])
    drawing = Builder(tiles=TILES)
    pen = drawing.pen(9)
    height = GROWN_M
    radius = height * rng.uniform(0.24, 0.30)
    stem = height * rng.uniform(0.30, 0.38)
    lean = rng.uniform(-0.25, 0.25, 2)
    line = [[0, 0, -0.05], [*(lean * 0.3), stem * 0.6], [*lean, stem + radius * 0.5]]
    thick = 0.05 + height * 0.018
    pen.tube("bark", line, [thick * 1.25, thick, thick * 0.7], sides=7)
    centre = np.array([*lean, height - radius * 1.15])
    lumps = [(centre, radius)]
    for k in range(3):
        angle = k * np.pi / 1.5 + rng.uniform(-0.5, 0.5)
        out = radius * rng.uniform(0.5, 0.7)
        shift = [np.cos(angle) * out, np.sin(angle) * out, rng.uniform(-0.6, 0.25) * radius]
        lumps.append((centre + shift, radius * rng.uniform(0.55, 0.72)))
        limb = [line[1], centre + np.array(shift) * 0.6]
        pen.tube("bark", limb, [thick * 0.6, thick * 0.25], sides=5)
    for middle, size in lumps:
        lump(pen, leaf, middle, size * np.array([0.88, 0.88, 0.8]), rng)
    _cards(pen, leaf, lumps, rng)
    drawing.merge()
    return drawing


def lump(pen: Pen, leaf: str, centre: Array, radii: Array, rng: np.random.Generator) -> None:
    """Draw one uneven ball of leaves."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, 5)[:, None]
    lon = np.linspace(0, 2 * np.pi, 9)[None]
    unit = np.stack(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon], axis=-1
    )
    swell = 1 + 0.16 * rng.standard_normal(unit.shape[:2])
    swell[:, -1] = swell[:, 0]
    swell[0], swell[-1] = 1.0, 1.0
    points = unit * swell[..., None] * radii + centre
    around = round(2 * np.pi * float(radii[0]) / TILES[leaf]) or 1
    up = np.pi * float(radii[2]) / TILES[leaf]
    shift = rng.random(2)
    uvs = np.stack([lon / (2 * np.pi) * around + 0 * lat, lat / np.pi * up + 0 * lon], axis=-1)
    pen.patch(leaf, points, uvs + shift)


def _cards(pen: Pen, leaf: str, lumps: list[tuple[Array, float]], rng: np.random.Generator) -> None:
    """Scatter leaf sprays over the lumps' outer faces so that the outline is ragged."""
    weights = np.array([size**2 for _, size in lumps])
    owner = rng.choice(len(lumps), CARDS, p=weights / weights.sum())
    centre = np.array([middle for middle, _ in lumps])[owner]
    size = np.array([size for _, size in lumps])[owner][:, None]
    out = rng.standard_normal((CARDS, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    middle = centre + out * size * [0.92, 0.92, 0.84] * rng.uniform(0.9, 1.08, (CARDS, 1))
    side = np.cross(out, rng.standard_normal((CARDS, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    tip = np.cross(side, out) * 0.75 + out * rng.uniform(-0.2, 0.7, (CARDS, 1))
    scale = CARD_M * rng.uniform(0.7, 1.4, (CARDS, 1))
    corners = np.stack(
        [middle - tip * scale, middle + side * scale * 0.7, middle + tip * scale * 1.2,
         middle - side * scale * 0.7], axis=1,
    )  # fmt: skip
    normals = np.repeat((out * 0.8 + [0, 0, 0.45])[:, None], 4, axis=1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    cut = np.array([[0, 0], [0.7, 0.7], [0, 1.9], [-0.7, 0.7]]) * CARD_M / TILES[leaf]
    uvs = cut[None] + rng.random((CARDS, 1, 2))
    index = np.arange(CARDS)[:, None] * 4
    triangles = np.concatenate([index + np.array([0, 1, 2]), index + np.array([0, 2, 3])])
    pen.add(leaf, corners.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), triangles)


def hedge(pen: Pen, length: float, rng: np.random.Generator) -> None:
    """Draw a clipped hedge along x from the origin."""
    count = max(2, int(length / 0.7) + 1)
    x = np.linspace(0, length, count)
    section = np.array([[-0.36, 0], [-0.42, 0.5], [-0.34, 0.98], [0, 1.08], [0.34, 0.98],
                        [0.42, 0.5], [0.36, 0]])  # fmt: skip
    grid = np.empty((count, len(section), 3))
    grid[..., 0] = x[:, None]
    grid[..., 1:] = section[None]
    grid[:, 1:-1] += rng.uniform(-0.06, 0.06, (count, len(section) - 2, 3))
    grid[[0, -1], :, 1] *= 0.6
    run = np.cumsum([0, *np.hypot(*np.diff(section, axis=0).T)])
    uvs = np.stack(np.broadcast_arrays(x[:, None], run[None]), axis=-1) / TILES["leaf_dark"]
    pen.patch("leaf_dark", grid, uvs)
    for end in (grid[0], grid[-1]):
        pen.fan("leaf_dark", end)


def bush(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a low bush at the origin."""
    size = rng.uniform(0.4, 0.8)
    lump(pen, str(rng.choice(LEAVES[:3])), np.array([0, 0, size * 0.6]), np.full(3, size), rng)


def horizon(builder: Builder, rng: np.random.Generator, radius: float) -> None:
    """Draw two wooded ridges round the town, so that streets never end in bare sky."""
    pen = builder.pen(9)
    for distance, height in ((radius + 170, 13.0), (radius + 420, 38.0)):
        count = 96
        angle = np.linspace(0, 2 * np.pi, count + 1)
        waves = sum(
            rng.uniform(0.3, 1) / k * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5, 9)
        )
        bumps = rng.uniform(-0.12, 0.12, count + 1)
        bumps[-1] = bumps[0]
        top = height * (1 + 0.22 * np.asarray(waves) + bumps)
        out = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        rows = []
        for rise, depth in ((0.0, 0.0), (0.6, 4.0), (0.93, 12.0), (1.0, 22.0)):
            ring = out * (distance + depth)
            rows.append(np.column_stack([ring, rise * top - 0.5]))
        grid = np.stack(rows)
        u = np.broadcast_to(angle * round(distance / TILES["forest"]), grid.shape[:2])
        uvs = np.stack([u, grid[..., 2] / TILES["forest"]], axis=-1)
        pen.patch("forest", grid, uvs)
