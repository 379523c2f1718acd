"""Boxes of objects in a camera's view, and their occlusion, vectorized over T objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.objects import SceneObject

Floats = NDArray[np.float64]

NEAR_M = 0.1  # near clip of the projected boxes
MAX_BEYOND = 1.0  # picture sizes that an amodal box may extend beyond the picture
GRID = 20  # rays along each side of a box, to estimate its occlusion
SLACK_M, SLACK_SHARE = 0.2, 0.005  # an occluder must be nearer than the box by both
_TINY = 1e-12  # replaces 0 where a ray is parallel to a side
_SIGNS = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]) * 2.0 - 1.0
_EDGES = np.array([(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit])


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """T boxes in camera axes.

    Attributes:
        half: (T, 3) half of their sizes in metres.
        axes: (T, 3, 3) their own axes as columns. centre: (T, 3) metres.
        amodal: (T, 4) left, top, right, bottom in pixels, up to one picture's size beyond the
            picture's edges; NaN for a box behind the camera.
        inside: (T, 4) the same, clipped to the picture; without area for boxes outside it.
    """

    half: Floats
    axes: Floats
    centre: Floats
    amodal: Floats
    inside: Floats

    def to_box_axes(self, points: Floats) -> Floats:
        """Return points (T, N, 3) or (1, N, 3) in camera axes, converted to each box's axes."""
        return np.asarray((points - self.centre[:, None]) @ self.axes)

    def take(self, which: NDArray[np.int64]) -> Boxes:
        """Return the boxes with the given indices."""
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
    """Return the boxes of objects in a camera's view."""
    half = np.array([one.size for one in objects], np.float64).reshape(-1, 3) / 2
    poses = np.array([one.object_to_world for one in objects], np.float64).reshape(-1, 4, 4)
    rotation = cam_to_world[:3, :3]
    axes = rotation.T @ poses[:, :3, :3]
    centre = (poses[:, :3, 3] - cam_to_world[:3, 3]) @ rotation
    corners = (_SIGNS * half[:, None]) @ axes.transpose(0, 2, 1) + centre[:, None]
    amodal = _outlines(corners, intrinsics, size)
    width, height = size
    inside = np.nan_to_num(amodal).clip(0, (width, height, width, height))
    return Boxes(half=half, axes=axes, centre=centre, amodal=amodal, inside=inside)


def area(boxes: Floats) -> Floats:
    """Return the areas (...) of boxes (..., 4) in square pixels."""
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def _outlines(corners: Floats, intrinsics: Floats, size: tuple[int, int]) -> Floats:
    """Return the 2D boxes (T, 4) of 3D boxes with corners (T, 8, 3), clipped at the near plane."""
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
    edges = -MAX_BEYOND * picture, (1 + MAX_BEYOND) * picture
    outlines = np.concatenate([low.clip(*edges), high.clip(*edges)], axis=1)
    outlines[~counts.any(axis=(1, 2))] = np.nan
    return outlines


def hidden_shares(
    boxes: Boxes,
    own: NDArray[np.int32],  # (T, 2) instance labels of each object's own pixels, -1 for none
    depth: NDArray[np.float32],  # (H, W) metres
    instance: NDArray[np.int32] | None,  # (H, W)
    intrinsics: Floats,  # (3, 3) pixels
) -> Floats:
    """Return the share of rays to each box that something nearer blocks, (T,).

    The rays form a grid over the box's part of the picture; those that miss the 3D box are not
    counted. Intersections are computed slab by slab (Kay and Kajiya 1986).
    """
    steps = (np.arange(GRID) + 0.5) / GRID
    low, high = boxes.inside[:, None, :2], boxes.inside[:, None, 2:]
    pixels = (low + (high - low) * steps[:, None]).astype(np.int64)  # (T, GRID, 2)
    pixels = np.minimum(
        pixels, (depth.shape[1] - 1, depth.shape[0] - 1)
    )  # also valid for boxes outside the picture
    x, y = pixels[:, None, :, 0], pixels[:, :, None, 1]
    pixel_rays = boxes.axes.transpose(0, 2, 1) @ np.linalg.inv(intrinsics)  # in the box's axes
    starts = boxes.to_box_axes(np.zeros((1, 1, 3)))[:, 0]
    enters, leaves = np.zeros((len(x), GRID, GRID)), np.full((len(x), GRID, GRID), np.inf)
    for axis in range(3):
        ray = pixel_rays[:, axis, :, None, None]
        along = ray[:, 0] * (x + 0.5) + (ray[:, 1] * (y + 0.5) + ray[:, 2])
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
