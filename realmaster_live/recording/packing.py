"""Converts labels to columns that compress well, and back.

| label    | columns                 | after a round trip                                   |
|----------|-------------------------|------------------------------------------------------|
| depth    | r, g, b: (H, W) uint8   | CARLA's 24-bit code of 0..1000 m: see below          |
| semantic | semantic: (H, W) uint8  | identical                                            |
| instance | instance: (H, W) int32  | identical                                            |
| flow     | x0..x3, y0..y3: uint8   | identical: the bytes of float32, little-endian       |

Depth is stored as CARLA sends it, `(r + 256 g + 65536 b) / (2^24 - 1) * 1000` metres: what was
decoded from that in float32 comes back bit by bit, any other depth within 0.07 mm. Grouping
bytes by significance halves the size of depth and flow compared with compressed floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTH_CODES = 2**24  # CARLA's depth code R + 256 G + 65536 B spans a kilometre
DEPTH_FAR_M = 1000.0
DEPTH_STEP_M = np.float32(DEPTH_FAR_M / (DEPTH_CODES - 1))
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How one label is stored as columns.

    Attributes:
        dtypes: name of each column, (H, W) per frame -> its type.
        pack: label of one frame -> columns. unpack: the inverse, into a new array.
    """

    dtypes: Mapping[str, type[np.generic]]
    pack: Callable[[NDArray[Any]], Columns]
    unpack: Callable[[Columns], NDArray[Any]]


def pack_depth(depth: NDArray[np.float32]) -> Columns:
    """(H, W) metres -> the three bytes of CARLA's code.

    Depth beyond 1000 m, and NaN, is stored as 1000 m, CARLA's far plane.
    """
    near = np.fmin(depth, np.float32(DEPTH_FAR_M))
    np.fmax(near, np.float32(0), out=near)
    code = np.multiply(near, 1.0 / np.float64(DEPTH_STEP_M), dtype=np.float64)
    code += 0.5
    parts = code.astype("<i4").view(np.uint8).reshape(*depth.shape, 4)
    return {name: parts[..., place] for place, name in enumerate("rgb")}


def unpack_depth(columns: Columns) -> NDArray[np.float32]:
    """Return (H, W) float32 metres."""
    metres: NDArray[np.float32] = columns["b"].astype(np.float32)  # which counts to 2**24
    for name in "gr":
        metres *= np.float32(256)
        metres += columns[name]
    metres *= DEPTH_STEP_M
    return metres


def pack_flow(flow: NDArray[np.float32]) -> Columns:
    """Return the bytes of (H, W, 2) float32, one column each."""
    parts = np.ascontiguousarray(flow, "<f4").view(np.uint8).reshape(*flow.shape[:2], 8)
    return {name: parts[..., place] for place, name in enumerate(_FLOW)}


def unpack_flow(columns: Columns) -> NDArray[np.float32]:
    """Return (H, W, 2) float32."""
    whole = np.stack([columns[name] for name in _FLOW], axis=-1)
    flow: NDArray[np.float32] = whole.view("<f4").astype(np.float32, copy=False)
    return flow


def _plain(name: str, dtype: type[np.generic]) -> Packing:
    return Packing(
        dtypes={name: dtype},
        pack=lambda label: {name: label.astype(dtype, copy=False)},
        unpack=lambda columns: columns[name].copy(),
    )


_FLOW = ("x0", "x1", "x2", "x3", "y0", "y1", "y2", "y3")
PACKINGS: Mapping[str, Packing] = {
    "depth": Packing(dtypes=dict.fromkeys("rgb", np.uint8), pack=pack_depth, unpack=unpack_depth),
    "semantic": _plain("semantic", np.uint8),
    "instance": _plain("instance", np.int32),
    "flow": Packing(dtypes=dict.fromkeys(_FLOW, np.uint8), pack=pack_flow, unpack=unpack_flow),
}
