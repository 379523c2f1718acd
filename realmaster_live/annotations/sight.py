"""Boxes of things in the view of one camera, and their occlusion, vectorized over things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.objects import SceneObject

Floats = NDArray[np.float64]

NEAR_M = 0.1  # boxes are cut here before they are projected
BEYOND = 1.0  # picture sizes outside the picture at which an amodal box ends
GRID = 20  # rays a side through a box, for its occlusion
SLACK_M, SLACK_SHARE = 0.2, 0.005  # what is nearer than a box by more than both hides it
_TINY = 1e-12  # instead of 0 where a ray runs along a side
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
    pixels = (points @ intrinsics.T)[..., :2] / depth[..., None]
    low = np.where(counts, pixels, np.inf).min(axis=1)
    high = np.where(counts, pixels, -np.inf).max(axis=1)
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
    low, high = boxes.inside[:, None, :2], boxes.inside[:, None, 2:]
    pixels = (low + (high - low) * steps[:, None]).astype(np.int64)  # (T, GRID, 2)
    pixels = np.minimum(pixels, (depth.shape[1] - 1, depth.shape[0] - 1))  # none inside: an edge
    x, y = pixels[:, None, :, 0], pixels[:, :, None, 1]
    turns = boxes.axes.transpose(0, 2, 1) @ np.linalg.inv(intrinsics)  # a pixel's ray in own axes
    starts = boxes.own(np.zeros((1, 1, 3)))[:, 0]
    enters, leaves = np.zeros((len(x), GRID, GRID)), np.full((len(x), GRID, GRID), np.inf)
    for axis in range(3):
        turn = turns[:, axis, :, None, None]
        along = turn[:, 0] * (x + 0.5) + (turn[:, 1] * (y + 0.5) + turn[:, 2])
        along[along == 0] = _TINY
        middle = -starts[:, axis, None, None] / along
        reach = boxes.half[:, axis, None, None] / np.abs(along)
        np.maximum(enters, middle - reach, out=enters)
        np.minimum(leaves, middle + reach, out=leaves)
    crosses = leaves >= enters
    nearer = crosses & (depth[y, x] < enters - np.maximum(SLACK_M, SLACK_SHARE * enters))
    if instance is not None:
        labels = instance[y, x]
        for number in range(own.shape[1]):
            nearer &= labels != own[:, number, None, None]
    return np.asarray(nearer.sum(axis=(1, 2)) / np.maximum(crosses.sum(axis=(1, 2)), 1))
