"""Flow-warp error: how much a video changes along its motion.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]  # (T, H, W, 3) sRGB


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Backward optical flow: where each pixel was one frame earlier.

    Attributes:
        before: (T - 1, H, W, 2) float32, x and y in pixels in the frame before.
        valid: (T - 1, H, W) bool, False where the surface was hidden or outside the picture.
    """

    before: NDArray[np.float32]
    valid: NDArray[np.bool_]


def motion_of(source: Bytes) -> Motion:
    """Return the motion of a video by DIS optical flow (Kroeger et al. 2016).

    A pixel is valid if forward and backward flow agree (Sundaram et al. 2010, eq. 5).
    """
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in source]
    height, width = grey[0].shape
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    before, valid = [], []
    for earlier, later in pairwise(grey):
        back = np.asarray(flow.calc(later, earlier, None), np.float32)
        there = np.asarray(flow.calc(earlier, later, None), np.float32)
        at = here + back
        forth = remap(there, at)
        apart = ((back + forth) ** 2).sum(-1)
        size = (back**2).sum(-1) + (forth**2).sum(-1)
        inside = ((at >= 0) & (at <= (width - 1, height - 1))).all(-1)
        before.append(at)
        valid.append(inside & (apart <= 0.01 * size + 0.5))
    return Motion(before=np.stack(before), valid=np.stack(valid))


def warp_error(frames: Bytes, motion: Motion) -> list[float]:
    """Return the mean squared change along the motion, one value for each two neighbouring frames.

    Pixels are scaled to 0..1, and invalid ones are left out (Lai et al. 2018, eq. 6).
    """
    errors = []
    for index, (at, valid) in enumerate(zip(motion.before, motion.valid, strict=True)):
        earlier = remap(frames[index].astype(np.float32), at)
        square = ((frames[index + 1] - earlier) / 255.0) ** 2
        errors.append(float(square.sum(-1)[valid].mean()) if valid.any() else 0.0)
    return errors


def remap(image: NDArray[np.float32], at: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image (H, W, C) sampled bilinearly at (H, W, 2) pixels, mirrored at the border.

    Places farther out than one mirror image are read at its end, and unknown ones (NaN) at 0: the
    sky's come from infinite depths, and OpenCV would mirror them billions of times.
    """
    height, width = image.shape[:2]
    x, y = (
        np.nan_to_num(at[..., axis], nan=0.0).clip(1 - size, 2 * (size - 1))
        for axis, size in enumerate((width, height))
    )
    read = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(read, np.float32)
