"""Where each pixel of a frame was one frame earlier, by the simulator's labels and poses.

Legend: H W pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Frame

SURFACES = ("semantic", "instance")  # labels that are the same on a surface in both frames
APPROACH_M, APPROACH_SHARE = 2.0, 0.05  # how much nearer or farther a thing may get in a frame
STILL_M, STILL_SHARE = 0.2, 0.05  # how far depth may be from what the camera's motion predicts
MOVING_MPS = 0.3  # what is slower stands still
FAR_OUT = np.float32(-1e9)  # a place that no picture has


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What motion is told by: a frame's labels and where its camera stood.

    Attributes:
        labels: name -> (H, W, ...); "flow", or else "depth", must be among them.
        intrinsics: (3, 3) pixels. cam_to_world: (4, 4) metres.
        moving: ids of things that move, as the lower 16 bits of the label instance have them.
    """

    labels: Mapping[str, NDArray[Any]]
    intrinsics: NDArray[np.float64]
    cam_to_world: NDArray[np.float64]
    moving: Collection[int] = ()

    @classmethod
    def of(cls, frame: Frame) -> View:
        """Return what a frame tells."""
        fast = (one for one in frame.objects if np.linalg.norm(one.velocity) > MOVING_MPS)
        return cls(
            labels=frame.labels,
            intrinsics=frame.intrinsics,
            cam_to_world=frame.cam_to_world,
            moving={thing.mask_id for thing in fast} - {0},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where pixels were in the frame before.

    Attributes:
        x: (H, W) float32 pixels. y: likewise. in_view: (H, W) bool, whether it was seen there.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    in_view: NDArray[np.bool_]


def places_before(view: View, before: View) -> Places | None:
    """Return where each pixel was in the frame before; None where no label says it.

    The label flow says it of everything. Without it, depth and the camera's poses say it of what
    stands still: pixels of moving things are not in view then. A pixel was in view if the frame
    before has the same surface at that place, at the depth that is expected.
    """
    if "flow" in view.labels:
        return _by_flow(view, before)
    if "depth" in view.labels and "depth" in before.labels:
        return _by_depth(view, before)
    return None


def _by_flow(view: View, before: View) -> Places:
    flow = np.asarray(view.labels["flow"], np.float32)
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) - flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] - flow[..., 1]
    in_view = _same_surface(view, before, x, y)
    if "depth" in view.labels and "depth" in before.labels:
        depth = np.asarray(view.labels["depth"], np.float32)
        with np.errstate(invalid="ignore"):  # where both are infinitely far
            step = np.abs(_nearest(before.labels["depth"], x, y) - depth)
            in_view &= ~(step > APPROACH_M + APPROACH_SHARE * depth)
    return Places(x=x, y=y, in_view=in_view)


def _by_depth(view: View, before: View) -> Places:
    """Return the places by p = K (R z K^-1 x + t), R and t from camera to camera."""
    depth = np.asarray(view.labels["depth"], np.float32)
    height, width = depth.shape
    motion = np.linalg.inv(before.cam_to_world) @ view.cam_to_world
    turn = before.intrinsics @ motion[:3, :3] @ np.linalg.inv(view.intrinsics)
    shift = before.intrinsics @ motion[:3, 3]
    across, down = np.arange(width) + 0.5, np.arange(height) + 0.5

    def coordinate(axis: int) -> NDArray[np.float32]:
        columns = (turn[axis, 0] * across).astype(np.float32)
        rows = (turn[axis, 1] * down + turn[axis, 2]).astype(np.float32)
        ray = columns[None] + rows[:, None]
        ray *= depth
        ray += np.float32(shift[axis])
        return np.asarray(ray, np.float32)

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ahead = coordinate(2)
        x, y = coordinate(0) / ahead - 0.5, coordinate(1) / ahead - 0.5
        # the sky's depth may be infinite, and OpenCV mirrors a place that is no number for minutes
        known = np.isfinite(x) & np.isfinite(y)
        x, y = (
            np.where(known, place, FAR_OUT).clip(-size, 2 * size)
            for place, size in ((x, width), (y, height))
        )
        in_view = known & _same_surface(view, before, x, y)
        step = np.abs(_nearest(before.labels["depth"], x, y) - ahead)
        in_view &= (ahead > 0) & (step <= STILL_M + STILL_SHARE * ahead)
    if view.moving and "instance" in view.labels:
        ids = np.asarray(view.labels["instance"]) & 0xFFFF
        in_view &= ~np.isin(ids, list(view.moving))
    return Places(x=x, y=y, in_view=in_view)


def _same_surface(
    view: View,
    before: View,
    x: NDArray[np.float32],  # (H, W)
    y: NDArray[np.float32],  # (H, W)
) -> NDArray[np.bool_]:
    height, width = x.shape
    same: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    for name in SURFACES:
        if name in view.labels and name in before.labels:
            same &= _nearest(before.labels[name], x, y) == view.labels[name]
    return same


def _nearest(
    label: NDArray[Any],
    x: NDArray[np.float32],  # (H, W)
    y: NDArray[np.float32],  # (H, W)
) -> NDArray[Any]:
    """Return a label's values at the nearest pixels; 0 outside."""
    plain = np.ascontiguousarray(label)
    if plain.dtype == np.int32:  # OpenCV moves no such values, but it moves their bits
        plain = plain.view(np.float32)
    found = cv2.remap(plain, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(found).view(label.dtype)


def warp(image: NDArray[Any], places: Places) -> NDArray[Any]:
    """Return the frame before, (H, W, C), moved to where its pixels are now (bilinear)."""
    border = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.remap(image, places.x, places.y, cv2.INTER_LINEAR, borderMode=border))
