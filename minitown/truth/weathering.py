"""Wear: the game's clean surfaces as years of traffic and rain leave them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import Material, StaticScene

WEAR = {  # how much stronger stains and cracks show than in the game, by the material's first word
    "asphalt": 2.2,
    "pave": 1.5,
    "plaza": 1.4,
    "kerb": 1.5,
    "line": 2.2,
    "concrete": 1.5,
    "plaster": 1.6,
    "brick": 1.3,
    "roof": 1.3,
    "grass": 1.3,
}


def worn(material: Material) -> Material:
    """Return a material whose stains, patches and cracks show as they do on old surfaces.

    They lie where the game's texture has them, only fainter: so a picture of the game tells where.
    """
    gain = max((g for word, g in WEAR.items() if material.name.startswith(word)), default=1.0)
    if material.texture is None or gain == 1.0:
        return material
    picture = material.texture.astype(np.float64)
    mean = picture.mean(axis=(0, 1))
    shown = np.clip(mean + (picture - mean) * gain, 0.0, 255.0)
    return replace(material, texture=np.round(shown).astype(np.uint8))


def weathered(scene: StaticScene) -> StaticScene:
    """Return the town with worn surfaces."""
    return replace(scene, materials={name: worn(m) for name, m in scene.materials.items()})


def heights(material: Material) -> NDArray[np.float64]:
    """Return how high (h, w) in 0..1 each place of a texture lies: water stands in what is dark.

    Raises:
        ValueError: the material has no texture.
    """
    if material.texture is None:
        raise ValueError(f"expected a texture, got none in {material.name}: give it one")
    grey = material.texture.astype(np.float32).mean(axis=-1)
    rows, columns = grey.shape
    tiled = cv2.GaussianBlur(np.tile(grey, (3, 3)), (0, 0), rows / 40)
    broad = tiled[rows : 2 * rows, columns : 2 * columns]
    low, high = np.quantile(broad, (0.2, 0.9))
    return np.asarray(np.clip((broad - low) / max(high - low, 1e-6), 0.0, 1.0), np.float64)
