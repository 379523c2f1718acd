"""Figures of whole drives with their intervals, from figures of frames.

Legend: T frames, B blocks, R resamples (the first of which is everything, once), S films of one
method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.evaluate.drives.films import RENDER, method_of

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles
BLOCK_S = 1.0  # neighbouring frames are alike, so they are drawn together
ENOUGH_DRIVES = 3  # from which whole drives are drawn too

Numbers = NDArray[np.float64]
Columns = Mapping[str, Mapping[str, Numbers]]  # film -> figure -> (T,)
Part = Literal["all", "starts", "inside"]  # of the frames: those that begin a chunk, or do not


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a film.

    Attributes:
        name: as the report shows it. group: of figures that stand together.
        better: "lower", "higher" or "nearer" (to `goal`). meaning: what is measured, for people.
        statistic: of sums and a film's name; None for figures of whole sets of pictures.
        needs: what has to be there for it, where that is not in every recording.
    """

    name: str
    group: str
    better: Literal["lower", "higher", "nearer"]
    meaning: str
    statistic: Statistic | None = None
    goal: float = 1.0
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A figure's value over all drives, its 95 percent interval, and that of what it gains.

    `against` is the difference to the render's value on the same frames; None where there is none.
    With several films of one method, `value` is their mean, and `spread` the standard deviation.
    """

    value: float
    interval: tuple[float, float] = (float("nan"), float("nan"))
    against: float | None = None
    against_interval: tuple[float, float] | None = None
    films: int = 1
    spread: float | None = None

    @property
    def differs(self) -> bool:
        """Return whether the interval of the difference to the render leaves out zero."""
        if self.against_interval is None:
            return False
        low, high = self.against_interval
        return low > 0 or high < 0


class Sums:
    """Sums of columns over resampled blocks of frames.

    Args:
        columns: film -> figure -> one value a frame, NaN where there is none.
        blocks: (T,) each frame's block. starts: (T,) whether it begins a chunk.
        weights: (R, B) how often each resample holds each block.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        blocks: NDArray[np.int64],
        starts: NDArray[np.bool_],
        weights: Numbers,
    ) -> None:
        self.columns, self._blocks, self._weights = columns, blocks, weights
        self._parts = {"all": np.ones(len(starts), bool), "starts": starts, "inside": ~starts}

    def total(self, film: str, column: str, part: Part = "all") -> Numbers:  # (R,)
        """Return the sums of what is known of a column; NaN where nothing is."""
        total, count = self._sums(film, column, part)
        return np.where(count > 0, total, np.nan)

    def mean(self, film: str, column: str, part: Part = "all") -> Numbers:  # (R,)
        """Return the means of what is known of a column; NaN where nothing is."""
        total, count = self._sums(film, column, part)
        return over(total, count)

    def _sums(self, film: str, column: str, part: Part) -> tuple[Numbers, Numbers]:
        values = self.columns[film].get(column)
        if values is None:
            nothing = np.zeros(len(self._weights))
            return nothing, nothing
        known = self._parts[part] & ~np.isnan(values)
        size = self._weights.shape[1]
        total = np.bincount(self._blocks[known], values[known], size)
        count = np.bincount(self._blocks[known], minlength=size)
        return self._weights @ total, self._weights @ count


Statistic = Callable[[Sums, str], Numbers]  # (R,)


def mean_of(column: str) -> Statistic:
    """Return the statistic that is a column's mean."""
    return lambda sums, film: sums.mean(film, column)


def over_render(column: str) -> Statistic:
    """Return the statistic that is a column's mean over the render's."""
    return lambda sums, film: over(sums.mean(film, column), sums.mean(RENDER, column))


def share_of(part: str, whole: str) -> Statistic:
    """Return the statistic that is one column's sum over another's."""
    return lambda sums, film: over(sums.total(film, part), sums.total(film, whole))


def seam_of(column: str) -> Statistic:
    """Return the statistic that is a column's mean where chunks begin over that inside of them."""
    return lambda sums, film: over(
        sums.mean(film, column, "starts"), sums.mean(film, column, "inside")
    )


def over(one: Numbers, other: Numbers) -> Numbers:
    """Return quotients; NaN where there is none."""
    safe = np.where(other > 0, other, 1.0)
    return np.where(other > 0, one / safe, np.nan)


def mean(values: Numbers | None) -> float:
    """Return the mean of what is known; NaN of nothing."""
    if values is None:
        return float("nan")
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def summarize(
    columns: Columns,
    starts: NDArray[np.bool_],  # (T,) whether a frame begins a chunk
    drives: NDArray[np.int64],  # (T,) which drive a frame is of
    *,
    block: int,  # frames
    figures: Sequence[Figure],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, Value]]:
    """Return method -> figure -> value; figures of which nothing is known are left out.

    Intervals are percentiles over resamples of whole blocks (Künsch 1989, without overlap), of
    whole drives first where there are enough of them, and of the films of a method where it has
    several. All methods and both sides of a difference are computed on the same resamples.
    """
    owners = blocks(drives, block)
    draw = np.random.default_rng(seed)
    weights = resampled(owners, drives, draw, resamples)
    sums = Sums(columns, blocks=owners, starts=starts, weights=weights)
    methods: dict[str, list[str]] = {}
    for film in columns:
        methods.setdefault(method_of(film), []).append(film)
    chosen = {
        name: draw.integers(len(films), size=(len(weights), len(films)))
        for name, films in methods.items()
    }
    result: dict[str, dict[str, Value]] = {name: {} for name in methods}
    for figure in figures:
        if figure.statistic is None:
            continue
        found: dict[str, Numbers] = {}
        for name, films in methods.items():
            each = np.stack([figure.statistic(sums, film) for film in films])  # (S, R)
            if np.isnan(each[:, 0]).any():
                continue
            drawn = np.take_along_axis(each.T, chosen[name], axis=1).mean(1)
            drawn[0] = each[:, 0].mean()
            found[name] = drawn
            result[name][figure.name] = _value(drawn, found.get(RENDER), name, each[:, 0])
    return result


def _value(drawn: Numbers, render: Numbers | None, name: str, films: Numbers) -> Value:
    """Return a value with its intervals; `render` holds the render's on the same resamples."""
    gain = None if render is None or name == RENDER else drawn - render
    return Value(
        value=float(drawn[0]),
        interval=interval(drawn[1:]),
        against=None if gain is None else float(gain[0]),
        against_interval=None if gain is None else interval(gain[1:]),
        films=len(films),
        spread=float(films.std(ddof=1)) if len(films) > 1 else None,
    )


def blocks(drives: NDArray[np.int64], size: int) -> NDArray[np.int64]:  # (T,)
    """Return the block of every frame, of `size` frames each; no block holds two drives."""
    begins = np.flatnonzero(np.diff(drives, prepend=drives[:1] - 1))
    place = (
        np.arange(len(drives))
        - begins[np.searchsorted(begins, np.arange(len(drives)), "right") - 1]
    )
    starts = place % size == 0
    return np.cumsum(starts) - 1


def resampled(
    owners: NDArray[np.int64],  # (T,) block of every frame
    drives: NDArray[np.int64],  # (T,)
    draw: np.random.Generator,
    resamples: int,
) -> Numbers:  # (R, B)
    """Return how often each resample holds each block; the first holds each of them once.

    With ENOUGH_DRIVES drives or more, drives are drawn first and then blocks within each.
    """
    count = int(owners.max(initial=-1)) + 1
    whole = np.ones((1, count))
    if count < 2:
        return whole
    if len(np.unique(drives)) < ENOUGH_DRIVES:
        return np.concatenate(
            [whole, draw.multinomial(count, np.full(count, 1 / count), resamples)]
        )
    _, firsts = np.unique(owners, return_index=True)
    parts = [np.flatnonzero(drives[firsts] == drive) for drive in np.unique(drives)]
    made = np.zeros((resamples, count))
    for row in made:
        for chosen in draw.integers(len(parts), size=len(parts)):
            part = parts[chosen]
            row[part] += draw.multinomial(len(part), np.full(len(part), 1 / len(part)))
    return np.concatenate([whole, made])


def interval(values: Numbers) -> tuple[float, float]:
    """Return the 95 percent interval of resampled values; NaN where there are none."""
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)
