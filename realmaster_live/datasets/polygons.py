"""Masks as polygons along the borders of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

UPSAMPLING = 3  # OpenCV's contours pass through pixel centres: smaller pixels bring them closer


def as_polygons(
    mask: NDArray[np.bool_],  # (h, w), a part of the picture
    at: tuple[int, int],  # left, top of the part, pixels
) -> list[list[float]]:
    """Return the polygon of each part of a mask, [x, y, x, y, ...] in pixels; holes are filled.

    Coordinates are COCO's: a pixel's top left corner is at its column and row.
    """
    upsampled = np.repeat(np.repeat(mask.astype(np.uint8), UPSAMPLING, axis=0), UPSAMPLING, axis=1)
    found, _ = cv2.findContours(upsampled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [
        np.round((part.reshape(-1, 2) + 0.5) / UPSAMPLING + at, 2).ravel().tolist()
        for part in found
    ]


def part_outlines(mask: NDArray[Any]) -> list[NDArray[np.int32]]:
    """Return the outline (N, 2) of each part of a mask (H, W), holes filled.

    The points are columns and rows of pixels on the border of the part.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [part.reshape(-1, 2) for part in found]


def joined_outline(mask: NDArray[Any]) -> NDArray[np.int32]:
    """Return one outline (N, 2) of a whole mask (H, W), as `part_outlines` gives them.

    Parts are joined by lines that run there and back, so they enclose no area. Holes are filled.
    """
    parts = part_outlines(mask)
    if len(parts) == 1:
        return parts[0]
    closed = [np.concatenate([part, part[:1]]) for part in parts]
    reversed_outline = [part[:1] for part in parts[-2:0:-1]]
    return np.concatenate([*closed, *reversed_outline])
