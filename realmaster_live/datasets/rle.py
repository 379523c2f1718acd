"""COCO's run-length encoding of masks: runs down the columns, background first.

A code is text: the lengths of the runs, from the fourth on as differences from the last but one,
in digits of five bits, the lowest first, with a sixth bit where more follow (rleToString in
pycocotools' maskApi.c). Those of all masks of a picture are made at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Part = tuple[NDArray[np.bool_], tuple[int, int]]  # (h, w), and left, top of it in pixels

DIGIT_BITS, MORE, ZERO = 5, 0x20, 48  # of a digit; ZERO is its character
_NONE: Indices = np.zeros(0, np.int64)
_LARGEST = (1 << DIGIT_BITS * np.arange(1, 6) - 1) - 1  # in so many digits, with a sign


def encode_masks(
    instance: NDArray[np.int32],  # (H, W) label
    wanted: Collection[int],
) -> dict[int, dict[str, Any]]:
    """Return value -> {"size": [H, W], "counts": text} of the wanted masks of an instance label."""
    height, width = instance.shape
    rows, columns = np.divmod(np.flatnonzero(instance[1:] != instance[:-1]), width)
    wrapped = np.flatnonzero(instance[-1, :-1] != instance[0, 1:]) + 1  # to the next column's top
    begins = np.concatenate([[0], columns * height + rows + 1, wrapped * height])
    begins.sort()
    columns, rows = np.divmod(begins, height)
    values = instance[rows, columns]
    own = np.flatnonzero(np.isin(values, np.array(list(wanted), np.int32)))
    own = own[np.argsort(values[own], kind="stable")]
    ends = np.append(begins[1:], instance.size)
    turns, values = np.stack([begins[own], ends[own]], axis=1), values[own]
    firsts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    codes = _encoded(turns, firsts, instance.size)
    found = zip(values[firsts].tolist(), codes, strict=True)
    return {value: {"size": [height, width], "counts": code} for value, code in found}


def encode_parts(
    parts: Sequence[Part],  # masks that are empty outside their part, and not within it
    size: tuple[int, int],  # width, height of the picture
) -> list[dict[str, Any]]:
    """Return the codes of masks of which parts of the picture are given."""
    width, height = size
    turns = [_turns(part, height) for part in parts]
    firsts = np.cumsum([0, *map(len, turns)][:-1], dtype=np.int64) if turns else _NONE
    codes = _encoded(np.concatenate([_NONE.reshape(0, 2), *turns]), firsts, width * height)
    return [{"size": [height, width], "counts": code} for code in codes]


def _turns(part: Part, height: int) -> Indices:
    """Return (R, 2) begin and end of each run of a mask in the whole picture."""
    mask, (left, top) = part
    columns = np.zeros((mask.shape[1], mask.shape[0] + 1), np.int8)  # a gap below each column
    columns[:, :-1] = mask.T
    flat = columns.ravel()
    turns = np.flatnonzero(np.diff(flat, prepend=np.int8(0)))
    column, row = np.divmod(turns, columns.shape[1])
    places = (left + column) * height + top + row
    if mask.shape[0] == height:  # runs go on from a column's foot to the next one's top
        meets = np.flatnonzero(places[1:-1:2] == places[2::2])
        places = np.delete(places, np.concatenate([2 * meets + 1, 2 * meets + 2]))
    return places.reshape(-1, 2)


def _encoded(
    turns: Indices,  # (R, 2) begin and end of each run
    firsts: Indices,  # (M,) first run of each mask, ascending from 0
    pixels: int,
) -> list[str]:
    """Return the codes of masks."""
    places = np.insert(turns.ravel(), np.append(2 * firsts[1:], 2 * len(turns)), pixels)
    starts = 2 * firsts + np.arange(len(firsts))  # of each mask's counts
    before = np.roll(places, 1)
    before[starts] = 0
    counts = places - before
    place = np.arange(len(counts)) - np.repeat(starts, np.diff(starts, append=len(counts)))
    differences = counts - np.where(place > 2, np.roll(counts, 2), 0)
    is_last = np.roll(place == 0, -1)
    is_coded = ~is_last | (counts > 0)  # no background follows a mask that reaches the end
    digits = 1 + np.searchsorted(_LARGEST, differences ^ differences >> 63)
    order = np.arange(digits.max(initial=1))
    characters = differences.astype(np.int32)[:, None] >> DIGIT_BITS * order.astype(np.int32)
    characters &= MORE - 1
    characters += ZERO + MORE * (order < digits[:, None] - 1)
    is_written = (order < digits[:, None]) & is_coded[:, None]
    text = characters[is_written].astype(np.uint8).tobytes().decode("ascii")
    written = np.cumsum(is_written.sum(axis=1))
    ends = written[np.append(starts[1:], len(written)) - 1].tolist() if len(starts) else []
    return [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
