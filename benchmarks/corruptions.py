"""Deliberate corruptions of pictures, to measure how many of them a gate detects.

Legend: H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.regions import Regions
from realmaster_live.frames.classes import CLASS_IDS

Picture = NDArray[np.uint8]  # (H, W, 3)
SHIFT_PX, BLUR_PX = 3, 3.0
CONTOURS, CORNERS, WIDTH_PX = 6, 4, 2
MIN_ERASED_PX = 80  # smaller objects are not erased
MIN_SWAPPED_PX = 2000  # smaller areas are not swapped
GROUND, GREEN = (CLASS_IDS["road"],), (CLASS_IDS["vegetation"], CLASS_IDS["terrain"])
SMALL = (CLASS_IDS["traffic_light"], CLASS_IDS["traffic_sign"])


def shifted(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture shifted slightly to the right or down."""
    return np.roll(picture, SHIFT_PX, seed % 2)


def blurred(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture blurred."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), BLUR_PX), np.uint8)


def mirrored(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture mirrored left to right."""
    return np.ascontiguousarray(picture[:, ::-1])


def erased(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture with one object removed; None if no object is large enough.

    The background is inpainted by Telea, "An image inpainting technique based on the fast marching
    method" (2004).
    """
    things = regions.things(MIN_ERASED_PX)
    things = things[~np.isin(regions.classes[things], SMALL)]
    if not len(things):
        return None
    mask = (regions.numbers == things[seed % len(things)]).astype(np.uint8)
    dilated = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(picture, dilated, 3, cv2.INPAINT_TELEA), np.uint8)


def contoured(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture with outlines of objects that do not exist."""
    rng = np.random.default_rng(seed)
    height, width, _ = picture.shape
    corrupted = picture.copy()
    for _ in range(CONTOURS):
        points = rng.integers(0, (width, height), (CORNERS, 2)).astype(np.int32)
        colour = rng.integers(0, 256, 3).tolist()
        cv2.polylines(corrupted, [points], True, colour, WIDTH_PX, cv2.LINE_AA)
    return corrupted


def swapped(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return the picture with road and vegetation swapped; None if one is too small."""
    parts = [np.isin(regions.classes, names)[regions.numbers] for names in (GROUND, GREEN)]
    if min(part.sum() for part in parts) < MIN_SWAPPED_PX:
        return None
    corrupted = picture.copy()
    for one, other in (parts, parts[::-1]):
        corrupted[one] = np.resize(picture[other], (int(one.sum()), 3))
    return corrupted


def recoloured(picture: Picture, regions: Regions, seed: int) -> Picture | None:
    """Return red and yellow traffic lights green and green ones red; None without a light."""
    lights = (regions.classes == CLASS_IDS["traffic_light"])[regions.numbers]
    if not lights.any():
        return None
    corrupted = picture.copy()
    red, green, blue = picture[lights].T
    yellow = np.minimum(red, green) - blue.astype(np.int16) > np.abs(green - red.astype(np.int16))
    corrupted[lights] = np.stack(
        [np.where(yellow, blue, green), np.where(yellow, green, red), blue], 1
    )
    return corrupted


CORRUPTIONS: Mapping[str, Callable[[Picture, Regions, int], Picture | None]] = {
    "shifted": shifted,
    "erased": erased,
    "contoured": contoured,
    "swapped": swapped,
    "recoloured": recoloured,
    "blurred": blurred,
    "mirrored": mirrored,
}
