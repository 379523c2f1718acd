"""The labels of a pair's frames: collected while a drive is drawn, kept beside its pictures.

`<clip>.labels.npz` holds `semantic` (T, H, W) uint8, CARLA's classes, `instance` (T, H, W) int32,
the thing's number or 0, and `depth` (T, H, W) float16, metres along the optical axis, inf at sky:
of every frame, traced or not. float16 keeps a depth to 0.05 percent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.rasteriser import Buffers


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path`, which takes its place at the end."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


class ClipLabels:
    """Room for the labels of a clip of known length and size."""

    def __init__(self, frames: int, height: int, width: int) -> None:
        shape = (frames, height, width)
        self.arrays: dict[str, NDArray[np.generic]] = {
            "semantic": np.empty(shape, np.uint8),
            "instance": np.empty(shape, np.int32),
            "depth": np.empty(shape, np.float16),
        }

    def put(self, index: int, drawn: Buffers) -> None:
        """Keep the labels of one drawn frame."""
        for name, labels in self.arrays.items():
            labels[index] = getattr(drawn, name)

    def save(self, path: Path) -> None:
        """Write them as one file."""
        with written_whole(path) as file:
            np.savez_compressed(file, **self.arrays)  # type: ignore[arg-type]
