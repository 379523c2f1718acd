"""Pixels of CARLA's cameras: decoding into our labels, and writing back in place.

`raw_data` is a view of memory that lives as long as the image: the caller of these functions
holds the image. Every decoder returns an array of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

DEPTH_SCALE_M = np.float32(1000.0 / (2**24 - 1))  # 24 bits span a kilometre


def bgra_view(image: Any) -> NDArray[np.uint8]:
    """Return a (H, W, 4) read-only view of a carla.Image, valid while the image is held."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def rgb(image: Any, supersample: int = 1) -> NDArray[np.uint8]:
    """Return the picture, (H, W, 3) uint8 sRGB.

    With `supersample`, its sides are that many times shorter and each pixel is the mean of a
    square of the image's, as games resolve samples: after their tone mapping.
    """
    source = bgra_view(image)
    if supersample > 1:
        cv2 = require("cv2", extra="live")
        size = (image.width // supersample, image.height // supersample)
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture = np.empty((*source.shape[:2], 3), np.uint8)
    for channel in range(3):  # six times as fast as one reversed slice
        picture[..., channel] = source[..., 2 - channel]
    return picture


def depth_m(image: Any) -> NDArray[np.float32]:
    """Return (H, W) float32 metres along the optical axis; CARLA's R is the lowest byte."""
    depth: NDArray[np.float32] = _red_lowest(image).astype(np.float32)
    depth *= DEPTH_SCALE_M
    return depth


def semantic(image: Any) -> NDArray[np.uint8]:
    """Return (H, W) uint8 class numbers, which CARLA puts into red."""
    return np.ascontiguousarray(bgra_view(image)[..., 2])


def instance(image: Any) -> NDArray[np.int32]:
    """Return (H, W) int32 class << 16 | id, and 0 where there is no object.

    CARLA sends the class in red and the id's low byte in green, its high byte in blue.
    """
    labels = _red_lowest(image)
    ids = labels >> np.uint32(8)
    labels &= np.uint32(0xFF)  # in place: fresh memory costs more than the arithmetic
    labels <<= np.uint32(16)
    labels |= ids
    labels *= ids != 0
    return labels.view(np.int32)


def flow_px(image: Any) -> NDArray[np.float32]:
    """Return (H, W, 2) float32 pixels: this frame's pixel minus where it was before, y down.

    CARLA sends screen velocities as Unreal knows them: one unit is half the picture, y points up.
    """
    height, width = image.height, image.width
    velocity = np.frombuffer(image.raw_data, np.float32).reshape(height, width, 2)
    return velocity * np.array([width / 2.0, -height / 2.0], np.float32)


Decoder = Callable[[Any], NDArray[Any]]
LABEL_DECODERS: Mapping[str, Decoder] = {
    "depth": depth_m,
    "semantic": semantic,
    "instance": instance,
    "flow": flow_px,
}


def overwrite(image: Any, pixels: NDArray[np.uint8]) -> None:
    """Write `pixels`, (H, W, 4) uint8 BGRA, over those of a carla.Image that the caller holds.

    The client offers its pixels read-only and lets nobody make an image, so that the only way to
    hand out a real carla.Image with other pixels is to write into its own memory.
    """
    target = bgra_view(image)
    if pixels.shape != target.shape or pixels.dtype != np.uint8:
        raise ValueError(
            f"expected pixels of shape {target.shape} uint8, got {pixels.shape} {pixels.dtype}: "
            "scale the picture to the camera's own size"
        )
    pixels = np.ascontiguousarray(pixels)
    ctypes.memmove(target.ctypes.data, pixels.ctypes.data, pixels.nbytes)


def _red_lowest(image: Any) -> NDArray[np.uint32]:
    """Return R | G << 8 | B << 16, (H, W) uint32, of little-endian B, G, R, A words."""
    words = np.frombuffer(image.raw_data, "<u4").reshape(image.height, image.width)
    packed: NDArray[np.uint32] = words.byteswap()
    packed >>= np.uint32(8)
    return packed
