"""Pictures in and out of diffusers' editing pipelines, which work at sizes of their own."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from realmaster_live.optional import require
from realmaster_live.training.pairs.editors.protocol import Picture


def working_size(height: int, width: int, *, pixels: int, multiple: int) -> tuple[int, int]:
    """Return (height, width) of about `pixels` pixels, multiples of `multiple`, same shape."""
    scale = (pixels / (height * width)) ** 0.5
    fit = (max(round(side * scale / multiple), 1) * multiple for side in (height, width))
    return next(fit), next(fit)


def to_pil(picture: Picture, height: int, width: int) -> Any:
    """Return a PIL image in the editor's size."""
    image = require("PIL.Image", extra="pairs")
    return image.fromarray(np.ascontiguousarray(resized(picture, height, width)))


def from_pil(image: Any, height: int, width: int) -> Picture:
    """Return a PIL image as a picture in the clip's size."""
    return resized(np.asarray(image.convert("RGB")), height, width)


def resized(picture: Picture, height: int, width: int) -> Picture:
    """Return the picture in another size: area means down, cubic up."""
    if picture.shape[:2] == (height, width):
        return picture
    smaller = height * width < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)
