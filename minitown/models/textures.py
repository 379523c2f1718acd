"""Tiling pictures of surfaces, drawn from noise: (n, n, 3) uint8 sRGB, top row first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Picture = NDArray[np.uint8]
Color = tuple[float, float, float]

SIZE_PX = 256


def noise(seed: int, slope: float, size: int = SIZE_PX, stretch: float = 1.0) -> Field:
    """Return periodic noise (size, size), mean 0, deviation 1, power falling as f^-2 slope.

    A `stretch` above 1 draws it out along the rows (downwards).
    """
    rng = np.random.default_rng([seed, 77])
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    fy, fx = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None] * size
    frequency = np.hypot(fy * stretch, fx)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(spectrum / frequency**slope, s=(size, size))
    return np.asarray(field / field.std())


def picture(color: Color | Field, *fields: Field) -> Picture:
    """Return `color` with each field (n, n) or (n, n, 3) added, as uint8."""
    total = np.asarray(color, float)
    for field in fields:
        total = total + (field[..., None] if field.ndim == 2 else field)
    return np.asarray((np.clip(total, 0, 1) * 255 + 0.5).astype(np.uint8))


def cells(seed: int, rows: int, columns: int, shift: float, joint_px: float) -> tuple[Field, Field]:
    """Return a random value per brick and a mask of the joints; odd rows move by `shift`."""
    rng = np.random.default_rng([seed, 78])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    row = np.floor(y * rows).astype(int)
    along = x * columns + shift * (row % 2)
    column = np.floor(along).astype(int) % columns
    value = rng.random((rows, columns))[row, column]
    down = np.minimum(y * rows % 1, 1 - y * rows % 1) * SIZE_PX / rows
    side = np.minimum(along % 1, 1 - along % 1) * SIZE_PX / columns
    joint = np.clip(joint_px / 2 + 0.5 - np.minimum(down, side), 0, 1)
    return value, joint


def asphalt() -> Picture:
    """Old grey asphalt with patches, stones and a few cracks."""
    fine = noise(1, 0.15, 512)
    broad = noise(2, 1.4, 512)
    crack = np.exp(-np.abs(noise(3, 1.6, 512)) * 60) * (noise(4, 1.3, 512) > 0.5)
    patch = np.where(noise(5, 2.2, 512) > 1.35, -0.035, 0.0)
    return picture((0.385, 0.38, 0.375), 0.022 * fine, 0.014 * broad, -0.13 * crack, patch)


def slabs(color: Color, rows: int = 4, columns: int = 4) -> Picture:
    """Return paving slabs."""
    value, joint = cells(6, rows, columns, 0.5, 1.6)
    grain = 0.02 * noise(7, 0.3) + 0.02 * noise(8, 1.3)
    return picture(color, 0.06 * (value - 0.5), grain, -0.18 * joint)


def brick(color: Color, mortar: Color, seed: int) -> Picture:
    """Return a running bond, 8 bricks across and 24 courses high."""
    value, joint = cells(seed, 24, 8, 0.5, 1.5)
    hue = np.array([0.10, 0.07, 0.06]) * (value[..., None] - 0.5) * 1.6
    wall = np.asarray(color) + hue + 0.02 * noise(seed, 0.4)[..., None]
    wall = wall + 0.02 * noise(seed + 1, 1.5)[..., None]
    mixed = wall * (1 - joint[..., None]) + np.asarray(mortar) * joint[..., None]
    return picture(mixed)


def plaster(color: Color, seed: int) -> Picture:
    """Return smooth render with faint stains that run down."""
    return picture(
        color,
        0.010 * noise(seed, 0.2),
        0.012 * noise(seed + 1, 1.4),
        -0.012 * np.abs(noise(seed + 2, 1.3, stretch=7.0)),
    )


def concrete(seed: int) -> Picture:
    """Return cast concrete panels, two by two."""
    value, joint = cells(seed, 2, 2, 0.0, 1.4)
    stains = -0.03 * np.abs(noise(seed + 2, 1.3, stretch=8.0))
    grain = 0.012 * noise(seed, 0.3)
    return picture((0.60, 0.59, 0.57), 0.05 * (value - 0.5), grain, stains, -0.15 * joint)


def roof_tiles(color: Color) -> Picture:
    """Return overlapping clay tiles, 12 rows of 12."""
    value, _ = cells(12, 12, 12, 0.5, 1.0)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    lap = (y * 12) % 1
    round_ = np.abs(np.sin(np.pi * (x * 12 + 0.5 * (np.floor(y * 12) % 2))))
    shade = 0.10 * round_ + 0.10 * lap - 0.22 * (lap > 0.9)
    return picture(color, 0.09 * (value - 0.5), shade - 0.1, 0.02 * noise(13, 0.5))


def grass() -> Picture:
    """A lawn."""
    blades, broad = noise(14, 0.35), noise(15, 1.3)
    tint = np.stack([0.03 * broad, 0.02 * broad, 0.0 * broad], axis=-1)
    return picture((0.33, 0.41, 0.20), 0.05 * blades, tint)


def leaves(color: Color, seed: int) -> Picture:
    """Foliage: bright leaves over dark gaps."""
    rng = np.random.default_rng([seed, 79])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    light = np.full((SIZE_PX, SIZE_PX), -0.16)
    for level in range(420):
        cx, cy = rng.uniform(0, SIZE_PX, 2)
        turn = rng.uniform(0, np.pi)
        r = int(rng.uniform(7, 12))
        rows = np.arange(int(cy) - r, int(cy) + r) % SIZE_PX
        columns = np.arange(int(cx) - r, int(cx) + r) % SIZE_PX
        dy = (y[:, :1][rows] - cy + SIZE_PX / 2) % SIZE_PX - SIZE_PX / 2
        dx = (x[:1][:, columns] - cx + SIZE_PX / 2) % SIZE_PX - SIZE_PX / 2
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = dy * np.cos(turn) - dx * np.sin(turn)
        inside = (along / r) ** 2 + (across / (0.5 * r)) ** 2 < 1
        shade = -0.10 + 0.26 * level / 420 * rng.uniform(0.5, 1) - 0.05 * (np.abs(across) < 0.7)
        block = light[np.ix_(rows, columns)]
        light[np.ix_(rows, columns)] = np.where(inside, shade, block)
    tint = np.array([0.85, 1.0, 0.45]) * light[..., None]
    return picture(color, tint, 0.012 * noise(seed, 0.5))


def bark() -> Picture:
    """Bark with furrows that run up."""
    return picture((0.32, 0.27, 0.22), 0.06 * noise(16, 0.8, stretch=5.0), 0.02 * noise(17, 0.3))


def speckle(color: Color, amount: float, seed: int, slope: float = 0.3) -> Picture:
    """Return a plain surface with fine grain."""
    return picture(color, amount * noise(seed, slope), 0.5 * amount * noise(seed + 1, 1.4))


def stripes(colors: Sequence[Color], count: int) -> Picture:
    """Return vertical stripes of the colours in turn, `count` in all, as on an awning."""
    band = (np.arange(SIZE_PX) * count // SIZE_PX) % len(colors)
    return picture(np.tile(np.asarray(colors)[band], (SIZE_PX, 1, 1)))


def letters(color: Color, ink: Color, seed: int) -> Picture:
    """Return a sign board with letter-like marks across its middle."""
    rng = np.random.default_rng([seed, 80])
    board = np.tile(np.asarray(color, float), (SIZE_PX, SIZE_PX, 1))
    x = 30
    while x < SIZE_PX - 44:
        width = int(rng.integers(14, 22))
        top, low = 80, 180
        strokes = rng.random(5) < 0.62
        strokes[0] = True
        spans = (
            (slice(top, low), slice(x, x + 5)),
            (slice(top, low), slice(x + width - 5, x + width)),
            (slice(top, top + 14), slice(x, x + width)),
            (slice((top + low) // 2 - 7, (top + low) // 2 + 7), slice(x, x + width)),
            (slice(low - 14, low), slice(x, x + width)),
        )
        for on, span in zip(strokes, spans, strict=True):
            if on:
                board[span] = ink
        x += width + (7 if rng.random() < 0.85 else 24)
    return picture(board)
