"""The networks' classes (groups of CARLA's classes), and their equivalents in other data sets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import CLASS_IDS

IGNORE = 255  # the ignore label: no loss and no score

# the networks' classes; CARLA's other classes, such as "static" or "other", are ignored
GROUPS: Mapping[str, tuple[str, ...]] = {
    "road": ("road",),
    "road line": ("road_line",),
    "sidewalk": ("sidewalk",),
    "building": ("building", "wall", "fence", "bridge", "guard_rail"),
    "pole": ("pole",),
    "traffic light": ("traffic_light",),
    "traffic sign": ("traffic_sign",),
    "vegetation": ("vegetation", "terrain"),
    "sky": ("sky",),
    "pedestrian": ("pedestrian", "rider"),
    "vehicle": ("car", "truck", "bus", "train"),
    "two-wheeler": ("motorcycle", "bicycle"),
}
NAMES = tuple(GROUPS)
GROUP_INDEX: Mapping[str, int] = {name: place for place, name in enumerate(NAMES)}
DETECTED = ("vehicle", "pedestrian", "two-wheeler")  # the detector's classes, in its order

# labelIds of Cityscapes, where lane lines are part of road
CITYSCAPES: Mapping[str, tuple[int, ...]] = {
    "road": (7,),
    "sidewalk": (8,),
    "building": (11, 12, 13, 14, 15),
    "pole": (17, 18),
    "traffic light": (19,),
    "traffic sign": (20,),
    "vegetation": (21, 22),
    "sky": (23,),
    "pedestrian": (24, 25),
    "vehicle": (26, 27, 28, 31),
    "two-wheeler": (32, 33),
}
COCO: Mapping[str, tuple[str, ...]] = {
    "vehicle": ("car", "truck", "bus", "train"),
    "pedestrian": ("person", "pedestrian", "rider"),
    "two-wheeler": ("bicycle", "motorcycle"),
}


def lookup(numbers: Mapping[str, tuple[int, ...]]) -> NDArray[np.uint8]:
    """Return a table (256,) from a data set's class numbers to indices of groups, or IGNORE."""
    table = np.full(256, IGNORE, np.uint8)
    for name, its in numbers.items():
        table[list(its)] = GROUP_INDEX[name]
    return table


def carla_numbers() -> dict[str, tuple[int, ...]]:
    """Return each group's class numbers in CARLA."""
    return {name: tuple(CLASS_IDS[each] for each in classes) for name, classes in GROUPS.items()}


FROM_CARLA = lookup(carla_numbers())
FROM_CITYSCAPES = lookup(CITYSCAPES)
