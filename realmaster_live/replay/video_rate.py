"""The frame rate of a film, found from its timestamps, and resampling to a constant rate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

STANDARD = tuple(
    float(rate)
    for rate in (
        *(Fraction(1000 * n, 1001) for n in (24, 30, 48, 60, 120, 240)),
        *(1, 2, 5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 240),
        12.5,
    )
)
"""Frame rates that cameras, recorders and simulators use."""


def constant_rate(
    times: NDArray[np.float64],  # (T,) seconds, ascending
    unit: float,  # seconds; timestamps are whole multiples of it
    declared: Sequence[float] = (),
) -> float | None:
    """Return the rate at which every frame lies within half a step of its place, if there is one.

    Containers round timestamps: Matroska's are whole milliseconds, so that frames at 30 fps are 33,
    33 and 34 ms apart. Among the rates that explain all timestamps within that rounding and the
    film's own jitter, a standard rate that the container declares is preferred, then the nearest
    standard rate, then another declared one, and else the mean rate is taken.

    `declared` are the frame rates that the container states.
    """
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    index, since = np.arange(len(times)), times - times[0]
    step, start = np.polyfit(index, since, 1)
    if not step > 0:
        return None
    jitter = float(np.abs(since - start - index * step).max())

    def explains(rate: float) -> bool:
        away = float(np.abs(since - index / rate).max())
        return away <= min(2 * jitter + 1.001 * unit, 0.5 / rate)

    usual = sorted(STANDARD, key=lambda rate: abs(rate * step - 1))
    both = [near for rate in declared if abs((near := nearest_standard(rate)) / rate - 1) < 1e-5]
    mean = float(1 / step)
    for rate in (*both, *usual, *(rate for rate in declared if rate > 0), round(mean, 3), mean):
        if explains(rate):
            return rate
    return None


def typical_rate(
    times: NDArray[np.float64],  # (T,) seconds, ascending
    unit: float,
    declared: Sequence[float] = (),
) -> float:
    """Return the rate of most steps of a film of variable rate, a standard one where that fits."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return next((rate for rate in declared if rate > 0), 0.0)
    # one step may be rounded to two whole numbers of units
    step = float(steps[np.abs(steps - np.median(steps)) < 1.001 * unit + 1e-9].mean())
    for rate in (nearest_standard(1 / step), *declared):
        if rate > 0 and abs(1 / rate - step) < 0.5001 * unit + 1e-9:
            return rate
    return round(1 / step, 3)


def nearest_standard(rate: float) -> float:
    """Return the standard rate that is nearest to another."""
    return min(STANDARD, key=lambda each: abs(each - rate))


def sampled(
    times: NDArray[np.float64],  # (T,) seconds, ascending
    fps: float,
) -> NDArray[np.int64]:  # (N,) ascending
    """Return the index of the frame to show at n / fps, for n = 0, 1, 2, ...

    A film whose every frame lies within half a step of its place n / fps has that rate, and each
    frame is shown once. Otherwise the frame nearest in time is shown: some are repeated and some
    skipped; none are blended.
    """
    since = times - times[0]
    if np.all(np.abs(since * fps - np.arange(len(since))) < 0.5):
        return np.arange(len(since))
    at = np.arange(int(np.floor(since[-1] * fps + 1e-6)) + 1) / fps
    after = np.clip(np.searchsorted(since, at), 1, len(since) - 1)
    return np.where(at - since[after - 1] <= since[after] - at, after - 1, after)
