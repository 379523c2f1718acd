"""Masks as polygons along the borders of their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

FINER = 3  # OpenCV's outlines go through pixels' middles: a third of a pixel is near the border


def as_polygons(
    mask: NDArray[np.bool_],  # (h, w), a part of the picture
    at: tuple[int, int],  # left, top of the part, pixels
) -> list[list[float]]:
    """Return the outline of each part of a mask as x, y, x, y and so on, pixels; holes are filled.

    Coordinates are COCO's: a pixel's left upper corner is at its column and row.
    """
    fine = np.repeat(np.repeat(mask.astype(np.uint8), FINER, axis=0), FINER, axis=1)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [
        np.round((part.reshape(-1, 2) + 0.5) / FINER + at, 2).ravel().tolist() for part in found
    ]
