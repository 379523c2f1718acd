"""What engines give a model beside the frames: the geometry and the light that a simulator knows.

Everything is zero where it is unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.sizes import filled
from realmaster_live.frames.chunk import Chunk
from realmaster_live.model.geometry_guide import geometry_of
from realmaster_live.model.light_guide import light_of
from realmaster_live.model.profile import Profile

Guides = dict[str, NDArray[Any]]  # the names of the graphs' inputs


def guides_of(chunk: Chunk, profile: Profile, frames: int) -> Guides:
    """Return what a model takes of a chunk: `geometry` and `light`, each if its profile has it.

    Geometry is (T, G, H / 2, W / 2) uint8 for T = `frames`; that of a short first chunk's first
    frame is repeated, as its picture is. Light is (1, L, H / s, W / s) float32, of the last frame.
    """
    time, height, width, _ = chunk.frames.shape
    found: Guides = {}
    if profile.geometry:
        shapes = geometry_of(chunk.labels, chunk.intrinsics, (time, height, width))
        found["geometry"] = filled(shapes, frames)
    if profile.light:
        found["light"] = light_at(chunk, -1, profile.latent_stride)[None]
    return found


def light_at(chunk: Chunk, row: int, stride: int) -> NDArray[np.float32]:
    """Return the light (L, H / s, W / s) of a chunk's frame `row`."""
    height, width = chunk.frames.shape[1:3]
    weather = chunk.sources[row].weather if chunk.sources else {}
    return light_of(weather, chunk.cam_to_world[row], chunk.intrinsics, (height, width), stride)
