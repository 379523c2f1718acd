"""Pictures of windows, shop fronts, curtain walls and whole facades, each with its roughness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.textures import (
    SIZE_PX,
    Color,
    Field,
    Picture,
    noise,
    picture,
)

Pair = tuple[Picture, NDArray[np.uint8]]
GLASS_ROUGHNESS = 0.06
ATLAS = 4  # windows across and down the atlas


def _rough(mask: Field, solid: float) -> NDArray[np.uint8]:
    value = np.where(mask > 0.5, GLASS_ROUGHNESS, solid)
    return np.asarray((value * 255).astype(np.uint8))


def _pane(rng: np.random.Generator, height: int, width: int) -> Field:
    """Return what is seen through one window: a dark room, with blinds or curtains at times."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    deep = rng.uniform(0.05, 0.13)
    room = np.ones((height, width, 3)) * np.array([0.9, 1.0, 1.12]) * deep
    room += (0.09 * (1 - y) ** 2)[..., None]  # ceilings catch light
    if rng.random() < 0.15:
        room += np.array([0.34, 0.27, 0.16]) * rng.uniform(0.4, 1.0)
    kind = rng.random()
    cloth = np.array([0.68, 0.65, 0.60]) * rng.uniform(0.65, 1.0)
    if kind < 0.35:
        edge = rng.uniform(0.15, 0.3)
        fold = 0.88 + 0.12 * np.sin(x * 90)
        drawn = (x < edge) | (x > 1 - edge)
        room = np.where(drawn[..., None], cloth * fold[..., None], room)
    elif kind < 0.6:
        drop = rng.uniform(0.2, 0.75)
        slat = 0.9 + 0.1 * np.sin(y * 120)
        room = np.where((y < drop)[..., None], cloth * slat[..., None], room)
    return np.asarray(room)


def windows(frame: Color, seed: int) -> Pair:
    """Return an atlas of 4 x 4 sash windows with white or dark frames."""
    rng = np.random.default_rng([seed, 81])
    size = SIZE_PX * 2
    image = np.empty((size, size, 3))
    glass = np.zeros((size, size))
    cell = size // ATLAS
    bar = 5
    for row in range(ATLAS):
        for column in range(ATLAS):
            part = np.tile(np.asarray(frame, float), (cell, cell, 1))
            inner = _pane(rng, cell - 2 * bar, cell - 2 * bar)
            part[bar:-bar, bar:-bar] = inner
            mask = np.zeros((cell, cell))
            mask[bar:-bar, bar:-bar] = 1
            middle = cell // 2
            for span in (np.s_[:, middle - 2 : middle + 3], np.s_[cell // 3 : cell // 3 + 4]):
                part[span] = np.asarray(frame) * 0.93
                mask[span] = 0
            where = np.s_[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            image[where] = part
            glass[where] = mask
    return picture(image), _rough(glass, 0.5)


def shop_front(seed: int) -> Pair:
    """Return two shop windows side by side with goods on shelves behind the glass."""
    rng = np.random.default_rng([seed, 82])
    size = SIZE_PX * 2
    line = np.arange(size) / size  # across and down
    image = np.ones((size, size, 3)) * np.array([0.20, 0.18, 0.15])
    glow = 0.22 * np.exp(-(((line - 0.1) / 0.2) ** 2))
    image += glow[:, None, None] * np.array([1.0, 0.9, 0.7])
    for _ in range(90):
        cx, shelf = rng.uniform(0, 1), rng.choice([0.42, 0.62, 0.84])
        wide, high = rng.uniform(0.015, 0.05), rng.uniform(0.04, 0.14)
        rows = np.flatnonzero((line < shelf) & (line > shelf - high))
        columns = np.flatnonzero(np.abs(line - cx) < wide)
        image[np.ix_(rows, columns)] = rng.uniform(0.15, 0.7, 3) * rng.uniform(0.4, 0.9)
    image[line > 0.9] = (0.16, 0.16, 0.17)
    glass = np.ones((size, size))
    posts = (line % 0.5 < 0.018) | (line % 0.5 > 0.482)
    rails = (line < 0.02) | (line > 0.9) | (np.abs(line - 0.2) < 0.008)
    for bars in (np.s_[:, posts], np.s_[rails]):
        image[bars] = (0.14, 0.14, 0.15)
        glass[bars] = 0
    return picture(image), _rough(glass, 0.6)


def curtain_wall(tint: Color, seed: int) -> Pair:
    """Return four by four storeys-high panes between thin mullions, with spandrels."""
    rng = np.random.default_rng([seed, 83])
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    shade = rng.uniform(0.75, 1.25, (4, 4))[(y * 4).astype(int), (x * 4).astype(int)]
    image = np.asarray(tint) * shade[..., None]
    image = image + 0.02 * noise(seed, 1.6)[..., None]
    spandrel = (y * 4) % 1 > 0.74
    image[spandrel] = np.asarray(tint) * 0.55 + 0.05
    bars = ((x * 4) % 1 < 0.05) | ((y * 4) % 1 < 0.035) | (np.abs((y * 4) % 1 - 0.74) < 0.02)
    image[bars] = (0.45, 0.46, 0.47)
    return picture(image), _rough(np.where(bars, 0.0, 1.0), 0.4)


def facade(wall: Picture, frame: Color, seed: int) -> Pair:
    """Return 2 x 2 windows let into a wall picture, for sides that are seen from afar."""
    rng = np.random.default_rng([seed, 84])
    size = SIZE_PX
    image = np.asarray(wall, float)[:size, :size] / 255
    image = np.concatenate([np.concatenate([image[::2, ::2]] * 2, 0)] * 2, 1)
    glass = np.zeros((size, size))
    half = size // 2
    for row in range(2):
        for column in range(2):
            top, left = row * half + int(0.24 * half), column * half + int(0.30 * half)
            high, wide = int(0.50 * half), int(0.40 * half)
            image[top - 4 : top + high + 4, left - 3 : left + wide + 3] = np.asarray(frame)
            image[top + high + 2 : top + high + 6, left - 6 : left + wide + 6] = 0.62
            image[top : top + high, left : left + wide] = _pane(rng, high, wide)
            image[top : top + 5, left : left + wide] *= 0.5
            glass[top : top + high, left : left + wide] = 1
            image[top : top + high, left + wide // 2 - 1 : left + wide // 2 + 2] = frame
    return picture(image), _rough(glass, 0.85)


def number_plate() -> Picture:
    """A white plate with dark figures."""
    rng = np.random.default_rng(85)
    image = np.full((64, 64, 3), 0.86)
    for k in range(7):
        left = 5 + k * 8
        image[18:46, left : left + 5] = 0.12
        image[22:42, left + 1 : left + 4] = 0.86 if k % 3 else 0.12
        image[int(rng.integers(24, 38)) :, left + 1 : left + 4][:4] = 0.12
    return picture(image)


def sign_faces() -> Picture:
    """Return 2 x 2 round faces: a speed limit, no parking, no entry, a blue arrow."""
    half = SIZE_PX // 2
    y, x = (np.mgrid[:half, :half] + 0.5) / half * 2 - 1
    radius = np.hypot(x, y)
    white, red, blue = (0.9, 0.9, 0.88), (0.72, 0.08, 0.08), (0.06, 0.22, 0.55)
    image = np.full((SIZE_PX, SIZE_PX, 3), 0.5)

    def face(row: int, column: int, base: Color, *marks: tuple[NDArray[np.bool_], Color]) -> None:
        part = np.tile(np.asarray(base, float), (half, half, 1))
        for mask, color in marks:
            part[mask] = color
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] = part

    ring = radius > 0.76
    three = (
        (np.abs(x + 0.25) < 0.17)
        & (np.abs(y) < 0.36)
        & ~((x < -0.2) & ((np.abs(y - 0.18) < 0.1) | (np.abs(y + 0.18) < 0.1)))
    )
    zero = (
        (np.abs(x - 0.25) < 0.17)
        & (np.abs(y) < 0.36)
        & ~((np.abs(x - 0.25) < 0.07) & (np.abs(y) < 0.24))
    )
    face(0, 0, white, (ring, red), (three | zero, (0.05, 0.05, 0.05)))
    face(0, 1, blue, (ring, red), (np.abs(x - y) < 0.16, red))
    face(1, 0, red, ((np.abs(y) < 0.17) & (np.abs(x) < 0.68), white))
    arrow = ((np.abs(x) < 0.1) & (np.abs(y) < 0.5)) | (
        (y < -0.1) & (np.abs(x) < (y + 0.62) * 0.9) & (y > -0.62)
    )
    face(1, 1, blue, (arrow, white))
    return picture(image)
