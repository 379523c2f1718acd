"""Cityscapes' polygons.json: the labels of a picture as polygons, drawn one over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.categories import CITYSCAPES_LABELS
from realmaster_live.datasets.polygons import joined_outline, part_outlines
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

Outline = NDArray[np.int32]

PER_CLASS = 1000  # instanceIds are id * 1000 + number
_NAMES = {label.id: label.name for label in CITYSCAPES_LABELS}
_COUNTED = frozenset(label.id for label in CITYSCAPES_LABELS if label.instances)


def annotation_of(
    instance_ids: NDArray[np.uint8 | np.uint16],  # (H, W) instanceIds
) -> dict[str, Any]:
    """Return the content of a picture's polygons.json.

    Its readers draw the polygons in their order. A polygon has no holes, so what lies in a hole, or
    between two parts of an instance, follows it: larger polygons come first. What is then still
    covered, such as a large tree in front of the two parts of a car, follows as patches.
    """
    height, width = instance_ids.shape
    found: list[tuple[float, int, Outline]] = []
    for value in np.unique(instance_ids).tolist():
        mask = instance_ids == value
        outlines = [joined_outline(mask)] if value >= PER_CLASS else part_outlines(mask)
        found += [(cv2.contourArea(one), value, one) for one in outlines]
    found.sort(key=lambda one: -one[0])
    polygons = [(value, outline) for _, value, outline in found]
    polygons += _patches(instance_ids, polygons)
    objects = [{"label": _label(value), "polygon": _closed(one)} for value, one in polygons]
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def _patches(
    instance_ids: NDArray[np.uint8 | np.uint16], polygons: Sequence[tuple[int, Outline]]
) -> list[tuple[int, Outline]]:
    """Return polygons of what others cover; none of instances, as each polygon would be another."""
    drawn = np.zeros(instance_ids.shape, np.uint16)
    for value, outline in polygons:
        cv2.fillPoly(drawn, [outline], value)
    wrong = (drawn != instance_ids) & (instance_ids < PER_CLASS)
    values = np.unique(instance_ids[wrong]).tolist()
    return [
        (value, one) for value in values for one in part_outlines(wrong & (instance_ids == value))
    ]


def _label(value: int) -> str:
    """Return the name of the class of a value, and "group" where it is of no single instance."""
    number = value // PER_CLASS if value >= PER_CLASS else value
    return _NAMES[number] + "group" * (number == value and number in _COUNTED)


def _closed(outline: Outline) -> list[list[int]]:
    """Return the points of an outline; one of a single pixel or of a line gets three."""
    points: list[list[int]] = outline.tolist()
    return points + points[-1:] * (3 - len(points))
