"""Draws the report's pictures: coloured groups and boxes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import PALETTE
from realmaster_live.training.perception.groups import IGNORE, NAMES, carla_numbers

LINE = 2  # pixels
KIND_COLOURS = ((60, 160, 255), (255, 70, 90), (255, 200, 40))  # as groups.DETECTED
COLOURS: NDArray[np.uint8] = np.zeros((256, 3), np.uint8)
COLOURS[: len(NAMES)] = [PALETTE[numbers[0]] for numbers in carla_numbers().values()]
COLOURS[IGNORE] = (0, 0, 0)


def coloured(groups: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return groups (H, W) in CityScapes' colours (H, W, 3)."""
    return COLOURS[groups]


def with_boxes(
    picture: NDArray[np.uint8],
    corners: NDArray[np.float32],  # (N, 4)
    kinds: NDArray[np.int64],  # (N,)
) -> NDArray[np.uint8]:
    """Return a picture with boxes drawn over it."""
    shown = picture.copy()
    for (left, top, right, bottom), kind in zip(corners.round().astype(int), kinds, strict=True):
        cv2.rectangle(shown, (left, top), (right - 1, bottom - 1), KIND_COLOURS[int(kind)], LINE)
    return shown
