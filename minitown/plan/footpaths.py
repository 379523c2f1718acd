"""Footpaths: closed walks round the blocks, joined by the crossings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.roads import RoadNetwork

CORNER_GAP = 4.0  # metres: longer steps of a footpath are corners without points


@dataclass(frozen=True)
class Footpath:
    """A closed walk: (N, 2) points a metre apart, and the arc length of each."""

    points: NDArray[np.float64]
    s: NDArray[np.float64]

    @property
    def length(self) -> float:
        """Metres once round."""
        return float(self.s[-1])

    def at(self, s: float) -> NDArray[np.float64]:
        """Return (2,) metres, any `s` wrapped round."""
        i = int(np.searchsorted(self.s, s % self.length, side="right") - 1)
        i = min(i, len(self.s) - 2)
        t = (s % self.length - self.s[i]) / (self.s[i + 1] - self.s[i])
        return np.asarray(self.points[i] * (1 - t) + self.points[i + 1] * t)


@dataclass(frozen=True)
class Gate:
    """Where a footpath passes one end of a crossing."""

    crossing: int
    end: int
    s: float


class Footpaths:
    """All closed walks of a town with the crossings that join them."""

    def __init__(self, network: RoadNetwork) -> None:
        self.paths = [_resampled(_rounded(loop)) for loop in network.footpaths]
        self.crossings = [ends for _, ends in network.crossings]
        self.gates: list[list[Gate]] = [[] for _ in self.paths]
        self.landing: dict[tuple[int, int], tuple[int, float]] = {}
        for crossing, ends in enumerate(self.crossings):
            for end in (0, 1):
                self._add_gate(crossing, end, ends[end])

    def _add_gate(self, crossing: int, end: int, point: NDArray[np.float64]) -> None:
        if not self.paths:
            return
        near = [np.linalg.norm(path.points - point, axis=1) for path in self.paths]
        which = int(np.argmin([distance.min() for distance in near]))
        s = float(self.paths[which].s[int(near[which].argmin())])
        self.gates[which].append(Gate(crossing, end, s))
        self.landing[crossing, end] = (which, s)


def _rounded(loop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill a closed footpath's corner gaps with curves that leave and arrive along the path."""
    pieces = []
    count = len(loop)
    for i in range(count):
        here, after = loop[i], loop[(i + 1) % count]
        pieces.append(here[None])
        if np.linalg.norm(after - here) <= CORNER_GAP:
            continue
        corner = _meet(here, here - loop[i - 1], after, after - loop[(i + 2) % count])
        t = np.linspace(0.0, 1.0, 12)[1:-1, None]
        pieces.append((1 - t) ** 2 * here + 2 * t * (1 - t) * corner + t**2 * after)
    return np.concatenate(pieces)


def _meet(
    a: NDArray[np.float64],
    along_a: NDArray[np.float64],
    b: NDArray[np.float64],
    along_b: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where two rays meet ahead, or the middle when they do not within reach."""
    gap = float(np.linalg.norm(b - a))
    system = np.stack([along_a / np.linalg.norm(along_a), -along_b / np.linalg.norm(along_b)], 1)
    if abs(np.linalg.det(system)) > 0.1:
        t, u = np.linalg.solve(system, b - a)
        if 0.0 < t < 1.5 * gap and 0.0 < u < 1.5 * gap:
            return np.asarray(a + t * system[:, 0])
    return (a + b) / 2


def _resampled(loop: NDArray[np.float64]) -> Footpath:
    closed = np.concatenate([loop, loop[:1]])
    closed = closed[
        np.concatenate([[True], np.linalg.norm(np.diff(closed, axis=0), axis=1) > 1e-6])
    ]
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    s = np.linspace(0.0, lengths[-1], max(4, math.ceil(lengths[-1])))
    return Footpath(np.stack([np.interp(s, lengths, closed[:, k]) for k in (0, 1)], axis=1), s)
