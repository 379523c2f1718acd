"""The geometry that a simulator knows of its pictures, as channels that guide the decoder.

A decoder with `Profile.geometry` takes them beside the rendered frames: how near each cell is, the
normal of the surface that is seen there, and its class. What is unknown is zero, and adds exactly
nothing: without labels the decoder draws what it draws from the frames alone.

Legend: T frames, H W pixels, h w cells of `CELL` x `CELL` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import CLASS_IDS

CELL = 2  # pixels along one side of a cell, as of `autoencoders.interface`
NEAR_M = 10.0  # the depth whose nearness is half
DEPTHS: Final = ("depth is known", "nearness", "normal x", "normal y", "normal z")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "road": ("road", "rail_track"),
    "marking": ("road_line",),
    "pavement": ("sidewalk", "ground"),
    "building": ("building", "wall", "fence", "bridge", "guard_rail"),
    "furniture": ("pole", "traffic_light", "traffic_sign"),
    "vegetation": ("vegetation",),
    "terrain": ("terrain",),
    "sky": ("sky",),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    "person": ("pedestrian", "rider"),
    "other": (),  # every other class
}
CHANNELS: Final = len(DEPTHS) + len(GROUPS)
MIDDLE = 128  # the byte of a normal's component 0; -1 and 1 are 1 and 255
GROUP_OF: NDArray[np.uint8] = np.full(256, len(GROUPS) - 1, np.uint8)  # class number -> group
for _group, _names in enumerate(GROUPS.values()):
    GROUP_OF[[CLASS_IDS[name] for name in _names]] = _group


def geometry_of(
    labels: Mapping[str, NDArray[Any]], intrinsics: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.uint8]:  # (T, CHANNELS, h, w)
    """Return the geometry of pictures of `shape` (T, H, W) from their labels.

    Args:
        labels: of "depth" (T, H, W) in metres along the optical axis and "semantic" (T, H, W)
            uint8, CARLA's class numbers, those that are known. A cell has the labels of its first
            pixel. A depth that is not a positive number is unknown; it may be infinite.
        intrinsics: (3, 3), pixels.
        shape: T, H and W; the sides are multiples of `CELL`.
    """
    frames, height, width = shape
    found = np.zeros((frames, CHANNELS, height // CELL, width // CELL), np.uint8)
    if "depth" in labels:
        _write_depth(found, labels["depth"][:, ::CELL, ::CELL], intrinsics)
    if "semantic" in labels:
        first = labels["semantic"][:, ::CELL, ::CELL]
        group = GROUP_OF[first.astype(np.uint8, copy=False)]
        for place in range(len(GROUPS)):
            np.multiply(group == place, np.uint8(255), out=found[:, len(DEPTHS) + place])
    return found


def _write_depth(
    found: NDArray[np.uint8], depth: NDArray[Any], intrinsics: NDArray[np.float64]
) -> None:
    """Write the five channels of depth.

    The inverse depth q of a plane is linear in pixels. Where n is its normal and K the intrinsics,
    q(u, v) is proportional to n . K^-1 (u, v, 1), so n is proportional to
    (fx q_u, fy q_v, q - (u - cx) q_u - (v - cy) q_v).
    """
    rows, columns = depth.shape[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.float32(1.0) / depth.astype(np.float32)
    known = np.isfinite(inverse) & (depth > 0)
    inverse[~known] = 0
    across, down = _slope(inverse, 2), _slope(inverse, 1)
    focal_x, focal_y, centre_x, centre_y = (
        np.float32(intrinsics[place] / CELL) for place in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    first = np.float32(0.5 / CELL)  # the centre of a cell's first pixel
    u = np.arange(columns, dtype=np.float32) + first - centre_x
    v = np.arange(rows, dtype=np.float32)[:, None] + first - centre_y
    towards = inverse - u * across - v * down
    across *= focal_x
    down *= focal_y
    length = np.sqrt(across * across + down * down + towards * towards)
    scale = np.float32(1 - MIDDLE) / np.maximum(length, np.float32(1e-12))  # it points outwards
    found[:, 0] = known * np.uint8(255)
    found[:, 1] = np.float32(255) * inverse / (inverse + np.float32(1 / NEAR_M))
    for place, part in enumerate((across, down, towards), 2):
        found[:, place] = known * (part * scale + np.float32(MIDDLE + 0.5))


def _slope(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the change from one to the next: the minmod of both sides, which spares edges."""
    steps = np.diff(values, axis=axis)
    found = np.empty_like(values)
    rows, lines = (np.moveaxis(each, axis, 0) for each in (found, steps))
    rows[0], rows[-1] = lines[0], lines[-1]
    before, after = lines[:-1], lines[1:]
    rows[1:-1] = np.maximum(np.minimum(before, after), 0) + np.minimum(np.maximum(before, after), 0)
    return found
