"""Labels as pictures that a lossless 8 or 16 bit grey video can hold, and back.

| label    | picture        | what comes back                                      |
|----------|----------------|------------------------------------------------------|
| depth    | (2H, W) uint16 | CARLA's 24 bit code of 0..1000 m: see below          |
| semantic | (H, W) uint8   | the same                                             |
| instance | (2H, W) uint16 | the same, any int32                                  |
| flow     | (4H, W) uint16 | the same, bit by bit                                 |

The halves lie one above the other: the upper picture holds the high 16 bits and is of use by
itself (depth in steps of 15 mm, the class of each object), the lower one the bits below. Two
pictures of 16 bits compress better and faster with FFV1 than one of four bytes a pixel.

Depth that was decoded from CARLA's code in float32 comes back bit by bit; any other within 0.07 mm.
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


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How one label becomes a grey picture.

    Attributes:
        pixel_format: FFmpeg's name of the grey format.
        rows: height of the picture over the height of the label.
        pack: label of one frame -> (rows * H, W) picture.
        unpack: the way back.
    """

    pixel_format: str
    rows: int
    pack: Callable[[NDArray[Any]], NDArray[Any]]
    unpack: Callable[[NDArray[Any]], NDArray[Any]]


def _stacked(words: NDArray[np.uint32], *, low_bits: int) -> NDArray[np.uint16]:
    rows, width = words.shape
    picture = np.empty((2 * rows, width), np.uint16)
    np.right_shift(words, np.uint32(low_bits), out=picture[:rows], casting="same_kind")
    np.bitwise_and(words, np.uint32(2**low_bits - 1), out=picture[rows:], casting="same_kind")
    return picture


def _joined(picture: NDArray[np.uint16], *, low_bits: int) -> NDArray[np.uint32]:
    rows = len(picture) // 2
    words: NDArray[np.uint32] = picture[:rows].astype(np.uint32)
    words <<= np.uint32(low_bits)
    words |= picture[rows:]
    return words


def pack_depth(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) metres -> (2H, W): bits 8 to 23 of CARLA's code above, bits 0 to 7 below.

    What is farther than 1000 m, or not a number, is stored as 1000 m: CARLA's own far plane.
    """
    near = np.fmax(np.fmin(depth, np.float32(DEPTH_FAR_M)), np.float32(0))
    code = near.astype(np.float64)
    code /= np.float64(DEPTH_STEP_M)
    code += 0.5
    return _stacked(code.astype(np.uint32), low_bits=8)


def unpack_depth(picture: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(2H, W) -> (H, W) float32 metres."""
    metres: NDArray[np.float32] = _joined(picture, low_bits=8).astype(np.float32)
    metres *= DEPTH_STEP_M
    return metres


def pack_instance(instance: NDArray[np.int32]) -> NDArray[np.uint16]:
    """(H, W) int32 -> (2H, W): the class above, the id below."""
    return _stacked(np.ascontiguousarray(instance).view(np.uint32), low_bits=16)


def unpack_instance(picture: NDArray[np.uint16]) -> NDArray[np.int32]:
    """(2H, W) -> (H, W) int32."""
    return _joined(picture, low_bits=16).view(np.int32)


def pack_flow(flow: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W, 2) float32 -> (4H, W): high halves of x then y, then the low halves."""
    stacked = np.concatenate([flow[..., 0], flow[..., 1]])
    return _stacked(np.ascontiguousarray(stacked).view(np.uint32), low_bits=16)


def unpack_flow(picture: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(4H, W) -> (H, W, 2) float32."""
    return np.stack(np.split(_joined(picture, low_bits=16).view(np.float32), 2), axis=-1)


def _same(array: NDArray[Any]) -> NDArray[Any]:
    return array


PACKINGS: Mapping[str, Packing] = {
    "depth": Packing(pixel_format="gray16le", rows=2, pack=pack_depth, unpack=unpack_depth),
    "semantic": Packing(pixel_format="gray", rows=1, pack=_same, unpack=_same),
    "instance": Packing(
        pixel_format="gray16le", rows=2, pack=pack_instance, unpack=unpack_instance
    ),
    "flow": Packing(pixel_format="gray16le", rows=4, pack=pack_flow, unpack=unpack_flow),
}
