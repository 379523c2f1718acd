"""Statistics of columns and pictures, under the names of LeRobot's stats.json."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
PICTURE_STEP = 10  # every tenth picture is counted, since neighbours are similar
PIXEL_STEP = 4  # every fourth pixel is counted along each side
Stats = dict[str, Any]


class ColourCounts:
    """Counts how often each of 256 values occurs in each channel of every tenth picture.

    Attributes:
        counts: (3, 256) int64. pictures: number of counted pictures.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros((3, 256), np.int64)
        self.pictures = 0
        self._offered = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Count a picture (H, W, 3), or skip it."""
        self._offered += 1
        if self._offered % PICTURE_STEP != 1:
            return
        self.pictures += 1
        for channel in range(3):
            values = picture[::PIXEL_STEP, ::PIXEL_STEP, channel].ravel()
            self.counts[channel] += np.bincount(values, minlength=256)


def colour_stats(counts: NDArray[np.int64], pictures: int) -> Stats:
    """Return the statistics of colours in 0 to 1, each of shape (3, 1, 1) as in LeRobot.

    Args:
        counts: (3, 256) counts of each value in each channel.
        pictures: number of counted pictures.
    """
    levels = np.arange(256) / 255
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mean = share @ levels
    variance = share @ levels**2 - mean**2
    reached = np.cumsum(share, axis=1)
    there = counts > 0
    values = {
        "min": levels[there.argmax(axis=1)],
        "max": levels[255 - there[:, ::-1].argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(variance, 0)),
        **{
            name: levels[(reached >= quantile - 1e-9).argmax(axis=1)]
            for name, quantile in QUANTILES.items()
        },
    }
    shaped = {name: value.reshape(3, 1, 1).tolist() for name, value in values.items()}
    return {**shaped, "count": [pictures]}


def column_stats(values: NDArray[Any]) -> Stats:
    """Return the statistics of a column (T,) or (T, D); each is a list of 1 or D values."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    return {
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
        "mean": rows.mean(axis=0).tolist(),
        "std": rows.std(axis=0).tolist(),
        "count": [len(rows)],
        **{
            name: np.quantile(rows, quantile, axis=0).tolist()
            for name, quantile in QUANTILES.items()
        },
    }
