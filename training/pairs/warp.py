"""Flicker of a made clip: the flow-warp error along the motion of its source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.evaluate.warp import Motion, motion_of, remap

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB
FLOOR = 0.5  # levels, added to both errors: where nothing moves, noise is no flicker


def warp_error(frames: Frames, motion: Motion) -> float:
    """Return E_warp = mean(M * |y_t - W(y_(t-1))|) in levels of 255, over all t.

    The flow of W and the mask M of pixels whose flows there and back agree are the source's, after
    Lai et al., "Learning Blind Video Temporal Consistency" (2018), section 4.2, in first powers.
    """
    errors = []
    for index, (at, valid) in enumerate(zip(motion.before, motion.valid, strict=True)):
        if valid.any():
            earlier = remap(frames[index].astype(np.float32), at)
            errors.append(np.abs(frames[index + 1] - earlier)[valid].mean())
    return float(np.mean(errors)) if errors else 0.0


def warp_ratio(source: Frames, made: Frames) -> tuple[float, float]:
    """Return the made clip's flow-warp error in levels, and its ratio to the source's own."""
    if len(source) == 1:
        return 0.0, 1.0
    motion = motion_of(source)
    own, error = warp_error(source, motion), warp_error(made, motion)
    return error, (error + FLOOR) / (own + FLOOR)
