"""How the colours of a film drift from the render's, over a whole drive.

Legend: T frames.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.evaluate.drives.summary import Numbers

FIRST_S = 2.0  # what later colours are held to
SMOOTH_S = 1.0
LEAST_S = 60.0  # of a drive that a rate is taken from


def colour_drift(
    render: Numbers,  # (T, 6), see `palette`
    film: Numbers,  # (T, 6)
    fps: float,
) -> Numbers:  # (T,)
    """Return how far each second's mean colour moved from the render's, in L*a*b*.

    The difference of mean colours that the film has from its beginning, its look, is taken off.
    """
    apart = film[:, :3] - render[:, :3]
    known = ~np.isnan(apart).any(1)
    if not known.any():
        return np.full(len(film), np.nan)
    apart = np.stack([np.interp(np.arange(len(apart)), np.flatnonzero(known), x[known])
                      for x in apart.T], 1)  # fmt: skip
    first = apart[: max(1, round(FIRST_S * fps))].mean(0)
    size = min(len(apart), max(1, round(SMOOTH_S * fps)))
    smooth = np.stack([np.convolve(x, np.full(size, 1 / size), "same") for x in (apart - first).T])
    full = np.convolve(np.ones(len(apart)), np.full(size, 1 / size), "same")
    return np.asarray(np.linalg.norm(smooth / full, axis=0))


def drift_rate(
    render: Numbers,  # (T, 6)
    film: Numbers,  # (T, 6)
    seconds: NDArray[np.float64],  # (T,)
) -> float:
    """Return the length of the slope of the mean colour's difference, in L*a*b* a minute.

    NaN for drives of less than a minute.
    """
    if not len(seconds) or seconds[-1] < LEAST_S - 1:
        return math.nan
    apart = film[:, :3] - render[:, :3]
    known = ~np.isnan(apart).any(1)
    slopes, _ = np.polyfit(seconds[known] / 60.0, apart[known], 1)
    return float(np.linalg.norm(slopes))
