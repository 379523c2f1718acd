"""COCO's run-length encoding of a mask: runs down the columns, background first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

coco_mask = require("pycocotools.mask", extra="export")


def encode_rle(
    mask: NDArray[np.bool_],  # (h, w), a part of the picture
    at: tuple[int, int],  # left, top of the part, pixels
    size: tuple[int, int],  # width, height of the picture
) -> dict[str, Any]:
    """Return {"size": [height, width], "counts": text} of a mask, empty outside the given part."""
    left, top = at
    width, height = size
    edges = np.zeros((mask.shape[1], mask.shape[0] + 1), np.int8)
    edges[:, :-1] = mask.T
    edges[:, 1:] -= edges[:, :-1].copy()
    columns, rows = np.nonzero(edges)  # starts and ends alternate within each column
    turns = (left + columns) * height + top + rows
    joins = np.flatnonzero(turns[1:-1:2] == turns[2::2])  # a run continues in the next column
    if len(joins):
        turns = np.delete(turns, np.concatenate([2 * joins + 1, 2 * joins + 2]))
    ends = np.empty(len(turns) + 1, np.int64)
    ends[:-1], ends[-1] = turns, width * height
    counts = ends.copy()
    counts[1:] -= ends[:-1]
    counts = counts[: len(counts) - int(counts[-1] == 0)]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
