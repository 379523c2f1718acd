"""Maps CARLA's classes to the categories of each data set format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, RecordingError, reason
from realmaster_live.frames.classes import CLASS_IDS, CLASS_NAMES
from realmaster_live.system.texts import read_toml


@dataclass(frozen=True, kw_only=True)
class Categories:
    """A map from CARLA's classes to the categories of a data set.

    Attributes:
        name: the map's name in messages.
        of_class: CARLA's class number -> category, or "" where the data set has none. Numbers that
            are missing here are not covered.
        ids: category -> number in the data set.
    """

    name: str
    of_class: Mapping[int, str]
    ids: Mapping[str, int]

    def of(self, class_id: int, count: int = 1) -> str:
        """Return the category of a class, "" for none.

        Raises:
            RecordingError: the map does not cover the class; `count` says how often it was found.
        """
        found = self.of_class.get(class_id)
        if found is None:
            raise self._uncovered({class_id: count})
        return found

    def _uncovered(self, counts: Mapping[int, int]) -> RecordingError:
        listed = ", ".join(
            f"class {number} "
            f"({CLASS_NAMES[number] if number < len(CLASS_NAMES) else 'unknown to CARLA'}), "
            f"found {count} times"
            for number, count in counts.items()
        )
        return RecordingError(
            f"expected a category for each class in the map {self.name}, got {listed}, without "
            "one: name it below [classes] of a file for --categories, or give --unmapped"
        )

    def table(self, labels: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return a table (256,) from class numbers to categories' numbers, -1 for no category.

        Raises:
            RecordingError: `labels` (H, W) hold one of CARLA's class numbers that is not covered.
        """
        if not self._covered_up_to > int(labels.max(initial=0)):
            counts = np.bincount(labels.ravel(), minlength=256)
            present = {number: int(counts[number]) for number in np.flatnonzero(counts).tolist()}
            lacking = {number: present[number] for number in present.keys() - self.of_class.keys()}
            if lacking:
                raise self._uncovered(dict(sorted(lacking.items())))
        return self.numbers

    @cached_property
    def _covered_up_to(self) -> int:
        """The first class number that is not covered: most labels hold none from there on."""
        return next(number for number in range(257) if number not in self.of_class)

    @cached_property
    def numbers(self) -> NDArray[np.int32]:
        """A table (256,) from class numbers to categories' numbers, -1 for no category."""
        numbers = np.full(256, -1, np.int32)
        for class_id, category in self.of_class.items():
            if category:
                numbers[class_id] = self.ids[category]
        return numbers


def _categories(
    name: str, words: Mapping[str, str], ids: Mapping[str, int] | None = None
) -> Categories:
    """Return a map; classes that `words` lacks have no category; `ids` default to their order."""
    of_class = {number: words.get(word, "") for word, number in CLASS_IDS.items()}
    named = dict.fromkeys(word for word in words.values() if word)
    ids = ids or {word: number for number, word in enumerate(named)}
    return Categories(name=name, of_class=of_class, ids=ids)


_ROAD_USERS = {
    "pedestrian": "person", "rider": "person", "bicycle": "bicycle", "car": "car",
    "motorcycle": "motorcycle", "bus": "bus", "train": "train", "truck": "truck",
    "traffic_light": "traffic light", "traffic_sign": "traffic sign",
}  # fmt: skip
# COCO's own names and numbers; traffic signs, which it lacks, get the unused number 91
_COCO_IDS = {
    "person": 1, "bicycle": 2, "car": 3, "motorcycle": 4, "bus": 6, "train": 7, "truck": 8,
    "traffic light": 10, "traffic sign": 91,
}  # fmt: skip
COCO = _categories("coco", _ROAD_USERS, _COCO_IDS)
# what cannot be counted by the names and numbers of COCO panoptic, which has no poles
COCO_PANOPTIC = _categories(
    "coco panoptic",
    {
        **_ROAD_USERS, "road": "road", "road_line": "road", "sidewalk": "pavement-merged",
        "ground": "pavement-merged", "building": "building-other-merged",
        "wall": "wall-other-merged", "fence": "fence-merged", "guard_rail": "fence-merged",
        "vegetation": "tree-merged", "terrain": "grass-merged", "sky": "sky-other-merged",
        "water": "water-other", "bridge": "bridge", "rail_track": "railroad",
    },
    {**_COCO_IDS, "bridge": 95, "railroad": 147, "road": 149, "water-other": 178,
     "tree-merged": 184, "fence-merged": 185, "sky-other-merged": 187, "pavement-merged": 191,
     "grass-merged": 193, "building-other-merged": 197, "wall-other-merged": 199},
)  # fmt: skip
YOLO = _categories("yolo", _ROAD_USERS)
# a rider with a two-wheeler is one Cyclist, a two-wheeler alone is Misc: see kitti.py
KITTI = _categories(
    "kitti",
    {"pedestrian": "Pedestrian", "rider": "Cyclist", "bicycle": "Misc", "motorcycle": "Misc",
     "car": "Car", "truck": "Truck", "bus": "Misc", "train": "Tram"},
)  # fmt: skip


class CityscapesLabel(NamedTuple):
    """A row of Cityscapes' table of labels: https://github.com/mcordts/cityscapesScripts."""

    id: int
    name: str
    train_id: int
    instances: bool
    color: tuple[int, int, int]


CITYSCAPES_LABELS = tuple(
    CityscapesLabel(*row)
    for row in (
        (0, "unlabeled", 255, False, (0, 0, 0)),
        (1, "ego vehicle", 255, False, (0, 0, 0)),
        (2, "rectification border", 255, False, (0, 0, 0)),
        (3, "out of roi", 255, False, (0, 0, 0)),
        (4, "static", 255, False, (0, 0, 0)),
        (5, "dynamic", 255, False, (111, 74, 0)),
        (6, "ground", 255, False, (81, 0, 81)),
        (7, "road", 0, False, (128, 64, 128)),
        (8, "sidewalk", 1, False, (244, 35, 232)),
        (9, "parking", 255, False, (250, 170, 160)),
        (10, "rail track", 255, False, (230, 150, 140)),
        (11, "building", 2, False, (70, 70, 70)),
        (12, "wall", 3, False, (102, 102, 156)),
        (13, "fence", 4, False, (190, 153, 153)),
        (14, "guard rail", 255, False, (180, 165, 180)),
        (15, "bridge", 255, False, (150, 100, 100)),
        (16, "tunnel", 255, False, (150, 120, 90)),
        (17, "pole", 5, False, (153, 153, 153)),
        (18, "polegroup", 255, False, (153, 153, 153)),
        (19, "traffic light", 6, False, (250, 170, 30)),
        (20, "traffic sign", 7, False, (220, 220, 0)),
        (21, "vegetation", 8, False, (107, 142, 35)),
        (22, "terrain", 9, False, (152, 251, 152)),
        (23, "sky", 10, False, (70, 130, 180)),
        (24, "person", 11, True, (220, 20, 60)),
        (25, "rider", 12, True, (255, 0, 0)),
        (26, "car", 13, True, (0, 0, 142)),
        (27, "truck", 14, True, (0, 0, 70)),
        (28, "bus", 15, True, (0, 60, 100)),
        (29, "caravan", 255, True, (0, 0, 90)),
        (30, "trailer", 255, True, (0, 0, 110)),
        (31, "train", 16, True, (0, 80, 100)),
        (32, "motorcycle", 17, True, (0, 0, 230)),
        (33, "bicycle", 18, True, (119, 11, 32)),
    )
)
CITYSCAPES = _categories(
    "cityscapes",
    {
        **{name: name for name in ("unlabeled", "road", "sidewalk", "building", "wall", "fence",
                                   "pole", "vegetation", "terrain", "sky", "rider", "car", "truck",
                                   "bus", "train", "motorcycle", "bicycle", "static", "dynamic",
                                   "ground", "bridge")},
        "traffic_light": "traffic light", "traffic_sign": "traffic sign", "pedestrian": "person",
        "other": "static", "water": "static", "road_line": "road", "rail_track": "rail track",
        "guard_rail": "guard rail",
    },
    {label.name: label.id for label in CITYSCAPES_LABELS},
)  # fmt: skip


OTHERS = "*"  # in a map's file, this stands for all classes that it does not name


def read_categories(path: Path, known: Mapping[str, int] | None = None) -> Categories:
    """Return the map of a TOML file.

        [classes]              # CARLA's name or number = category, "" for none
        car = "vehicle"
        truck = "vehicle"
        "*" = ""               # all classes that are not named
        [ids]                  # category = number; if left out, they count from 0 in order
        vehicle = 1

    Args:
        path: the file.
        known: category -> number, for a data set that allows no others.

    Raises:
        ConfigError: the file cannot be read, or names a class or a category that does not exist.
    """
    try:
        content = read_toml(path)
        classes, ids = dict(content.pop("classes")), content.pop("ids", known)
        ids = None if ids is None else dict(ids)
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = "none" if isinstance(error, KeyError) else reason(error)
        raise ConfigError(
            f"expected a table [classes] of CARLA's classes in {path}, got {got}: write "
            'car = "car" below it'
        ) from error
    if content:
        raise ConfigError(
            f"expected the tables [classes] and [ids] in {path}, got {', '.join(content)}: "
            "remove the others"
        )
    others = classes.pop(OTHERS, None)
    of_class = {} if others is None else dict.fromkeys(range(256), str(others))
    of_class |= {_class_number(name, path): str(category) for name, category in classes.items()}
    named = dict.fromkeys(category for category in of_class.values() if category)
    ids = {word: number for number, word in enumerate(named)} if ids is None else ids
    missing = [category for category in named if not isinstance(ids.get(category), int)]
    if missing:
        raise ConfigError(
            f"expected categories among {', '.join(ids)} in {path}, got {', '.join(missing)}: "
            "give them a number below [ids], or use those"
        )
    return Categories(name=path.name, of_class=of_class, ids=ids)


def _class_number(word: str, path: Path) -> int:
    number = CLASS_IDS.get(word, int(word) if word.isdecimal() else -1)
    if not 0 <= number < 256:
        raise ConfigError(
            f"expected CARLA's classes in {path}, got {word!r}: use {', '.join(CLASS_NAMES)} or a "
            "number below 256"
        )
    return number
