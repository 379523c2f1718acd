"""The geometry of a chunk, as engines give it to a decoder that is guided by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.sizes import filled
from realmaster_live.frames.chunk import Chunk
from realmaster_live.model.geometry_guide import geometry_of


def padded_geometry(chunk: Chunk, frames: int) -> NDArray[np.uint8]:
    """Return the geometry (T, G, H / 2, W / 2) of a chunk's labels, for T = `frames`.

    It is zero, which is unknown, where the chunk has no labels. Those of a short first chunk's
    first frame are repeated, as its picture is.
    """
    time, height, width, _ = chunk.frames.shape
    return filled(geometry_of(chunk.labels, chunk.intrinsics, (time, height, width)), frames)
