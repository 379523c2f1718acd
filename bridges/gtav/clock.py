"""Resampling of irregular arrivals to a constant rate, by the nearest arrival."""

from __future__ import annotations

import math
from typing import NamedTuple

HOLD_S = 0.5  # a picture is repeated in place of missing ones this long; a longer pause is a gap
SMOOTHING = 0.1  # weight of one arrival in the moving average of the source's interval
FASTER = 0.75  # of a step: a source with a longer interval has the same rate and jitters


class Tick(NamedTuple):
    """One tick of the constant rate, and which picture it gets."""

    number: int
    is_new: bool
    """Whether it gets the picture that has just arrived, or the one before it."""


class ConstantRate:
    """Places arrivals on ticks `1 / fps` apart, the first arrival being tick 0.

    Each tick gets the picture that arrived nearest to it, without delay: the source's average
    interval predicts whether a nearer one will follow. Pictures between two ticks are left out, and
    a tick without a picture repeats the nearer neighbour: both are counted. A pause longer than
    `hold_s` leaves a gap in the numbers instead.
    """

    def __init__(self, fps: float, *, hold_s: float = HOLD_S) -> None:
        self.fps = fps
        self.hold_s = hold_s
        self.left_out = 0
        """Pictures between two ticks, so far."""
        self.repeated = 0
        """Ticks without a picture of their own, so far."""
        self._origin: float | None = None  # when tick 0 is, seconds
        self._last = -1
        self._last_at = 0.0
        self._arrived_at = -math.inf
        self._interval = 1.0 / fps  # of the source, seconds

    def place(self, arrived_at: float) -> list[Tick]:
        """Return the ticks that this arrival decides, in order; none where it is left out.

        Args:
            arrived_at: seconds of any steady clock.
        """
        if self._origin is None:
            self._origin = arrived_at - (self._last + 1) / self.fps
        tick = math.floor((arrived_at - self._origin + 0.5 * self._step(arrived_at)) * self.fps)
        before, before_at = self._last, self._last_at
        if tick <= before:
            self.left_out += 1
            return []
        self._last, self._last_at = tick, arrived_at
        missing = range(before + 1, tick)
        if before < 0 or arrived_at - before_at > self.hold_s:
            return [Tick(tick, True)]
        self.repeated += len(missing)
        middle = 0.5 * (before_at + arrived_at)
        held = [Tick(number, self._origin + number / self.fps > middle) for number in missing]
        return [*held, Tick(tick, True)]

    def _step(self, arrived_at: float) -> float:
        """Return the interval of the pictures to choose from, an arrival included, seconds."""
        step = 1.0 / self.fps
        since, self._arrived_at = min(step, arrived_at - self._arrived_at), arrived_at
        self._interval += SMOOTHING * (since - self._interval)
        return self._interval if self._interval < FASTER * step else step

    def restart(self, missing: int) -> None:
        """Skip `missing` ticks, at least one; the next arrival is the tick after them.

        For a clock that starts anew, and for a cut: the next picture does not continue the last.
        """
        if self._origin is not None:
            self._last += max(1, missing)
            self._last_at = self._arrived_at = -math.inf
            self._origin = None
