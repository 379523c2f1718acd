"""A town under snow: the same triangles with other materials, and falling flakes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.raster.arithmetic import F
from realmaster_live.minitown.raster.compilation import Array, Scalar, kernel
from realmaster_live.minitown.scene import Material, StaticScene

SNOW = np.array([0.94, 0.95, 0.98])  # sRGB
SNOW_ROUGHNESS = 0.95
COVER = {  # share of a surface that lies under snow, by the start of its material's name
    "asphalt": 0.7,
    "line": 0.5,
    "manhole": 0.5,
    "pavement": 0.8,
    "kerb": 0.7,
    "plaza": 0.85,
    "grass": 0.95,
    "soil": 0.95,
    "gravel": 0.95,
    "forest": 0.9,
    "roof": 0.95,
    "leaf": 0.75,
    "bark": 0.3,
}
DRIFTS = 0.25  # how much thicker or thinner the cover is from place to place


def cover_of(name: str) -> float:
    """Return the share of a material's surface that lies under snow."""
    return max((share for start, share in COVER.items() if name.startswith(start)), default=0.0)


def drifts(side: int, share: float) -> NDArray[np.float64]:
    """Return how much snow (side, side) in 0..1 lies where; it tiles.

    The cover is nearly even: a picture without snow does not tell where bare patches would lie.
    """
    noise = sky.cloud_noise().astype(np.float64)
    step = max(len(noise) // side, 1)
    repeats = max(side // len(noise), 1)
    field = np.tile(noise[::step, ::step], (repeats, repeats))[:side, :side]
    return np.clip(share + DRIFTS * (0.5 - field), 0.0, 1.0)


def snowed(material: Material) -> Material:
    """Return a material as it looks with snow on it."""
    share = cover_of(material.name)
    if not share:
        return material
    base = np.asarray(material.base_color)
    if material.texture is None:
        red, green, blue = map(float, base + (SNOW - base) * share)
        return replace(material, base_color=(red, green, blue), roughness=SNOW_ROUGHNESS)
    snow = drifts(len(material.texture), share)[..., None]
    picture = material.texture / 255.0 * base
    grain = 1.0 + 0.06 * (material.texture.mean(-1, keepdims=True) / 255.0 - 0.5)
    picture = picture + (SNOW * grain - picture) * snow
    return replace(
        material,
        base_color=(1.0, 1.0, 1.0),
        texture=np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8),
        roughness=SNOW_ROUGHNESS,
        roughness_texture=None,
    )


def under_snow(scene: StaticScene) -> StaticScene:
    """Return the town with snow on its ground, roofs and trees."""
    materials = {name: snowed(material) for name, material in scene.materials.items()}
    return replace(scene, materials=materials)


@kernel
def snow_flakes(rgb: Array, amount: Scalar, frame: int) -> None:
    """Draw `amount` (0..1) of falling flakes over rgb (H, W, 3) uint8, the same for a frame."""
    height, width = rgb.shape[0], rgb.shape[1]
    state = np.uint64(frame * 2654435761 + 777)
    for _ in range(int(amount * width * height * 0.005)):
        state = (state * np.uint64(6364136223846793005)) + np.uint64(1442695040888963407)
        x = int((state >> np.uint64(33)) % np.uint64(width))
        state = (state * np.uint64(6364136223846793005)) + np.uint64(1442695040888963407)
        y = int((state >> np.uint64(33)) % np.uint64(height))
        size = 1 + int((state >> np.uint64(21)) % np.uint64(100)) // 80 * height // 200
        opacity = F(0.35) + F(int((state >> np.uint64(12)) % np.uint64(40))) / F(100.0)
        for row in range(y, min(y + size, height)):
            for column in range(x, min(x + size, width)):
                for k in range(3):
                    old = rgb[row, column, k]
                    rgb[row, column, k] = old + (F(240.0) - old) * opacity
