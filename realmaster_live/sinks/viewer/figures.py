"""The figures of the last minutes, second by second: what the page's charts show."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

SECONDS = 300
Totals = Callable[[], Mapping[str, tuple[int, float]]]


@dataclass(slots=True, kw_only=True)
class _Second:
    """What happened within one second."""

    number: int
    shown: int = 0
    lost: int = 0
    dropped: int = 0
    realized_ms: list[float] = field(default_factory=list)
    shown_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of the run, as the page gets it.

    Attributes:
        number: seconds since the view was made.
        shown: ticks that were shown. lost: frames lost before the view. dropped: ticks that
            the view left out.
        realized_ms: from capture to the view, median, None where nothing came.
        shown_ms: from capture to the screen, median. worst_ms: the longest.
        stages_ms: stage of the loop -> its mean; without those of which nothing was measured.
    """

    number: int
    shown: int
    lost: int
    dropped: int
    realized_ms: float | None
    shown_ms: float | None
    worst_ms: float | None
    stages_ms: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


class Figures:
    """Counts and times from any thread; the last SECONDS whole seconds are kept.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock, self._began = clock, clock()
        self._done: deque[Second] = deque(maxlen=SECONDS)
        self._now = _Second(number=0)
        self._totals: Totals = dict
        self._before: Mapping[str, tuple[int, float]] = {}

    def begin(self, totals: Totals) -> None:
        """Take the times of the loop's stages from `RunInfo.totals`, from now on."""
        with self._lock:
            self._totals, self._before = totals, totals()

    def realized(self, latency_s: float, lost: int) -> None:
        """Note that frames came to the view, so long after their capture, and what was lost."""
        with self._lock:
            second = self._second()
            second.realized_ms.append(1e3 * latency_s)
            second.lost += lost

    def shown(self, latency_s: float) -> None:
        """Note that a tick is shown, so long after its capture."""
        with self._lock:
            second = self._second()
            second.shown += 1
            second.shown_ms.append(1e3 * latency_s)

    def dropped(self, count: int) -> None:
        """Note that ticks were left out."""
        with self._lock:
            self._second().dropped += count

    def since(self, number: int) -> list[Second]:
        """Return the whole seconds from `number` on, the earliest first."""
        with self._lock:
            self._second()
            return [second for second in self._done if second.number >= number]

    def _second(self) -> _Second:
        """Return the present second; those that have gone by are finished."""
        number = int(self._clock() - self._began)
        while self._now.number < number:
            self._done.append(_finished(self._now, self._stages_ms()))
            skipped = max(self._now.number + 1, number - SECONDS)
            self._now = _Second(number=skipped)
        return self._now

    def _stages_ms(self) -> dict[str, float]:
        """Return the stages' means since the last call."""
        now, before = self._totals(), self._before
        self._before = now
        found = {}
        for stage, (count, total_s) in now.items():
            earlier, earlier_s = before.get(stage, (0, 0.0))
            if count > earlier:
                found[stage] = round(1e3 * (total_s - earlier_s) / (count - earlier), 1)
        return found


def _finished(second: _Second, stages_ms: Mapping[str, float]) -> Second:
    return Second(
        number=second.number,
        shown=second.shown,
        lost=second.lost,
        dropped=second.dropped,
        realized_ms=_median(second.realized_ms),
        shown_ms=_median(second.shown_ms),
        worst_ms=round(max(second.shown_ms), 1) if second.shown_ms else None,
        stages_ms=stages_ms,
    )


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 1) if values else None
