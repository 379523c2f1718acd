"""Divides a picture into parts by its labels, and finds the parts' outlines.

Legend: H height, W width, R parts, M outline pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import THINGS

SIDES = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, top, bottom: (down, across)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The parts of a picture.

    Attributes:
        numbers: (H, W) int32, the part of each pixel, 0 to R - 1.
        keys: (R,) int64, class << 16 | low 16 bits of the object's number, ascending.
        pixels: (R,) int64, number of pixels.
    """

    numbers: NDArray[np.int32]
    keys: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def classes(self) -> NDArray[np.int64]:
        """Return CARLA's class number of each part, (R,)."""
        return self.keys >> 16

    @property
    def mask_ids(self) -> NDArray[np.int64]:
        """Return the object's number of each part, (R,), 0 for parts that are no object."""
        return self.keys & 0xFFFF

    def things(self, min_pixels: int) -> NDArray[np.int64]:
        """Return the parts that are objects of at least `min_pixels` pixels."""
        counted = np.isin(self.classes, list(THINGS)) & (self.mask_ids > 0)
        return np.flatnonzero(counted & (self.pixels >= min_pixels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Pixels whose neighbour on one side belongs to another part; corners occur once for each side.

    Attributes:
        rows, columns: (M,) int64, the pixel inside.
        sides: (M,) int64, index in SIDES of the neighbour outside.
        inside, outside: (M,) int32, the two parts.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    sides: NDArray[np.int64]
    inside: NDArray[np.int32]
    outside: NDArray[np.int32]

    def select(self, chosen: NDArray[np.bool_] | slice) -> Outline:  # (M,)
        """Return the chosen pixels."""
        return Outline(
            rows=self.rows[chosen],
            columns=self.columns[chosen],
            sides=self.sides[chosen],
            inside=self.inside[chosen],
            outside=self.outside[chosen],
        )


def find_regions(labels: Mapping[str, NDArray[np.generic]]) -> Regions | None:
    """Return the parts of a frame by its labels (H, W); None without semantic and instance labels.

    Each object is a part; all pixels of a class that belong to no object are one part.
    """
    semantic, instance = labels.get("semantic"), labels.get("instance")
    if instance is None and semantic is None:
        return None
    keys = np.zeros(next(iter(labels.values())).shape[:2], np.int32)
    if semantic is not None:
        keys = np.left_shift(semantic, 16, dtype=np.int32)
    if instance is not None:
        keys = np.maximum(keys, np.asarray(instance, np.int32))  # the class is in the high bits
    begins = np.ones(keys.shape, bool)  # where runs of equal keys begin along the rows
    begins[:, 1:] = keys[:, 1:] != keys[:, :-1]
    found = np.unique(keys[begins])
    table = np.zeros(int(found[-1]) + 1, np.int32)
    table[found] = np.arange(len(found))
    numbers = table.take(keys)
    pixels = np.bincount(numbers.ravel(), minlength=len(found))
    return Regions(numbers=numbers, keys=found.astype(np.int64), pixels=pixels)


def find_outline(numbers: NDArray[np.int32]) -> Outline:
    """Return all pixels where two parts meet, from either side."""
    width, flat = numbers.shape[1], numbers.ravel()
    changes = flat[1:] != flat[:-1]
    changes[width - 1 :: width] = False  # the last pixel of a row has no right neighbour
    left, above = np.flatnonzero(changes), np.flatnonzero(flat[width:] != flat[:-width])
    right, below = left + 1, above + width
    inside = np.concatenate([right, left, below, above])  # neighbours: left, right, above, below
    outside = np.concatenate([left, right, above, below])
    rows, columns = np.divmod(inside, width)
    return Outline(
        rows=rows,
        columns=columns,
        sides=np.repeat(np.arange(len(SIDES)), np.repeat([len(left), len(above)], 2)),
        inside=flat[inside],
        outside=flat[outside],
    )
