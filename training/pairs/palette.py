"""Whether a made clip keeps its colours and light from the first frame to the last."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB


def palette(frames: Frames) -> NDArray[np.float64]:  # (T, 6)
    """Return each frame's mean and standard deviation of L*, a*, b* (CIE 1976, white D65)."""
    lab = [cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in frames]
    return np.stack([np.concatenate([x.mean((0, 1)), x.std((0, 1))]) for x in lab]).astype(
        np.float64
    )


def palette_drift(source: Frames, made: Frames) -> float:
    """Return how far the made clip's palette wanders from its source's, in units of L*a*b*.

    The standard deviation over t of the difference of the two palettes, the largest of the six
    figures: a clip that is darker than its source throughout has none.
    """
    return float((palette(made) - palette(source)).std(0).max())
