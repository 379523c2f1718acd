"""Masks of single objects in an instance label, as runs of pixels along its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import CLASS_IDS, THINGS

Indices = NDArray[np.int64]

RIDER = CLASS_IDS["rider"]
TWO_WHEELERS = frozenset({CLASS_IDS["motorcycle"], CLASS_IDS["bicycle"]})
LIGHT = CLASS_IDS["traffic_light"]  # the heads on one post are separate objects with one mask
_IS_THING = np.array([number in THINGS for number in range(256)])


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The masks of one picture, and their runs sorted by mask.

    Attributes:
        values: (M,) int32, `class << 16 | id` of each mask, ascending.
        first: (M + 1,) index of each mask's first run.
        rows, starts, lengths: (R,) row, first column and length of each run.
    """

    values: NDArray[np.int32]
    first: Indices
    rows: Indices
    starts: Indices
    lengths: Indices

    @property
    def class_ids(self) -> NDArray[np.int32]:
        """CARLA's class numbers, (M,)."""
        return self.values >> 16

    @property
    def mask_ids(self) -> NDArray[np.int32]:
        """Low 16 bits of the instance labels, (M,)."""
        return self.values & 0xFFFF

    @cached_property
    def pixels(self) -> Indices:
        """Number of pixels, (M,)."""
        if not len(self.values):
            return np.zeros(0, np.int64)
        return np.add.reduceat(self.lengths, self.first[:-1])

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """Boxes (M, 4): left, top, right, bottom in pixels, the last two exclusive."""
        if not len(self.values):
            return np.zeros((0, 4))
        begin = self.first[:-1]
        sides = (
            np.minimum.reduceat(self.starts, begin),
            self.rows[begin],  # a mask's runs are sorted from top to bottom
            np.maximum.reduceat(self.starts + self.lengths, begin),
            np.maximum.reduceat(self.rows, begin) + 1,
        )
        return np.stack(sides, axis=1).astype(np.float64)

    def spread(self, count: int) -> tuple[Indices, Indices]:
        """Return rows and columns, (M, count) each, of pixels that are spread over every mask."""
        ends = np.cumsum(self.lengths)
        before = np.concatenate([[0], np.cumsum(self.pixels)[:-1]])[:, None]
        share = (np.arange(count) + 0.5) / count
        ranks = (before + share * self.pixels[:, None]).astype(np.int64)
        run = np.searchsorted(ends, ranks.ravel(), side="right").reshape(ranks.shape)
        return self.rows[run], self.starts[run] + ranks - (ends[run] - self.lengths[run])

    def part(self, mask: int, box: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, int]:
        """Return the box (4,) and the pixel count of the part of a mask inside a box (4,)."""
        runs = slice(self.first[mask], self.first[mask + 1])
        left, top = np.floor(box[:2])
        right, bottom = np.ceil(box[2:])
        rows = self.rows[runs]
        low = np.maximum(self.starts[runs], left)
        high = np.minimum(self.starts[runs] + self.lengths[runs], right)
        some = (high > low) & (rows >= top) & (rows < bottom)
        if not some.any():
            return None, 0
        rows, low, high = rows[some], low[some], high[some]
        found = np.array([low.min(), rows.min(), high.max(), rows.max() + 1], np.float64)
        return found, int((high - low).sum())


def find_masks(instance: NDArray[np.int32]) -> Masks:
    """Return the masks of all objects in an instance label (H, W)."""
    width = instance.shape[1]
    flat = np.ascontiguousarray(instance).ravel()
    changes = np.empty(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=changes[1:])
    changes[::width] = True
    starts = np.flatnonzero(changes)
    values = flat[starts]
    keep = _IS_THING[values >> 16 & 0xFF] & (values & 0xFFFF != 0)
    lengths = np.diff(starts, append=flat.size)[keep]
    starts, values = starts[keep], values[keep]
    order = np.argsort(values, kind="stable")
    starts, values = starts[order], values[order]
    begin = np.flatnonzero(np.diff(values, prepend=-1))
    return Masks(
        values=values[begin],
        first=np.append(begin, len(values)),
        rows=starts // width,
        starts=starts % width,
        lengths=lengths[order],
    )
