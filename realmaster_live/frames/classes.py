"""CARLA's classes (0.9.14 and later): their numbers, names and colours, and Cityscapes' of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = (
    "unlabeled", "road", "sidewalk", "building", "wall", "fence", "pole", "traffic_light",
    "traffic_sign", "vegetation", "terrain", "sky", "pedestrian", "rider", "car", "truck", "bus",
    "train", "motorcycle", "bicycle", "static", "dynamic", "other", "water", "road_line", "ground",
    "bridge", "rail_track", "guard_rail",
)  # fmt: skip
# the colours of CARLA's own CityScapesPalette converter
PALETTE: NDArray[np.uint8] = np.array(
    [
        (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
        (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
        (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
        (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160), (170, 120, 50), (55, 90, 80),
        (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140),
        (180, 165, 180),
    ],
    np.uint8,
)  # fmt: skip

CLASS_IDS: Mapping[str, int] = {name: number for number, name in enumerate(CLASS_NAMES)}
# what can be counted: boxes and instances are of these
THINGS: frozenset[int] = frozenset(
    CLASS_IDS[name]
    for name in (
        "traffic_light", "traffic_sign", "pedestrian", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    )
)  # fmt: skip


def class_name(number: int) -> str:
    """Return the name of a class, or its number in digits where it has no name."""
    return CLASS_NAMES[number] if 0 <= number < len(CLASS_NAMES) else str(number)


def colourize(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return class numbers (H, W) as a picture (H, W, 3) in CityScapes colours."""
    return PALETTE[np.where(labels < len(PALETTE), labels, 0)]
