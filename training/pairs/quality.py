"""Faults of the pictures themselves: frozen, black or blurred."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB
MOVES, FROZEN = 0.5, 0.1  # mean change: levels of a source that moves; share of it that is a freeze
BLACK = 24  # levels of luma that a hundredth of a frame's pixels reach, unless it is black


def frozen_share(source: Frames, made: Frames) -> float:
    """Return the share of frames that repeat the one before while the source moves on.

    A codec's noise is not motion: a repeat is a mean change below a tenth of the source's own, each
    over the contrast of its clip, which is low at night.
    """
    if len(source) == 1:
        return 0.0
    (moved, contrast), (changed, made_contrast) = _changes(source), _changes(made)
    still = changed * contrast < FROZEN * moved * made_contrast
    return float(np.mean((moved > MOVES) & still))


def black_share(made: Frames) -> float:
    """Return the share of frames in which 99 of 100 pixels are black."""
    return float(np.mean([np.quantile(_grey(frame), 0.99) < BLACK for frame in made]))


def sharpness_ratio(source: Frames, made: Frames) -> float:
    """Return the made clip's sharpness over its source's: the median frame's ratio.

    Sharpness is the variance of the Laplacian over the variance of the picture (Pech-Pacheco et
    al., "Diatom autofocusing in brightfield microscopy", 2000; here a dark picture's lower
    contrast cancels).
    """
    ratios = [_sharpness(y) / _sharpness(x) for x, y in zip(source, made, strict=True)]
    return float(np.median(ratios))


def _sharpness(frame: NDArray[np.uint8]) -> float:
    grey = _grey(frame)
    return float((cv2.Laplacian(grey, cv2.CV_32F).var() + 1e-3) / (grey.var() + 1e-3))


def _changes(frames: Frames) -> tuple[NDArray[np.float64], float]:
    """Return the mean change from each frame to the next, and the contrast, in levels."""
    grey = np.stack([_grey(frame) for frame in frames])
    changes = np.abs(np.diff(grey, axis=0)).mean((1, 2))
    return np.asarray(changes, np.float64), float(grey.std())


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)
