"""Bounding boxes of objects from their masks, and their parts in a crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.perception.groups import DETECTED, GROUP_INDEX

MIN_SIDE_PX = 8  # height or width below which a box is hard
MIN_INSIDE = 0.35  # share of a box that must be inside a crop; else it is hard


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Boxes of one picture.

    Attributes:
        corners: (N, 4) float32, left, top, right, bottom in pixels, right and bottom exclusive.
        kinds: (N,) int64, indices into `DETECTED`.
        hard: (N,) bool, too small or truncated: ignored in training and scoring.
    """

    corners: NDArray[np.float32]
    kinds: NDArray[np.int64]
    hard: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.corners)


def make_boxes(rows: list[tuple[float, float, float, float]], kinds: list[int]) -> Boxes:
    """Return boxes; small ones are marked as hard."""
    corners = np.array(rows, np.float32).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    return Boxes(
        corners=corners,
        kinds=np.array(kinds, np.int64),
        hard=sides.min(1, initial=1e9) < MIN_SIDE_PX,
    )


def boxes_of_masks(
    groups: NDArray[np.uint8],  # (H, W) indices into groups.NAMES
    instance: NDArray[np.int32],  # (H, W), 0 where there is no thing
) -> Boxes:
    """Return the boxes around the pixels of each object of the detector's classes.

    A rider and the bicycle below get two boxes, although they are one object.
    """
    rows, kinds = [], []
    for kind, name in enumerate(DETECTED):
        mask = (groups == GROUP_INDEX[name]) & (instance != 0)
        y, x = np.nonzero(mask)
        numbers, which = np.unique(instance[y, x], return_inverse=True)
        for place in range(len(numbers)):
            across, down = x[which == place], y[which == place]
            rows.append((across.min(), down.min(), across.max() + 1, down.max() + 1))
            kinds.append(kind)
    return make_boxes(rows, kinds)


def cropped(
    boxes: Boxes, left: float, top: float, scale: float, width: int, height: int, *, mirror: bool
) -> Boxes:
    """Return the boxes in a crop that starts at (left, top) and is magnified by `scale`."""
    moved = (boxes.corners - np.array([left, top, left, top], np.float32)) * np.float32(scale)
    edge = np.array([width, height, width, height], np.float32)
    inside = moved.clip(0, edge)
    area, area_inside = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (moved, inside))
    kept = area_inside > 0
    inside, share = inside[kept], area_inside[kept] / area[kept]
    sides = inside[:, 2:] - inside[:, :2]
    hard = (share < MIN_INSIDE) | (sides.min(1, initial=1e9) < MIN_SIDE_PX)
    if mirror:
        inside = inside[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1]) + np.array([width, 0, width, 0])
    return Boxes(corners=inside.astype(np.float32), kinds=boxes.kinds[kept], hard=hard)
