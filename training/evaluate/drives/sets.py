"""Distances between sets of pictures: those of a film, and real photographs.

Legend: N pictures or crops of a film, M of photographs, C features, B blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.films import RENDER, Picture, method_of
from realmaster_live.training.evaluate.drives.summary import Figure, Numbers, Value

EVERY_S = 0.5  # neighbouring frames of a film are alike
NORMAL_95 = 1.96  # standard errors on each side of a 95 percent interval
Features = NDArray[np.float32]  # (N, C)
Kernel = Callable[[Numbers, Numbers], Numbers]  # (N, C), (M, C) -> (N, M)
Found = dict[str, dict[str, Value]]  # method -> figure -> value


class SetMeasure(Protocol):
    """Measures whole sets of pictures."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what it measures."""

    def add(self, film: str, picture: Picture, sample: Sample, block: int) -> None:
        """Take a film's picture, two a second; all films' pictures of a frame come together.

        `block` is the number of the second that it is from, over all drives.
        """

    def values(self, methods: Sequence[str]) -> tuple[Found, Mapping[str, str]]:
        """Return the values, and figures that were not measured -> the reason."""


def cubic(x: Numbers, y: Numbers) -> Numbers:
    """Return the kernel of KID, (x.y / C + 1)^3 (Binkowski et al. 2018, section 4)."""
    return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3, np.float64)


@dataclass(frozen=True, kw_only=True)
class Mmd:
    """The squared maximum mean discrepancy of a film's features to fixed ones.

    Attributes:
        kernel: of the features. real: (M, C). scale: of the result.
        weights: (M,) how often each of the fixed ones counts; None for once.
        unbiased: leave out what a feature has in common with itself (Gretton et al. 2012, eq. 3);
            otherwise eq. 5, which is never negative.
    """

    kernel: Kernel
    real: Numbers
    scale: float = 1000.0
    unbiased: bool = True
    weights: Numbers | None = None

    def distances(self, features: Numbers, blocks: NDArray[np.int64]) -> Numbers:  # (1 + B,)
        """Return the distance of (N, C) features, and what it is without each block."""
        _, places = np.unique(blocks, return_inverse=True)
        count = int(places.max()) + 1
        member = np.zeros((len(features), count))
        member[np.arange(len(features)), places] = 1.0
        own = self.kernel(features, features)
        pairs = member.T @ own @ member
        across = member.T @ (self.kernel(features, self.real) @ self._shares)
        sizes = member.sum(0)
        left = np.concatenate([[0.0], sizes])
        n = sizes.sum() - left
        within = pairs.sum() - np.concatenate([[0.0], 2 * pairs.sum(1) - np.diag(pairs)])
        toward = across.sum() - np.concatenate([[0.0], across])
        if self.unbiased:
            selves = member.T @ np.diag(own)
            within = within - (selves.sum() - np.concatenate([[0.0], selves]))
            within = within / np.maximum(n * (n - 1), 1)
        else:
            within = within / np.maximum(n**2, 1)
        return np.asarray(self.scale * (within + self._real_within - 2 * toward / np.maximum(n, 1)))

    @cached_property
    def _shares(self) -> Numbers:  # (M,), of sum 1
        weights = np.ones(len(self.real)) if self.weights is None else self.weights
        return np.asarray(weights / weights.sum())

    @cached_property
    def _real_within(self) -> float:
        both, shares = self.kernel(self.real, self.real), self._shares
        within = float(shares @ both @ shares)
        if not self.unbiased:
            return within
        selves = float((shares**2) @ np.diag(both))
        return (within - selves) / (1.0 - float((shares**2).sum()))


@dataclass(kw_only=True)
class Collected:
    """The features of every film, with the block of each.

    Attributes:
        features: film -> (n, C) each time. blocks: film -> the block of each of them.
    """

    features: dict[str, list[Features]] = field(default_factory=dict)
    blocks: dict[str, list[int]] = field(default_factory=dict)

    def add(self, film: str, features: Features, block: int) -> None:
        """Take features (n, C) of one picture."""
        self.features.setdefault(film, []).append(features)
        self.blocks.setdefault(film, []).extend([block] * len(features))

    def of(self, film: str) -> tuple[Numbers, NDArray[np.int64]]:
        """Return features (N, C) and blocks (N,)."""
        found = np.concatenate(self.features[film]).astype(np.float64)
        return found, np.array(self.blocks[film])


def distances_by_method(
    films: Iterable[str], methods: Iterable[str], measure: Callable[[str], Numbers]
) -> dict[str, Value]:
    """Return method -> value, with intervals by the jackknife over blocks.

    `measure` gives a film's distance, and what it is without each of its blocks (1 + B,). The
    interval of a difference to the render leaves out the same blocks on both sides (Efron and
    Tibshirani 1993, chapter 11).
    """
    by_method: dict[str, list[Numbers]] = {}
    for film in films:
        by_method.setdefault(method_of(film), []).append(measure(film))
    found = {}
    render = by_method[RENDER][0] if RENDER in by_method else None
    for method in methods:
        values = by_method.get(method, [])
        if not values:
            continue
        shortest = min(map(len, values))
        drawn = np.mean([each[:shortest] for each in values], axis=0)
        gain = None
        if method != RENDER and render is not None and len(render) == len(drawn):
            gain = drawn - render
        found[method] = Value(
            value=float(drawn[0]),
            interval=jackknifed(drawn),
            against=None if gain is None else float(gain[0]),
            against_interval=None if gain is None else jackknifed(gain),
            films=len(values),
            spread=float(np.std([x[0] for x in values], ddof=1)) if len(values) > 1 else None,
        )
    return found


def jackknifed(drawn: Numbers) -> tuple[float, float]:
    """Return the 95 percent interval of drawn[0], which is drawn[1:] without each block."""
    count = len(drawn) - 1
    if count < 2:
        return float("nan"), float("nan")
    rest = drawn[1:]
    error = math.sqrt((count - 1) / count * float(((rest - rest.mean()) ** 2).sum()))
    return float(drawn[0]) - NORMAL_95 * error, float(drawn[0]) + NORMAL_95 * error
