"""Whether a made clip shows the same layout as its source, frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.pairs.alignment import edge_f1, edges, global_shift

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB


def edge_agreement(source: Frames, made: Frames) -> list[float]:
    """Return each frame's F1 of Canny edges of source and made clip, 2 pixels of tolerance."""
    return [edge_f1(edges(x), edges(y)) for x, y in zip(source, made, strict=True)]


def clip_shift(source: Frames, made: Frames) -> float:
    """Return the shift of the made clip against its source in pixels: the median over frames.

    By phase correlation of gradients, see `alignment.global_shift`. Frames without edges, in the
    source or in the clip, have no shift and do not count.
    """
    shifts = [
        global_shift(x, y)
        for x, y in zip(source, made, strict=True)
        if edges(x).any() and edges(y).any()
    ]
    return float(np.hypot(*np.median(shifts, axis=0))) if shifts else 0.0
