"""Whether a made clip keeps its colours and light from the first frame to the last."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB
MOST_GAIN = 2.0  # of a made clip's contrast over its source's


def palette(frames: Frames) -> NDArray[np.float64]:  # (T, 6)
    """Return each frame's mean and standard deviation of L*, a*, b* (CIE 1976, white D65)."""
    lab = [cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in frames]
    return np.stack([np.concatenate([x.mean((0, 1)), x.std((0, 1))]) for x in lab]).astype(
        np.float64
    )


def palette_drift(source: Frames, made: Frames) -> float:
    """Return how far the made clip's palette wanders where its source's does not; see `wander`."""
    return wander(palette(source), palette(made))


def wander(
    source: NDArray[np.float64],  # (T, 6)
    made: NDArray[np.float64],  # (T, 6)
) -> float:
    """Return how far a palette wanders where its source's does not, in L*a*b*.

    What the source's own changes explain is taken off first: a curve turns the camera to the sun
    in both, by another gain in each. Left is, of each of the six figures, the standard deviation
    over t of made - gain * source, the gain by least squares within 0 and MOST_GAIN; the largest
    of the six counts.
    """
    x, y = (p - p.mean(0) for p in (source, made))
    gain = (x * y).sum(0) / np.maximum((x * x).sum(0), 1e-9)
    return float((y - gain.clip(0, MOST_GAIN) * x).std(0).max())
