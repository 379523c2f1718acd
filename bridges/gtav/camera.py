"""GTA-V's camera, depth buffer and stencil, converted to ours; see docs/conventions.md.

The game's world is right-handed with z up, metres: ours as it is. At rotation (0, 0, 0) its camera
looks along +y with x to the right. Field of view is vertical. The depth buffer is reverse-Z: 1 at
the near plane, about 0 far away, 0 where nothing was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.geometry import focal_length, intrinsics

Matrix = NDArray[np.float64]

VFOV_DEG = 59.0  # of the scripted camera of PreSIL and its successors; the first DeepGTAV has 60
NEAR_M = 0.15  # of the game's own cameras, from a recorded projection matrix
FAR_CLIP_M = 10003.815  # measured from projection matrices; the game's natives return another value
SKY_M = 1000.0  # the end of CARLA's depth, which ours has in the sky too

STENCIL_ID, STENCIL_SKY = 0x0F, 7  # the other four bits are flags, such as 0x80: one's own
STENCIL_CLASSES: Mapping[int, int] = {
    0: CLASS_IDS["unlabeled"],  # roads, houses and whatever else has no id
    1: CLASS_IDS["pedestrian"],
    2: CLASS_IDS["car"],
    3: CLASS_IDS["vegetation"],
    4: CLASS_IDS["ground"],
    STENCIL_SKY: CLASS_IDS["sky"],
    8: CLASS_IDS["other"],  # entrances below ground
}
"""CARLA's class of each id of the stencil; an id that is not here is unlabeled."""

_CLASS_OF_BYTE = np.array(
    [STENCIL_CLASSES.get(byte & STENCIL_ID, 0) for byte in range(256)], np.uint8
)
_ID_OF_CLASS = np.zeros(256, np.uint8)
for _stencil_id, _names in {
    1: ("pedestrian", "rider"),
    2: ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    3: ("vegetation", "terrain"),
    4: ("ground", "sidewalk"),
    STENCIL_SKY: ("sky",),
}.items():
    _ID_OF_CLASS[[CLASS_IDS[_name] for _name in _names]] = _stencil_id


def intrinsics_from_vertical_fov(width: int, height: int, vfov_deg: float) -> Matrix:
    """Return K, (3, 3) pixels, of square pixels with the principal point in the middle."""
    return intrinsics(width, height, focal_length(height, vfov_deg))


def cam_to_world(position: ArrayLike, rotation_deg: ArrayLike) -> Matrix:
    """Return our (4, 4) camera-to-world of a game camera.

    Args:
        position: (3,) metres.
        rotation_deg: (3,) about x (nose up), y (clockwise) and z (to the left), in the game's
            rotation order 0: world = Rz Ry Rx camera.
    """
    (sx, sy, sz), (cx, cy, cz) = (f(np.radians(rotation_deg)) for f in (np.sin, np.cos))
    level, lift = np.array([-sz, cz, 0.0]), np.array([sy * cz, sy * sz, cy])
    matrix = np.eye(4)
    matrix[:3, 0] = cy * cz, cy * sz, -sy
    matrix[:3, 1] = sx * level - cx * lift  # down
    matrix[:3, 2] = cx * level + sx * lift
    matrix[:3, 3] = np.asarray(position, np.float64)
    return matrix


def position_and_rotation(pose: Matrix) -> tuple[Matrix, Matrix]:
    """Return the position (3,) metres and rotation (3,) degrees that `cam_to_world` takes."""
    right, down, forward = pose[:3, 0], pose[:3, 1], pose[:3, 2]
    angles = [
        math.atan2(forward[2], -down[2]),
        -math.asin(min(1.0, max(-1.0, right[2]))),
        math.atan2(right[1], right[0]),
    ]
    return pose[:3, 3].copy(), np.degrees(angles)


def planar_depth_m(
    ndc: NDArray[np.float32],  # (H, W) the depth buffer as it is
    near_m: float,
    *,
    stencil: NDArray[np.uint8] | None = None,  # (H, W)
) -> NDArray[np.float32]:
    """Return (H, W) float32 metres along the optical axis.

    With the projection's P22 = -n / (n - f) and P23 = -n f / (n - f), a pixel's depth is
    P23 / (ndc + P22). SKY_M is the largest; it marks what was not drawn, where the buffer holds
    no number in (0, 1], and where `stencil` has the sky's id.
    """
    p22, p23 = projection_terms(near_m)
    with np.errstate(invalid="ignore"):
        depth: NDArray[np.float32] = np.asarray(ndc, np.float32) + np.float32(p22)
        np.divide(np.float32(p23), depth, out=depth, where=depth > 0)
        drawn = (ndc > 0) & (ndc <= 1) & (depth < SKY_M)
    if stencil is not None:
        drawn &= (stencil & STENCIL_ID) != STENCIL_SKY
    np.copyto(depth, np.float32(SKY_M), where=~drawn)
    return depth


def depth_buffer(depth_m: NDArray[np.floating], near_m: float) -> NDArray[np.float32]:
    """Return (H, W) float32 as the game's buffer holds planar depth; 0 from SKY_M on."""
    p22, p23 = projection_terms(near_m)
    depth = np.asarray(depth_m, np.float64)
    return np.where(depth < SKY_M, p23 / np.maximum(depth, near_m) - p22, 0.0).astype(np.float32)


def projection_terms(near_m: float) -> tuple[float, float]:
    """Return P22 and P23 of the game's projection matrix."""
    return -near_m / (near_m - FAR_CLIP_M), -near_m * FAR_CLIP_M / (near_m - FAR_CLIP_M)


def semantic_from_stencil(stencil: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) uint8 of CARLA's class numbers, as far as the stencil distinguishes them."""
    return _CLASS_OF_BYTE[stencil]


def stencil_from_semantic(semantic: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) uint8 of stencil ids for CARLA's class numbers; 0 for what has none."""
    return _ID_OF_CLASS[semantic]
