"""Materials as the rasteriser reads them: a table of numbers and one long texture array.

Colour is kept as the square root of linear light, which is close to sRGB and cheap to undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import Floats, Material

SMALLEST = 4  # side of a texture's last level
LARGEST = 512  # larger textures are halved: beyond that a picture of 1280 px sees no more
PLAIN, LIT, DARK = 0, 1, 2  # variants of a material: as the time of day says, on, off
COLUMNS = 12
RED, ROUGH, METAL, COAT, GLOW, PAINT, CUTOUT, SCALE = 0, 3, 4, 5, 6, 9, 10, 11


class Surfaces(NamedTuple):
    """All materials, three variants each: row = variant * materials + number.

    table: (3 M, 12) float32: base colour (square root of linear) 0-2, roughness, metallic,
        clearcoat, emission (linear) 6-8, paint, cutout, uv scale.
    level: (M, 2) int32 side and number of levels, side 0 without texture.
    offset: (M,) int64 first texel. mean: (M, 3) float32 mean colour of the texture, 0..1.
    texels: (N, 4) uint8: colour and roughness.
    """

    table: Floats
    level: NDArray[np.int32]
    offset: NDArray[np.int64]
    mean: Floats
    texels: NDArray[np.uint8]


def to_linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear light of sRGB in 0..1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


LINEAR_OF_BYTES = to_linear(np.arange(256) / 255.0)  # a look-up is several times quicker


def halve(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the image (n, n, C) at half its size, averaged."""
    upper, lower = image[0::2], image[1::2]
    return (upper[:, 0::2] + upper[:, 1::2] + lower[:, 0::2] + lower[:, 1::2]) / 4.0


def levels(material: Material) -> list[NDArray[np.uint8]]:
    """Return the material's texture (n, n, 4) and its halvings, colour and roughness."""
    texture, rough = material.texture, material.roughness_texture
    if texture is None and rough is None:
        return []
    side = len(texture) if texture is not None else len(rough) if rough is not None else 0
    image = np.full((side, side, 4), material.roughness)
    image[..., :3] = 1.0
    if texture is not None:
        image[..., :3] = LINEAR_OF_BYTES[texture]
    if rough is not None:
        step = max(len(rough) // side, 1)
        image[..., 3] = np.kron(
            rough[::step, ::step] / 255.0, np.ones((max(side // len(rough), 1),) * 2)
        )
    found = []
    while len(image) > LARGEST:
        image = halve(image)
    while True:
        stored = np.concatenate([np.sqrt(image[..., :3]), image[..., 3:]], axis=-1)
        found.append(np.round(stored * 255.0).astype(np.uint8))
        if len(image) <= SMALLEST:
            return found
        image = halve(image)


def pack_surfaces(materials: Mapping[str, Material]) -> tuple[Surfaces, dict[str, int]]:
    """Return the tables and each material's number."""
    numbers = {name: number for number, name in enumerate(materials)}
    count = len(materials)
    table = np.zeros((3, count, COLUMNS), np.float32)
    level = np.zeros((count, 2), np.int32)
    offset = np.zeros(count, np.int64)
    mean = np.ones((count, 3), np.float32)
    texels: list[NDArray[np.uint8]] = [np.zeros((1, 4), np.uint8)]
    start = 1
    for number, material in enumerate(materials.values()):
        row = table[:, number]
        row[:, RED : RED + 3] = np.sqrt(to_linear(np.asarray(material.base_color, np.float64)))
        row[:, ROUGH] = material.roughness
        row[:, METAL] = material.metallic
        row[:, COAT] = material.clearcoat
        row[:, PAINT] = material.paint
        row[:, CUTOUT] = material.cutout
        row[:, SCALE] = 1.0
        glow = to_linear(np.asarray(material.emission, np.float64))
        row[PLAIN, GLOW : GLOW + 3] = glow
        lit = glow if glow.any() else 1.5 * to_linear(np.asarray(material.base_color, np.float64))
        row[LIT, GLOW : GLOW + 3] = lit
        images = levels(material)
        if images:
            level[number] = len(images[0]), len(images)
            offset[number] = start
            mean[number] = images[-1][..., :3].reshape(-1, 3).mean(axis=0) / 255.0
            for image in images:
                texels.append(image.reshape(-1, 4))
                start += len(texels[-1])
    return (
        Surfaces(
            table=table.reshape(3 * count, COLUMNS),
            level=level,
            offset=offset,
            mean=mean,
            texels=np.concatenate(texels),
        ),
        numbers,
    )
