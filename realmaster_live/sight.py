"""The boxes of things as one camera sees them, many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.objects import SceneObject

Floats = NDArray[np.float64]

NEAR_M = 0.1  # boxes are cut here before they are projected
BEYOND = 1.0  # picture sizes outside the picture at which an amodal box ends
GRID = 20  # rays a side through a box, for its occlusion
SLACK_M, SLACK_SHARE = 0.2, 0.005  # what is nearer than a box by more than both hides it
_SIGNS = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]) * 2.0 - 1.0
_EDGES = np.array([(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit])


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """T boxes in the axes of a camera.

    Attributes:
        half: (T, 3) metres, half their sizes.
        axes: (T, 3, 3), their own axes as columns. centre: (T, 3) metres.
        amodal: (T, 4) left, top, right, bottom in pixels, not cut at the picture's edge but one
            picture's size beyond it; NaN for a box behind the camera.
        inside: (T, 4) the same, cut at the picture's edge; without area where it does not meet it.
    """

    half: Floats
    axes: Floats
    centre: Floats
    amodal: Floats
    inside: Floats

    def own(self, points: Floats) -> Floats:
        """Return points (T, N, 3) or (1, N, 3) of the camera's axes in each box's own."""
        return np.asarray((points - self.centre[:, None]) @ self.axes)

    def take(self, which: NDArray[np.int64]) -> Boxes:
        """Return some of the boxes."""
        return Boxes(
            half=self.half[which],
            axes=self.axes[which],
            centre=self.centre[which],
            amodal=self.amodal[which],
            inside=self.inside[which],
        )


def boxes_in_view(
    objects: tuple[SceneObject, ...],
    cam_to_world: Floats,  # (4, 4) metres
    intrinsics: Floats,  # (3, 3) pixels
    size: tuple[int, int],  # width, height
) -> Boxes:
    """Return the boxes of `objects` as a camera sees them."""
    half = np.array([one.size for one in objects], np.float64).reshape(-1, 3) / 2
    poses = np.array([one.object_to_world for one in objects], np.float64).reshape(-1, 4, 4)
    turn = cam_to_world[:3, :3]
    axes = turn.T @ poses[:, :3, :3]
    centre = (poses[:, :3, 3] - cam_to_world[:3, 3]) @ turn
    corners = (_SIGNS * half[:, None]) @ axes.transpose(0, 2, 1) + centre[:, None]
    amodal = _outlines(corners, intrinsics, size)
    width, height = size
    inside = np.nan_to_num(amodal).clip(0, (width, height, width, height))
    return Boxes(half=half, axes=axes, centre=centre, amodal=amodal, inside=inside)


def area(boxes: Floats) -> Floats:
    """Return the areas (...) of boxes (..., 4), square pixels."""
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def _outlines(corners: Floats, intrinsics: Floats, size: tuple[int, int]) -> Floats:
    """Return the (T, 4) boxes around the parts of (T, 8, 3) corners in front of the camera."""
    one, other = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    crosses = (one[..., 2] < NEAR_M) != (other[..., 2] < NEAR_M)
    rise = np.where(crosses, other[..., 2] - one[..., 2], 1.0)
    cuts = one + (other - one) * ((NEAR_M - one[..., 2]) / rise)[..., None]
    points = np.concatenate([corners, cuts], axis=1)
    counts = np.concatenate([corners[..., 2] >= NEAR_M, crosses], axis=1)[..., None]
    depth = np.where(counts[..., 0], points[..., 2], 1.0)
    seen = (points @ intrinsics.T)[..., :2] / depth[..., None]
    low = np.where(counts, seen, np.inf).min(axis=1)
    high = np.where(counts, seen, -np.inf).max(axis=1)
    picture = np.array(size, np.float64)
    edges = -BEYOND * picture, (1 + BEYOND) * picture
    outlines = np.concatenate([low.clip(*edges), high.clip(*edges)], axis=1)
    outlines[~counts.any(axis=(1, 2))] = np.nan
    return outlines


def hidden_shares(
    boxes: Boxes,
    own: NDArray[np.int32],  # (T, 2) instance labels of each thing's own pixels, -1 for none
    depth: NDArray[np.float32],  # (H, W) metres
    instance: NDArray[np.int32] | None,  # (H, W)
    intrinsics: Floats,  # (3, 3) pixels
) -> Floats:
    """Return (T,) the share of the rays through the picture that meet something before the box.

    The rays go through a grid over the box's part of the picture; those that miss the 3D box do
    not count. Where they meet it is found slab by slab (Kay and Kajiya 1986).
    """
    steps = (np.arange(GRID) + 0.5) / GRID
    left, top, right, bottom = boxes.inside.T[..., None]
    columns = np.repeat((left + (right - left) * steps)[:, None], GRID, axis=1).reshape(-1, GRID**2)
    rows = np.repeat((top + (bottom - top) * steps)[:, :, None], GRID, axis=2).reshape(-1, GRID**2)
    x, y = columns.astype(np.int64), rows.astype(np.int64)
    rays = np.stack([x + 0.5, y + 0.5, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T
    along = rays @ boxes.axes
    start = -(boxes.centre[:, None] @ boxes.axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-boxes.half[:, None] - start) / along, (boxes.half[:, None] - start) / along
    enters = np.fmax.reduce(np.fmin(one, other), axis=-1)
    leaves = np.fmin.reduce(np.fmax(one, other), axis=-1)
    meets = (leaves >= enters) & (leaves > 0)
    met = depth[y, x]
    nearer = met < enters - np.maximum(SLACK_M, SLACK_SHARE * enters)
    if instance is not None:
        seen = instance[y, x]
        nearer &= (seen != own[:, :1]) & (seen != own[:, 1:])
    return np.asarray((meets & nearer).sum(axis=1) / np.maximum(meets.sum(axis=1), 1))
